"""Request durations by route: exact counts and sums, cheap to record and cheap to expose.

prometheus-client's own histogram walks the bounds one by one and takes some ten milliseconds to
write six routes of this layout. Every request in flight would wait that long at every scrape,
and that wait would be part of what a load test measures.
"""

from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from flash.buckets import BUCKETS, LE, bucket_of

__all__ = ["Durations"]


class _Series:
    __slots__ = ("counts", "head", "labels", "sum_s")

    def __init__(self, container: str, route: str) -> None:
        self.labels = (container, route)
        self.counts = [0] * BUCKETS
        self.sum_s = 0.0
        self.head = f'container="{_escaped(container)}"', f'route="{_escaped(route)}"'


class Durations(Collector):
    """A histogram with the labels ``container`` and ``route`` over :data:`flash.buckets.BOUNDS_S`.

    The routes given at first are exposed from the start, with zeros; others once they are used.
    """

    def __init__(
        self, name: str, documentation: str, *, container: str, routes: Iterable[str]
    ) -> None:
        self.name = name
        self._documentation = documentation
        self._container = container
        self._series = {route: _Series(container, route) for route in routes}

    def observe(self, route: str, duration_s: float) -> None:
        """Count one duration in seconds."""
        series = self._series.get(route)
        if series is None:
            series = self._series[route] = _Series(self._container, route)
        series.counts[bucket_of(duration_s)] += 1
        series.sum_s += duration_s

    def collect(self) -> Iterator[Metric]:
        """The histogram as prometheus-client has it."""
        family = HistogramMetricFamily(
            self.name, self._documentation, labels=("container", "route")
        )
        for series in self._series.values():
            buckets = list(zip(LE, _cumulated(series.counts), strict=True))
            family.add_metric(series.labels, buckets, series.sum_s)
        yield family

    def exposition(self) -> str:
        """The same in the text form that Prometheus' own format and OpenMetrics share."""
        lines = [f"# HELP {self.name} {self._documentation}\n# TYPE {self.name} histogram\n"]
        for series in self._series.values():
            container, route = series.head
            before = f'{self.name}_bucket{{{container},le="'
            after = f'",{route}}} '
            running = _cumulated(series.counts)
            lines += [
                f"{before}{le}{after}{count}.0\n" for le, count in zip(LE, running, strict=True)
            ]
            labels = f"{{{container},{route}}}"
            lines.append(f"{self.name}_count{labels} {running[-1]}.0\n")
            lines.append(f"{self.name}_sum{labels} {series.sum_s!r}\n")
        return "".join(lines)


def _cumulated(counts: list[int]) -> list[int]:
    return list(accumulate(counts))


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
