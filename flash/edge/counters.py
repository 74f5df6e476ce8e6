"""What the edge counts: plain integers in the data plane, given to Prometheus when it asks."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from flash.autoscaler import AutoscalerSettings
from flash.buckets import BUCKETS, bucket_of

__all__ = ["EdgeCollector", "Histogram", "HistogramFamily", "RegionCounters", "StartCounters"]


class Histogram:
    """Counts per bucket and the sum, in seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bucket_of(seconds)] += 1
        self.sum += seconds


class RegionCounters:
    """Of one region: requests by status code, and the time each spent in the edge itself.

    A request that ended without a response has code 0 where the edge reset it, else 499 where the
    client went away.
    """

    __slots__ = ("by_code", "overhead")

    def __init__(self) -> None:
        self.by_code: defaultdict[int, int] = defaultdict(int)
        self.overhead = Histogram()

    def ended(self, code: int) -> None:
        self.by_code[code] += 1


class StartCounters:
    """Of all containers: how their starts ended, and how long the good ones took."""

    __slots__ = ("boot", "results")

    def __init__(self) -> None:
        self.results = {"ready": 0, "timeout": 0, "exited": 0, "stopped": 0}
        self.boot = Histogram()


class HistogramFamily(NamedTuple):
    """All histograms of one name, each with its labels."""

    name: str
    documentation: str
    series: list[tuple[Mapping[str, str], Histogram]]


class EdgeCollector(Collector):
    """Renders the counters; ``containers`` tells how many there are in each state, and
    ``settings`` what the autoscaler aims at.

    Labels are regions' names, checked ones, states and codes: none needs escaping.
    """

    def __init__(
        self,
        regions: Mapping[str, RegionCounters],
        starts: StartCounters,
        containers: Callable[[], Mapping[str, int]],
        settings: Callable[[], AutoscalerSettings],
        registry: CollectorRegistry,
    ) -> None:
        self._regions = regions
        self._starts = starts
        self._containers = containers
        self._settings = settings
        registry.register(self)

    def histograms(self) -> list[HistogramFamily]:
        """The histograms as they are, not copied."""
        return [
            HistogramFamily(
                "edge_proxy_overhead_seconds",
                "Time a proxied request spent in the edge itself, without the emulated round trip.",
                [({"region": region}, its.overhead) for region, its in self._regions.items()],
            ),
            HistogramFamily(
                "edge_container_boot_duration_seconds",
                "From the decision to start a container to its port's opening.",
                [({}, self._starts.boot)],
            ),
        ]

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """All but the histograms, which are written by themselves."""
        requests = CounterMetricFamily(
            "edge_requests",
            "Requests that ended, by region and status code.",
            labels=["region", "code"],
        )
        for region, counters in self._regions.items():
            for code, count in sorted(counters.by_code.items()):
                requests.add_metric([region, str(code)], count)
        yield requests
        containers = GaugeMetricFamily("edge_containers", "Containers by state.", labels=["state"])
        for state, number in self._containers().items():
            containers.add_metric([state], number)
        yield containers
        settings = self._settings()
        for name, documentation, value in (
            (
                "edge_target_concurrency",
                "Requests per container that the autoscaler aims at.",
                settings.target_concurrency,
            ),
            (
                "edge_min_containers",
                "The fewest containers that the autoscaler has.",
                settings.min_containers,
            ),
            (
                "edge_max_containers",
                "The most containers that the autoscaler has.",
                settings.max_containers,
            ),
            (
                "edge_buffer_containers",
                "Idle containers that the autoscaler has while any is active.",
                settings.buffer_containers,
            ),
            (
                "edge_scaleup_window_seconds",
                "How long more must be wanted before containers are started.",
                settings.scaleup_window,
            ),
            (
                "edge_scaledown_window_seconds",
                "How long fewer must be wanted before containers are stopped.",
                settings.scaledown_window,
            ),
        ):
            yield GaugeMetricFamily(name, documentation, value=value)
        starts = CounterMetricFamily(
            "edge_container_starts", "Container starts by how they ended.", labels=["result"]
        )
        for result, count in self._starts.results.items():
            starts.add_metric([result], count)
        yield starts
