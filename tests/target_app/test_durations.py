"""The histogram of durations: what is written by hand is what prometheus-client would write."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from flash.buckets import BOUNDS_S, BUCKETS
from target_app.durations import Durations

NAME = "target_request_duration_seconds"


def durations(container: str = "ta-1") -> Durations:
    return Durations(NAME, "How long.", container=container, routes=["/"])


def parsed(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["/", "/work", "other"]), st.floats(0, 300))))
def test_it_is_the_histogram_that_prometheus_client_would_have(observed) -> None:
    ours, theirs_in, ours_in = durations(), CollectorRegistry(), CollectorRegistry()
    ours_in.register(ours)
    theirs = Histogram(NAME, "How long.", ("container", "route"), buckets=BOUNDS_S, registry=None)
    theirs_in.register(theirs)
    theirs.labels("ta-1", "/")
    for route, value in observed:
        ours.observe(route, value)
        theirs.labels("ta-1", route).observe(value)
    expected = parsed(generate_latest(theirs_in).decode())
    assert parsed(ours.exposition()) == expected
    assert parsed(generate_latest(ours_in).decode()) == expected


@pytest.mark.parametrize("container", ['quo"te', "back\\slash", "line\nfeed", "\\n"])
def test_a_container_of_any_name_is_read_back_as_it_was(container: str) -> None:
    samples = parsed(durations(container).exposition())
    assert {dict(labels)["container"] for _, labels in samples} == {container}


def test_a_route_is_exposed_from_the_start_or_from_its_first_use() -> None:
    ours = durations()
    ours.observe("/work", 1.0)
    names = [line for line in ours.exposition().splitlines() if "_count" in line]
    assert names == [
        f'{NAME}_count{{container="ta-1",route="/"}} 0.0',
        f'{NAME}_count{{container="ta-1",route="/work"}} 1.0',
    ]
    assert ours.exposition().count("_bucket{") == 2 * BUCKETS
