"""The edge's metrics page, against prometheus-client's own writer and parsers."""

from itertools import accumulate

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from flash.autoscaler import AutoscalerSettings
from flash.buckets import LE
from flash.edge.counters import EdgeCollector, RegionCounters, StartCounters
from flash.edge.exposition import page

TEXT = "text/plain"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def edge():
    regions = {"us-east": RegionCounters(), "eu-west": RegionCounters()}
    for duration_s in (0.0, 2.0**-13, 0.0002, 0.0002, 0.5, 1000.0):
        regions["us-east"].overhead.observe(duration_s)
    regions["us-east"].ended(200)
    regions["us-east"].ended(200)
    regions["us-east"].ended(503)
    starts = StartCounters()
    starts.results["ready"] += 3
    starts.boot.observe(1.25)
    registry = CollectorRegistry()
    Gauge("other", "Something else.", registry=registry).set(7)
    states = {"starting": 1, "live": 2, "draining": 0}
    collector = EdgeCollector(regions, starts, lambda: states, AutoscalerSettings, registry)
    return registry, collector


class Library(Collector):
    """A histogram as prometheus-client writes it."""

    def __init__(self, name, documentation, series) -> None:
        self.name, self.documentation, self.series = name, documentation, series

    def collect(self):
        labels = list(self.series[0][0])
        family = HistogramMetricFamily(self.name, self.documentation, labels=labels)
        for its_labels, histogram in self.series:
            buckets = list(zip(LE, accumulate(histogram.counts), strict=True))
            family.add_metric(list(its_labels.values()), buckets, sum_value=histogram.sum)
        yield family


def samples(body: bytes, accept: str) -> dict[tuple, float]:
    parse = (
        openmetrics.text_string_to_metric_families
        if accept == OPEN_METRICS
        else text_string_to_metric_families
    )
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(body.decode())
        for sample in family.samples
    }


@pytest.mark.parametrize("accept", [TEXT, OPEN_METRICS, ""])
def test_the_page_says_what_the_library_would_have_written(edge, accept) -> None:
    registry, collector = edge
    body, content_type = page(registry, collector, accept)
    for name, documentation, series in collector.histograms():
        registry.register(Library(name, documentation, series))
    encode, expected_type = choose_encoder(accept)
    assert content_type == expected_type
    expected = samples(encode(registry), accept)
    assert samples(body, accept) == expected
    assert ("other", ()) in expected


def test_every_metric_of_the_contract_is_there_with_its_labels(edge) -> None:
    registry, collector = edge
    found = samples(page(registry, collector, TEXT)[0], TEXT)
    assert found["edge_requests_total", (("code", "200"), ("region", "us-east"))] == 2
    assert found["edge_requests_total", (("code", "503"), ("region", "us-east"))] == 1
    assert found["edge_containers", (("state", "starting"),)] == 1
    assert found["edge_containers", (("state", "live"),)] == 2
    assert found["edge_containers", (("state", "draining"),)] == 0
    assert found["edge_target_concurrency", ()] == 8
    assert found["edge_min_containers", ()] == 0
    assert found["edge_max_containers", ()] == 4
    assert found["edge_buffer_containers", ()] == 0
    assert found["edge_scaleup_window_seconds", ()] == 0
    assert found["edge_scaledown_window_seconds", ()] == 60
    assert found["edge_container_starts_total", (("result", "ready"),)] == 3
    assert found["edge_container_starts_total", (("result", "timeout"),)] == 0
    assert found["edge_container_boot_duration_seconds_count", ()] == 1
    assert found["edge_container_boot_duration_seconds_sum", ()] == 1.25


def test_buckets_are_cumulative_over_the_shared_bounds(edge) -> None:
    registry, collector = edge
    found = samples(page(registry, collector, TEXT)[0], TEXT)

    def up_to(le: str, region: str = "us-east") -> float:
        return found["edge_proxy_overhead_seconds_bucket", (("le", le), ("region", region))]

    assert [up_to(le) for le in (LE[0], "0.5", LE[-2], "+Inf")] == [2, 5, 5, 6]
    assert up_to("+Inf", "eu-west") == 0
    us_east = (("region", "us-east"),)
    assert found["edge_proxy_overhead_seconds_count", us_east] == 6
    assert found["edge_proxy_overhead_seconds_sum", us_east] == pytest.approx(
        1000.5 + 0.0004 + 2**-13
    )
