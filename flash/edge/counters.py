"""What the edge counts: plain integers in the data plane, given to Prometheus when it asks."""

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from flash.buckets import BUCKETS, LE, bucket_of

__all__ = ["EdgeCollector", "Histogram", "RegionCounters", "StartCounters"]


class Histogram:
    """Counts per bucket and the sum, in seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bucket_of(seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """The counts up to and including each ``le``."""
        total, pairs = 0, []
        for le, count in zip(LE, self.counts, strict=True):
            total += count
            pairs.append((le, float(total)))
        return pairs


class RegionCounters:
    """Of one region: requests by status code, and the time each spent in the edge itself.

    A request that ended without a response has code 0 where the edge reset it, else 499 where the
    client went away.
    """

    __slots__ = ("by_code", "overhead")

    def __init__(self) -> None:
        self.by_code: dict[int, int] = {}
        self.overhead = Histogram()

    def ended(self, code: int) -> None:
        self.by_code[code] = self.by_code.get(code, 0) + 1


class StartCounters:
    """Of all containers: how their starts ended, and how long the good ones took."""

    __slots__ = ("boot", "results")

    def __init__(self) -> None:
        self.results = {"ready": 0, "timeout": 0, "exited": 0, "stopped": 0}
        self.boot = Histogram()


class EdgeCollector(Collector):
    """Renders the counters; ``containers`` tells how many there are in each state."""

    def __init__(
        self,
        regions: Mapping[str, RegionCounters],
        starts: StartCounters,
        containers: Callable[[], Mapping[str, int]],
        registry: CollectorRegistry,
    ) -> None:
        self._regions = regions
        self._starts = starts
        self._containers = containers
        registry.register(self)

    def collect(
        self,
    ) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        requests = CounterMetricFamily(
            "edge_requests",
            "Requests that ended, by region and status code.",
            labels=["region", "code"],
        )
        overhead = HistogramMetricFamily(
            "edge_proxy_overhead_seconds",
            "Time a proxied request spent in the edge itself, without the emulated round trip.",
            labels=["region"],
        )
        for region, counters in self._regions.items():
            for code, count in sorted(counters.by_code.items()):
                requests.add_metric([region, str(code)], count)
            overhead.add_metric(
                [region], counters.overhead.cumulative(), sum_value=counters.overhead.sum
            )
        containers = GaugeMetricFamily("edge_containers", "Containers by state.", labels=["state"])
        for state, number in self._containers().items():
            containers.add_metric([state], number)
        starts = CounterMetricFamily(
            "edge_container_starts", "Container starts by how they ended.", labels=["result"]
        )
        for result, count in self._starts.results.items():
            starts.add_metric([result], count)
        boot = HistogramMetricFamily(
            "edge_container_boot_duration_seconds",
            "From the decision to start a container to its port's opening.",
        )
        boot.add_metric([], self._starts.boot.cumulative(), sum_value=self._starts.boot.sum)
        yield from (requests, overhead, containers, starts, boot)
