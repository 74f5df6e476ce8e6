"""What objectives are held against: a run's figures, per region and kind of routing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.errors import StoreError
from dashboard.quantiles import quantiles
from dashboard.source import Source
from dashboard.window import Window
from flash.objective import Measure, Objective

__all__ = ["Counts", "Distributions", "Figure", "RunFigures", "run_figures"]

Array = NDArray[np.float64]
Place = tuple[str, str]
"""Region and routing; "" where a series lacks the label."""

_HISTOGRAMS: Final = {
    Measure.LATENCY: "loadgen_request_duration_seconds",
    Measure.RESPONSE_TIME: "loadgen_response_time_seconds",
    Measure.TIME_TO_FIRST_BYTE: "loadgen_time_to_first_byte_seconds",
    Measure.EDGE_OVERHEAD: "loadgen_edge_overhead_seconds",
    Measure.COLD_START_WAIT: "loadgen_cold_start_wait_seconds",
}
# Shares of a counter's growth: the label, and the value whose share it is.
_SHARES: Final = {
    Measure.AFFINITY: ("loadgen_session_requests_total", "container", "same"),
    Measure.CACHE_HITS: ("target_session_cache_total", "result", "hit"),
}
_OF_REQUESTS: Final = (Measure.ERRORS, Measure.REQUESTS)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in its measure's unit, and of how many samples it is.

    ``value`` is ``None`` where there is no data, and infinite where a duration is only known to be
    longer than the last bound of its histogram.
    """

    value: float | None
    samples: int


@dataclass(frozen=True, slots=True, eq=False)
class Distributions:
    """Histograms over the whole run, by place; not cumulative."""

    bounds: tuple[float, ...]
    counts: Mapping[Place, Array]


@dataclass(frozen=True, slots=True)
class Counts:
    """How much a counter grew over the whole run, by place and by one more label."""

    by_place: Mapping[Place, Mapping[str, float]] = field(default_factory=dict)

    def at(self, places: Collection[Place]) -> dict[str, float]:
        """The growth at all of ``places`` together, by that label."""
        found: dict[str, float] = {}
        for place in places:
            for value, amount in self.by_place.get(place, {}).items():
                found[value] = found.get(value, 0.0) + amount
        return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunFigures:
    """All that the objectives of a check ask of a run that took ``seconds``."""

    seconds: float
    attempts: Counts
    distributions: Mapping[Measure, Distributions]
    shares: Mapping[Measure, Counts]

    def regions(self, measure: Measure) -> list[str]:
        """The regions that there is anything of; "" of containers whose region is not told."""
        # Of a cache the region is the container's own, whichever region asked.
        counts = self.shares[measure] if measure is Measure.CACHE_HITS else self.attempts
        told = {place[0] for place, grown in counts.by_place.items() if sum(grown.values()) > 0}
        return sorted(told)

    def of(self, objective: Objective, region: str) -> Figure:
        """The figure of an objective in one region."""
        measure = objective.measure
        if measure in _HISTOGRAMS:
            found = self._histogram(measure, region, objective.routing)
            bounds = self.distributions[measure].bounds
            return _of_histogram(found, bounds, objective.quantile)
        if measure in _SHARES:
            grown = self._at(self.shares[measure], region, objective.routing)
            return _share(grown.get(_SHARES[measure][2], 0.0), sum(grown.values()))
        outcomes = self._at(self.attempts, region, objective.routing)
        attempts, good = sum(outcomes.values()), outcomes.get("ok", 0.0)
        if measure is Measure.SHARE_503:
            return _share(outcomes.get("cold_start", 0.0), attempts)
        if measure is Measure.THROUGHPUT:
            known = attempts > 0 and self.seconds > 0
            return Figure(good / self.seconds if known else None, round(good))
        answered = self._histogram(Measure.RESPONSE_TIME, region, objective.routing)
        # An attempt without a response ends its request, which has no response time then.
        requests = answered.sum() + outcomes.get("timeout", 0) + outcomes.get("connection_error", 0)
        if measure is Measure.ERRORS:
            return _share(requests - good, requests)
        return Figure(float(requests) if attempts else None, round(requests))

    def _histogram(self, measure: Measure, region: str, routing: str | None) -> Array:
        found = self.distributions[measure]
        counts = np.zeros(len(found.bounds))
        for place in _places(found.counts, region, routing):
            counts += found.counts[place]
        return counts

    def _at(self, counts: Counts, region: str, routing: str | None) -> dict[str, float]:
        return counts.at(_places(counts.by_place, region, routing))


async def run_figures(
    source: Source, window: Window, measures: Collection[Measure], *, seconds: float
) -> RunFigures:
    """What happened in the whole of ``window``, as far as ``measures`` need it."""
    histograms = {measure for measure in measures if measure in _HISTOGRAMS}
    if any(measure in _OF_REQUESTS for measure in measures):
        histograms.add(Measure.RESPONSE_TIME)
    return RunFigures(
        seconds=seconds,
        attempts=await _grown(source, window, "loadgen_requests_total", "outcome"),
        distributions={
            measure: await _distributions(source, window, _HISTOGRAMS[measure])
            for measure in sorted(histograms)
        },
        shares={
            measure: await _grown(source, window, *_SHARES[measure][:2])
            for measure in sorted(set(measures))
            if measure in _SHARES
        },
    )


async def _distributions(source: Source, window: Window, metric: str) -> Distributions:
    found = await source.histograms(metric, window, by=("region", "routing"), match={})
    _check_whole(metric, found.left_out)
    totals = found.counts.sum(axis=1)
    places = [_place(dict(labels)) for labels in found.labels]
    return Distributions(found.bounds, dict(zip(places, totals, strict=True)))


async def _grown(source: Source, window: Window, metric: str, label: str) -> Counts:
    found = await source.increases(metric, window, by=("region", "routing", label), match={})
    _check_whole(metric, found.left_out)
    by_place: dict[Place, dict[str, float]] = {}
    for labels, values in zip(found.labels, found.values, strict=True):
        told = dict(labels)
        by_place.setdefault(_place(told), {})[told.get(label, "")] = float(np.nansum(values))
    return Counts(by_place)


def _check_whole(metric: str, left_out: int) -> None:
    if left_out:
        raise StoreError(f"{metric} has {left_out} label sets more than can be told apart")


def _place(labels: Mapping[str, str]) -> Place:
    return labels.get("region", ""), labels.get("routing", "")


def _places(known: Collection[Place], region: str, routing: str | None) -> list[Place]:
    return [place for place in known if place[0] == region and routing in (None, place[1])]


def _of_histogram(counts: Array, bounds: tuple[float, ...], q: float | None) -> Figure:
    value = float(quantiles(counts, 1.0 if q is None else q, bounds))
    if isnan(value):
        return Figure(None, 0)
    return Figure(inf if value >= bounds[-2] else value, round(counts.sum()))


def _share(part: float, whole: float) -> Figure:
    return Figure(part / whole, round(whole)) if whole > 0 else Figure(None, 0)
