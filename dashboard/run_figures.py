"""What objectives are held against: a run's figures, per region and kind of routing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import inf, isnan
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from dashboard.errors import StoreError
from dashboard.quantiles import quantiles
from dashboard.source import Source
from dashboard.window import Window
from flash.objective import Measure, Objective

__all__ = [
    "ATTEMPTS",
    "HISTOGRAMS",
    "Counts",
    "Distributions",
    "Figure",
    "Place",
    "RunFigures",
    "figure_of",
    "part_and_whole",
    "place_of",
    "run_figures",
    "share_of",
]

Array = NDArray[np.float64]
_Amount = TypeVar("_Amount", float, Array)
Place = tuple[str, str]
"""Region and routing; "" where a series lacks the label."""

ATTEMPTS: Final = "loadgen_requests_total"

HISTOGRAMS: Final = {
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

    def of(self, objective: Objective, region: str | None) -> Figure:
        """The figure of an objective in one region; in all of them together for ``None``."""
        return self.figure(objective.measure, objective.quantile, region, objective.routing)

    def figure(
        self,
        measure: Measure,
        quantile: float | None = None,
        region: str | None = None,
        routing: str | None = None,
    ) -> Figure:
        """A figure of one region, or of all together, with one routing or both."""
        if measure in HISTOGRAMS:
            found = self._histogram(measure, region, routing)
            return figure_of(found, self.distributions[measure].bounds, quantile)
        if measure in _SHARES:
            grown = self._at(self.shares[measure], region, routing)
            return share_of(grown.get(_SHARES[measure][2], 0.0), sum(grown.values()))
        outcomes = self._at(self.attempts, region, routing)
        attempts, good = sum(outcomes.values()), outcomes.get("ok", 0.0)
        if measure is Measure.THROUGHPUT:
            known = attempts > 0 and self.seconds > 0
            return Figure(good / self.seconds if known else None, round(good))
        if measure is Measure.SHARE_503:
            return share_of(*part_and_whole(measure, outcomes, 0.0))
        answered = float(self._histogram(Measure.RESPONSE_TIME, region, routing).sum())
        failed, requests = part_and_whole(Measure.ERRORS, outcomes, answered)
        if measure is Measure.ERRORS:
            return share_of(failed, requests)
        return Figure(requests if attempts else None, round(requests))

    def _histogram(self, measure: Measure, region: str | None, routing: str | None) -> Array:
        found = self.distributions[measure]
        counts = np.zeros(len(found.bounds))
        for place in _places(found.counts, region, routing):
            counts += found.counts[place]
        return counts

    def _at(self, counts: Counts, region: str | None, routing: str | None) -> dict[str, float]:
        return counts.at(_places(counts.by_place, region, routing))


def part_and_whole(
    measure: Measure, outcomes: Mapping[str, _Amount], answered: _Amount
) -> tuple[_Amount, _Amount]:
    """What ``share_503`` or ``errors`` are a share of, and the part of it that they are.

    ``outcomes`` are the attempts by how they ended, ``answered`` the requests that have a response
    time.
    """
    none = answered * 0
    if measure is Measure.SHARE_503:
        return outcomes.get("cold_start", none), sum(outcomes.values(), none)
    # An attempt without a response ends its request, which has no response time then.
    requests = answered + outcomes.get("timeout", none) + outcomes.get("connection_error", none)
    return requests - outcomes.get("ok", none), requests


async def run_figures(
    source: Source, window: Window, measures: Collection[Measure], *, seconds: float
) -> RunFigures:
    """What happened in the whole of ``window``, as far as ``measures`` need it."""
    histograms = {measure for measure in measures if measure in HISTOGRAMS}
    if any(measure in _OF_REQUESTS for measure in measures):
        histograms.add(Measure.RESPONSE_TIME)
    return RunFigures(
        seconds=seconds,
        attempts=await _grown(source, window, ATTEMPTS, "outcome"),
        distributions={
            measure: await _distributions(source, window, HISTOGRAMS[measure])
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
    places = [place_of(dict(labels)) for labels in found.labels]
    return Distributions(found.bounds, dict(zip(places, totals, strict=True)))


async def _grown(source: Source, window: Window, metric: str, label: str) -> Counts:
    found = await source.increases(metric, window, by=("region", "routing", label), match={})
    _check_whole(metric, found.left_out)
    by_place: dict[Place, dict[str, float]] = {}
    for labels, values in zip(found.labels, found.values, strict=True):
        told = dict(labels)
        by_place.setdefault(place_of(told), {})[told.get(label, "")] = float(np.nansum(values))
    return Counts(by_place)


def _check_whole(metric: str, left_out: int) -> None:
    if left_out:
        raise StoreError(f"{metric} has {left_out} label sets more than can be told apart")


def place_of(labels: Mapping[str, str]) -> Place:
    """Where a line is of."""
    return labels.get("region", ""), labels.get("routing", "")


def _places(known: Collection[Place], region: str | None, routing: str | None) -> list[Place]:
    return [place for place in known if region in (None, place[0]) and routing in (None, place[1])]


def figure_of(counts: Array, bounds: tuple[float, ...], q: float | None) -> Figure:
    """A quantile of a histogram, the largest one for ``None``."""
    value = float(quantiles(counts, 1.0 if q is None else q, bounds))
    if isnan(value):
        return Figure(None, 0)
    return Figure(inf if value >= bounds[-2] else value, round(counts.sum()))


def share_of(part: float, whole: float) -> Figure:
    """A share of so many samples."""
    return Figure(part / whole, round(whole)) if whole > 0 else Figure(None, 0)
