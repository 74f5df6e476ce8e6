"""A long run that never was: the load generator's metrics second by second, from one seed.

Five regions, sticky and non-sticky, some requests a second each; latencies are log-normal about a
middle that drifts, and every now and then a region is cold. The same second is told as increments,
which fills a store much faster than time goes by, or as the page that a scraper would read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import pi, sin
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.exposition import Labels
from dashboard.increments import Increment, Memory
from dashboard.model import ScrapeResult, Target
from dashboard.shape import Family, Kind
from flash.buckets import BOUNDS_S, BUCKETS, LE

__all__ = ["LATENCY", "LINES", "PER_SECOND", "REGIONS", "SyntheticRun", "braces"]

REGIONS: Final = ("ap-south", "ca-central", "eu-west", "us-east", "us-west")
LINES: Final[tuple[Labels, ...]] = tuple(
    (("region", region), ("routing", routing))
    for region, routing in product(REGIONS, ("non_sticky", "sticky"))
)
LATENCY: Final = "loadgen_request_duration_seconds"

PER_SECOND: Final = 20
"""Requests of a line."""

_MIDDLES_S: Final = np.repeat([0.19, 0.03, 0.08, 0.012, 0.06], 2)
_SHARES: Final[Mapping[str, float]] = {
    LATENCY: 1.0,
    "loadgen_time_to_first_byte_seconds": 0.8,
    "loadgen_response_time_seconds": 1.1,
    "loadgen_edge_overhead_seconds": 0.3,
}
_WAITS: Final = "loadgen_cold_start_wait_seconds"
_LAG: Final = "loadgen_schedule_lag_seconds"
_COLD_EVERY_S: Final = 1800
_COLD_S: Final = 4
_OUTCOMES: Final = ("ok", "cold_start", "throttled", "client_error", "server_error", "timeout")

Counts = NDArray[np.float64]


@dataclass(slots=True, eq=False)
class _Metric:
    """A family with what it added this second, and in all."""

    family: Family
    added: Counts
    total: Counts
    sums_added: Counts | None = None
    sums_total: Counts | None = None


class SyntheticRun:
    """The run; :meth:`advance` goes on by a second."""

    def __init__(self, seed: int = 1) -> None:
        self._rng = np.random.default_rng(seed)
        self._metrics: dict[str, _Metric] = {}
        for name in (*_SHARES, _WAITS):
            self._add(name, Kind.HISTOGRAM, LINES)
        self._add(_LAG, Kind.HISTOGRAM, ((),))
        outcomes = tuple(_with(line, outcome=o) for line in LINES for o in _OUTCOMES)
        self._add("loadgen_requests_total", Kind.COUNTER, outcomes)
        containers = tuple(_with(line, container=c) for line in LINES for c in ("same", "moved"))
        self._add("loadgen_session_requests_total", Kind.COUNTER, containers)
        self._add("loadgen_cold_start_giveups_total", Kind.COUNTER, LINES)
        self._add("loadgen_users", Kind.GAUGE, LINES)
        for name in ("loadgen_in_flight", "loadgen_workers"):
            self._add(name, Kind.GAUGE, ((),))
        self._add("loadgen_cpu_ratio", Kind.GAUGE, ((("process", "local"),),))
        self._prefixes: list[str] | None = None

    def advance(self, second: int) -> None:
        """What happens in the second before the scrape at ``second``."""
        rng = self._rng
        drift = 1 + 0.3 * sin(2 * pi * second / 7200)
        cold = second % _COLD_EVERY_S < _COLD_S
        latencies = rng.lognormal(0, 0.5, (len(LINES), PER_SECOND)) * _MIDDLES_S[:, None] * drift
        for name, share in _SHARES.items():
            self._observe(name, latencies * share)
        waits = rng.random((len(LINES), 3)) * 4 if cold else np.zeros((len(LINES), 0))
        self._observe(_WAITS, waits)
        self._observe(_LAG, rng.exponential(0.0005, (1, len(LINES) * PER_SECOND)))
        outcomes = np.zeros((len(LINES), len(_OUTCOMES)))
        outcomes[:, 0] = PER_SECOND
        outcomes[:, 1] = 9 if cold else 0
        self._count("loadgen_requests_total", outcomes.ravel())
        moved = rng.binomial(PER_SECOND, 0.01, len(LINES))
        self._count(
            "loadgen_session_requests_total", np.stack([PER_SECOND - moved, moved], 1).ravel()
        )
        for name, most in (("loadgen_users", 40), ("loadgen_in_flight", 90)):
            gauge = self._metrics[name]
            gauge.total = gauge.added = rng.integers(1, most, len(gauge.total)).astype(float)
        for name, value in (("loadgen_workers", 2.0), ("loadgen_cpu_ratio", rng.random() / 2)):
            gauge = self._metrics[name]
            gauge.total = gauge.added = np.array([value])

    def result(self, target: Target, second: int) -> ScrapeResult:
        """This second as the scraper would hand it on; it remembers nothing."""
        increments = [
            Increment(metric.family, metric.added.copy(), metric.sums_added)
            for metric in self._metrics.values()
        ]
        memory = Memory([], np.zeros(0), {}, None)
        return ScrapeResult(target=target, second=second, increments=increments, memory=memory)

    def page(self) -> bytes:
        """What the load generator's page would say now."""
        if self._prefixes is None:
            self._prefixes = list(self._series())
        values = [
            text
            for metric in self._metrics.values()
            for text in map(repr, _exposed(metric).tolist())
        ]
        lines = [p + v for p, v in zip(self._prefixes, values, strict=True)]
        return "\n".join([*lines, ""]).encode()

    def cumulative(self, name: str) -> Counts:
        """A histogram's buckets in all, cumulative, one line per label set."""
        return self._metrics[name].total.cumsum(axis=1)

    def _series(self) -> Iterator[str]:
        """Each exposed line but its value, comments before the first of a family."""
        for name, metric in self._metrics.items():
            head = f"# HELP {name} Synthetic.\n# TYPE {name} {metric.family.kind}\n"
            for labels in metric.family.labels:
                if metric.family.kind is Kind.HISTOGRAM:
                    for le in LE:
                        yield f"{head}{name}_bucket{braces((*labels, ('le', le)))} "
                        head = ""
                    yield f"{name}_sum{braces(labels)} "
                    yield f"{name}_count{braces(labels)} "
                else:
                    yield f"{head}{name}{braces(labels)} "
                    head = ""

    def _add(self, name: str, kind: Kind, labels: tuple[Labels, ...]) -> None:
        if kind is Kind.HISTOGRAM:
            at = np.zeros((len(labels), BUCKETS), dtype=np.intp)
            bounds, sums_at = (*BOUNDS_S, float("inf")), np.zeros(len(labels), dtype=np.intp)
            family = Family(name, kind, labels, at, bounds, sums_at)
            none = np.zeros((len(labels), BUCKETS))
            sums = np.zeros(len(labels))
            self._metrics[name] = _Metric(family, none, none.copy(), sums, sums.copy())
        else:
            family = Family(name, kind, labels, np.zeros(len(labels), dtype=np.intp))
            self._metrics[name] = _Metric(family, np.zeros(len(labels)), np.zeros(len(labels)))

    def _observe(self, name: str, values: Counts) -> None:
        metric = self._metrics[name]
        places = np.searchsorted(BOUNDS_S, values) + np.arange(len(values))[:, None] * BUCKETS
        added = np.bincount(places.ravel(), minlength=metric.total.size)
        metric.added = added.reshape(metric.total.shape).astype(np.float64)
        metric.total += metric.added
        assert metric.sums_total is not None
        metric.sums_added = values.sum(axis=1)
        metric.sums_total += metric.sums_added

    def _count(self, name: str, added: Counts) -> None:
        metric = self._metrics[name]
        metric.added = added.astype(np.float64)
        metric.total += metric.added


def _with(line: Labels, **more: str) -> Labels:
    return tuple(sorted((*line, *more.items())))


def braces(labels: Labels) -> str:
    """A label set as it is written in an exposition."""
    return "{" + ",".join(f'{n}="{v}"' for n, v in labels) + "}" if labels else ""


def _exposed(metric: _Metric) -> Counts:
    """A family's values in the order of its lines on a page."""
    if metric.family.kind is not Kind.HISTOGRAM:
        return metric.total
    assert metric.sums_total is not None
    cumulative = metric.total.cumsum(axis=1)
    return np.column_stack([cumulative, metric.sums_total, cumulative[:, -1]]).ravel()
