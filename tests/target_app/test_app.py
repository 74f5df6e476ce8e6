"""The routes: what each answers, and what every response carries."""

import asyncio
import re
import time
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families as text_families

from flash.buckets import LE
from target_app.app import create_app
from target_app.config import Config

CONTAINER = "ta-test1"


def app_ms(response) -> float:
    match = re.fullmatch(r"app;dur=(\d+\.\d{3})", response.headers["server-timing"])
    assert match is not None
    return float(match[1])


def test_the_root_tells_who_answered(server) -> None:
    server.ask("GET", "/")
    response = server.ask("POST", "/", headers={"Modal-Session-ID": "s-1"}, content=b"hello")
    content = response.json()
    assert response.status_code == 200
    assert 0 < content.pop("since_boot_s") < 60
    assert content == {
        "container": CONTAINER,
        "region": "us-east-1",
        "cloud": "AWS",
        "session": "s-1",
        "requests_served": 1,
    }


def test_a_request_without_a_session_has_none(server) -> None:
    assert server.ask("GET", "/").json()["session"] is None


def test_the_root_takes_a_body_of_any_length(server) -> None:
    assert server.ask("POST", "/", content=bytes(5 << 20)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", 200),
        ("HEAD", "/", 200),
        ("POST", "/", 200),
        ("GET", "/work", 200),
        ("GET", "/work?bytes=x", 422),
        ("POST", "/generate?tokens=1&prompt_tokens=0", 200),
        ("GET", "/healthz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/nothing", 404),
        ("GET", "/work/", 404),
        ("DELETE", "/", 405),
        ("GET", "/generate", 405),
    ],
)
def test_every_response_carries_its_container_and_the_server_time(
    server, method, path, code
) -> None:
    began = time.perf_counter()
    response = server.ask(method, path)
    took_ms = (time.perf_counter() - began) * 1e3
    assert response.status_code == code
    assert response.headers["x-container-id"] == CONTAINER
    assert 0 <= app_ms(response) <= took_ms
    if method == "HEAD":
        assert response.content == b""


def test_an_unknown_route_and_a_wrong_method_are_told_in_json(server) -> None:
    response = server.ask("GET", "/nothing")
    assert response.json() == {
        "error": {"code": "not_found", "message": "there is no such route", "where": "path"}
    }
    response = server.ask("PUT", "/work")
    assert response.headers["allow"] == "GET, HEAD"
    assert response.json()["error"]["code"] == "method_not_allowed"


def test_a_bad_parameter_is_named(server) -> None:
    response = server.ask("GET", "/work?bytes=10&sleep_ms=-1")
    assert response.status_code == 422
    assert response.json() == {
        "error": {
            "code": "invalid_parameter",
            "message": "sleep_ms: expected a number from 0 to 60,000, got '-1'",
            "where": "sleep_ms",
        }
    }


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
def test_work_answers_so_many_bytes_and_says_so_before(server, size: int) -> None:
    response = server.ask("GET", f"/work?bytes={size}")
    assert response.headers["content-length"] == str(size)
    assert len(response.content) == size


def test_the_head_of_work_tells_the_length_without_the_bytes(server) -> None:
    response = server.ask("HEAD", "/work?bytes=70000")
    assert response.headers["content-length"] == "70000"
    assert response.content == b""


def test_work_sleeps_as_long_as_asked_and_tells_it(server) -> None:
    response = server.ask("GET", "/work?sleep_ms=40")
    assert app_ms(response) >= 40


def test_work_uses_the_cpu_time_asked_for_and_little_more(server) -> None:
    began = time.thread_time()
    server.ask("GET", "/work?cpu_ms=60")
    assert 0.060 <= time.thread_time() - began < 0.160


@pytest.mark.parametrize(
    ("method", "path", "query", "pieces"),
    [
        ("GET", "/work", b"bytes=6553600", 100),
        ("POST", "/generate", b"tokens=100&tokens_per_s=100000&prompt_tokens=0", 101),
    ],
)
def test_a_long_answer_to_a_fast_client_lets_others_have_their_turn(
    server, method, path, query, pieces
) -> None:
    sent = 0
    turns: list[int] = []

    async def receive() -> dict[str, object]:
        if not turns:
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError("unreachable: nobody sets it")

    async def send(message: dict[str, object]) -> None:
        nonlocal sent
        sent += message["type"] == "http.response.body"

    async def run() -> None:
        scope = {"type": "http", "method": method, "path": path, "query_string": query}
        task = asyncio.create_task(server.app({**scope, "headers": []}, receive, send))
        while not task.done():
            await asyncio.sleep(0)
            turns.append(sent)

    asyncio.run(run())
    assert sent == pieces
    assert max(after - before for before, after in pairwise(turns)) <= 2


def test_the_health_route_says_ok(server) -> None:
    assert server.ask("GET", "/healthz").json() == {"status": "ok"}


def test_metrics_come_in_the_format_that_is_accepted(server) -> None:
    server.ask("GET", "/work")
    plain = server.ask("GET", "/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=")
    modern = server.ask("GET", "/metrics", headers={"accept": "application/openmetrics-text"})
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=")
    assert modern.text.endswith("# EOF\n")
    for families in (text_families(plain.text), openmetrics_families(modern.text)):
        found = {family.name: family for family in families}
        histogram = found["target_request_duration_seconds"]
        assert histogram.type == "histogram"
        bounds = [
            sample.labels["le"]
            for sample in histogram.samples
            if sample.name.endswith("_bucket") and sample.labels["route"] == "/work"
        ]
        assert bounds == list(LE)
        assert found["target_requests"].type == "counter"


def test_every_series_of_the_design_is_exposed_with_its_labels(server) -> None:
    expected = {
        "target_requests_total": {"container", "route", "code"},
        "target_request_duration_seconds_count": {"container", "route"},
        "target_requests_in_flight": {"container"},
        "target_session_cache_total": {"container", "result"},
        "target_boot_duration_seconds": {"container"},
        "target_start_timestamp_seconds": {"container"},
        "target_info": {"container", "region", "cloud"},
    }
    found = {
        sample.name: sample
        for family in text_families(server.ask("GET", "/metrics").text)
        for sample in family.samples
    }
    assert {name: set(found[name].labels) for name in expected} == expected
    assert found["target_info"].labels == {
        "container": CONTAINER,
        "region": "us-east-1",
        "cloud": "AWS",
    }
    assert found["target_start_timestamp_seconds"].value == pytest.approx(time.time(), abs=60)
    assert 0 < found["target_boot_duration_seconds"].value < 60


def test_two_applications_keep_their_counts_apart() -> None:
    registries = [CollectorRegistry(), CollectorRegistry()]
    apps = [create_app(Config(container="ta-1"), registry=registry) for registry in registries]
    apps[0].metrics.ended("/", 200, 0.1)
    labels = {"container": "ta-1", "route": "/", "code": "200"}
    counts = [registry.get_sample_value("target_requests_total", labels) for registry in registries]
    assert counts == [1.0, 0.0]
