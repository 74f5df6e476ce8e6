"""Whether a run was better or worse than another one, figure by figure, and how sure that is.

Two runs are compared stretch by stretch: the first fortieth of one with the first fortieth of the
other, so that a load that rises over a run is no difference between two such runs. What chance may
have done is learnt from how much the stretches differ (:mod:`dashboard.confidence`). What is the
same for the whole of a run, such as the machine that a container came to, cannot be learnt so.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum
from math import expm1, log1p
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.confidence import MOST_BLOCKS, Difference, blocks_of, difference_of
from dashboard.finished_run import FINEST_S, FinishedRun
from dashboard.measurement import measurement_problems
from dashboard.model import Run
from dashboard.quantiles import log_quantiles
from dashboard.run_figures import (
    ATTEMPTS,
    HISTOGRAMS,
    Figure,
    Place,
    figure_of,
    part_and_whole,
    place_of,
    share_of,
)
from dashboard.source import Source
from dashboard.window import Window
from flash.objective import Measure, Unit

__all__ = [
    "COMPARED",
    "FALSE_ALARMS",
    "TOLERANCE",
    "Compared",
    "Outcome",
    "Row",
    "RunComparison",
    "Stretches",
    "Verdict",
    "compare_runs",
    "compared_rows",
]

FALSE_ALARMS: Final = 0.05
"""The share of comparisons of equal runs in which a row is better or worse; and, of all rows
together, in which any of them is so for sure."""

TOLERANCE: Final = 0.02
"""A change of up to this share of the figure before is taken for none: where a run begins and ends
within a second makes about as much."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Compared:
    """A figure that is compared; ``quantile`` (0 to 1) where it is one of a distribution."""

    name: str
    measure: Measure
    quantile: float | None = None


COMPARED: Final = (
    Compared("p50", Measure.LATENCY, 0.5),
    Compared("p95", Measure.LATENCY, 0.95),
    Compared("p99", Measure.LATENCY, 0.99),
    Compared("response_time.p95", Measure.RESPONSE_TIME, 0.95),
    Compared("share_503", Measure.SHARE_503),
    Compared("errors", Measure.ERRORS),
    Compared("throughput", Measure.THROUGHPUT),
    Compared("cold_start_wait.p50", Measure.COLD_START_WAIT, 0.5),
)
"""The figures of a comparison, in the order of its rows."""

_READ: Final = (Measure.LATENCY, Measure.RESPONSE_TIME, Measure.COLD_START_WAIT)


class Verdict(StrEnum):
    """What one figure says of the later run."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    TOO_LITTLE_DATA = "too little data"


class Outcome(IntEnum):
    """What a comparison comes to, and the command ends with."""

    NOT_WORSE = 0
    WORSE = 1
    UNUSABLE = 2
    BAD_MEASUREMENT = 3


@dataclass(frozen=True, slots=True, eq=False)
class Stretches:
    """What a run that took ``seconds`` counted in each of as many stretches of its time.

    Histograms are (stretches, buckets) by what they measure and by place, ``outcomes`` (stretches,)
    by place and by how attempts ended. ``lengths_s`` add up to ``seconds``.
    """

    seconds: float
    lengths_s: Array
    bounds: Mapping[Measure, tuple[float, ...]]
    histograms: Mapping[Measure, Mapping[Place, Array]]
    outcomes: Mapping[Place, Mapping[str, Array]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure of one region and routing in the run before (``base``) and in the later one.

    ``difference`` is of the logarithms for durations, else plain. ``p`` is how likely chance makes
    a difference like this, ``p_of_all`` the same in view of how many rows there are; both are
    ``None`` where there is too little data.
    """

    compared: Compared
    region: str
    routing: str
    base: Figure
    run: Figure
    difference: Difference | None = None
    margin: float = 0.0
    p_of_all: float | None = None

    @property
    def p(self) -> float | None:
        return None if self.difference is None else self.difference.p_value(self.margin)

    @property
    def verdict(self) -> Verdict:
        """By this row alone."""
        if self.difference is None or self.p is None:
            return Verdict.TOO_LITTLE_DATA
        if self.p > FALSE_ALARMS:
            return Verdict.NO_DIFFERENCE
        higher_is_better = self.compared.measure is Measure.THROUGHPUT
        return Verdict.BETTER if (self.difference.value > 0) == higher_is_better else Verdict.WORSE

    @property
    def is_sure(self) -> bool:
        """Whether the verdict also holds in view of all rows."""
        return self.p_of_all is not None and self.p_of_all <= FALSE_ALARMS

    @property
    def unit(self) -> Unit:
        return self.compared.measure.unit

    @property
    def change(self) -> tuple[float, float, float] | None:
        """The change and the ends of its 95 % interval.

        Of durations as a share of the one before, of others in their unit.
        """
        if self.difference is None:
            return None
        low, high = self.difference.interval
        told = (self.difference.value, low, high)
        if self.unit is not Unit.SECONDS:
            return told
        value, low, high = map(expm1, told)
        return value, low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class RunComparison:
    """All rows of two runs, and what is wrong with the measurement of either."""

    base: Run
    run: Run
    tolerance: float
    rows: tuple[Row, ...]
    problems: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Worse if any row is for sure."""
        if self.problems:
            return Outcome.BAD_MEASUREMENT
        if all(row.verdict is Verdict.TOO_LITTLE_DATA for row in self.rows):
            return Outcome.UNUSABLE
        worse = any(row.is_sure and row.verdict is Verdict.WORSE for row in self.rows)
        return Outcome.WORSE if worse else Outcome.NOT_WORSE


async def compare_runs(
    source: Source, base: FinishedRun, run: FinishedRun, *, tolerance: float = TOLERANCE
) -> RunComparison:
    """Compare a run with one before; both have ended."""
    windows = [await source.window(one.start, one.end, FINEST_S) for one in (base, run)]
    count = min(MOST_BLOCKS, *(window.steps for window in windows))
    both = list(zip((base, run), windows, strict=True))
    told = [await measurement_problems(source, window, start=one.start) for one, window in both]
    first, second = [await _stretches(source, one, window, count) for one, window in both]
    return RunComparison(
        base=base.run,
        run=run.run,
        tolerance=tolerance,
        # Who serves pages meanwhile is not to wait for it.
        rows=await asyncio.to_thread(compared_rows, first, second, tolerance),
        problems=tuple(
            f"run {one.run.run}: {problem}"
            for one, problems in zip((base, run), told, strict=True)
            for problem in problems
        ),
    )


def compared_rows(base: Stretches, run: Stretches, tolerance: float = TOLERANCE) -> tuple[Row, ...]:
    """Every figure of every place that either run sent requests to."""
    places = sorted(
        place
        for place in base.outcomes.keys() | run.outcomes.keys()
        if any(_attempts(one, place).any() for one in (base, run))
    )
    rows = [
        _row(compared, place, base, run, tolerance) for place in places for compared in COMPARED
    ]
    return _in_view_of_all([row for row in rows if row is not None])


def _row(
    compared: Compared, place: Place, base: Stretches, run: Stretches, tolerance: float
) -> Row | None:
    """``None`` where neither run has the figure."""
    first, second = (_columns(compared, one, place) for one in (base, run))
    before = _figure(compared, base, place, first)
    after = _figure(compared, run, place, second)
    if before.value is None and after.value is None:
        return None
    row = Row(compared=compared, region=place[0], routing=place[1], base=before, run=after)
    bounds = base.bounds.get(compared.measure)
    if before.value is None or after.value is None or bounds != run.bounds.get(compared.measure):
        return row
    if bounds is not None and compared.quantile is not None:
        held = _held(first.sum(axis=0) + second.sum(axis=0))
        bounds, first, second = bounds[held], first[:, held], second[:, held]
    difference = difference_of(first, second, _figures_of(compared, bounds))
    margin = log1p(tolerance) if row.unit is Unit.SECONDS else tolerance * before.value
    return replace(row, difference=difference, margin=margin)


def _figures_of(compared: Compared, bounds: tuple[float, ...] | None) -> Callable[[Array], Array]:
    """The figure of each of many sums over stretches: what is compared with what chance makes."""
    q = compared.quantile
    if q is not None and bounds is not None:
        return lambda drawn: log_quantiles(drawn, q, bounds)

    def ratio(drawn: Array) -> Array:
        found: Array = np.full(len(drawn), np.nan)
        np.divide(drawn[:, 0], drawn[:, 1], out=found, where=drawn[:, 1] > 0)
        return found

    return ratio


def _held(counts: Array) -> slice:
    """The buckets that hold something, and an empty one at either end if there is one.

    Most hold nothing, and what is drawn a thousand times is better short.
    """
    places = np.flatnonzero(counts)
    return slice(max(0, int(places[0]) - 1), int(places[-1]) + 2)


def _columns(compared: Compared, of: Stretches, place: Place) -> Array:
    """What a figure is made of, (stretches, columns): a histogram's buckets, or part and whole."""
    if compared.quantile is not None:
        return _histogram(of, compared.measure, place)
    outcomes = of.outcomes.get(place, {})
    if compared.measure is Measure.THROUGHPUT:
        part, whole = outcomes.get("ok", np.zeros(len(of.lengths_s))), of.lengths_s
    else:
        answered = _histogram(of, Measure.RESPONSE_TIME, place).sum(axis=1)
        part, whole = part_and_whole(compared.measure, outcomes, answered)
    return np.column_stack((part, whole))


def _figure(compared: Compared, of: Stretches, place: Place, columns: Array) -> Figure:
    """The figure of the whole run: what a check of it says."""
    if not _attempts(of, place).any():
        return Figure(None, 0)
    total = columns.sum(axis=0)
    if compared.quantile is not None:
        return figure_of(total, of.bounds[compared.measure], compared.quantile)
    if compared.measure is not Measure.THROUGHPUT:
        return share_of(*total.tolist())
    good, seconds = total.tolist()
    return Figure(good / seconds if seconds > 0 else None, round(good))


def _histogram(of: Stretches, measure: Measure, place: Place) -> Array:
    empty = np.zeros((len(of.lengths_s), len(of.bounds[measure])))
    return of.histograms[measure].get(place, empty)


def _attempts(of: Stretches, place: Place) -> Array:
    none: Array = np.zeros(len(of.lengths_s))
    return sum(of.outcomes.get(place, {}).values(), none)


def _in_view_of_all(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with ``p_of_all``, after Holm: of equal runs no row at all is sure in 95 of 100.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979.
    """
    told = sorted((row.p, at) for at, row in enumerate(rows) if row.p is not None)
    adjusted = dict(_holm(told))
    return tuple(replace(row, p_of_all=adjusted.get(at)) for at, row in enumerate(rows))


def _holm(ascending: Sequence[tuple[float, int]]) -> Iterator[tuple[int, float]]:
    highest = 0.0
    for rank, (p, at) in enumerate(ascending):
        highest = max(highest, min(1.0, p * (len(ascending) - rank)))
        yield at, highest


async def _stretches(source: Source, of: FinishedRun, window: Window, count: int) -> Stretches:
    """What the run counted, in ``count`` stretches of about the same length."""
    by = ("region", "routing")
    attempts, read = await asyncio.gather(
        source.increases(ATTEMPTS, window, by=(*by, "outcome"), match={}),
        asyncio.gather(
            *(source.histograms(HISTOGRAMS[one], window, by=by, match={}) for one in _READ)
        ),
    )
    outcomes: dict[Place, dict[str, Array]] = {}
    for labels, values in zip(attempts.labels, attempts.values, strict=True):
        told = dict(labels)
        grown = blocks_of(np.nan_to_num(values), count)
        outcomes.setdefault(place_of(told), {})[told.get("outcome", "")] = grown
    steps = blocks_of(np.ones(window.steps), count)
    seconds = (of.end if of.run.end is None else of.run.end) - of.run.start
    return Stretches(
        seconds=seconds,
        lengths_s=steps * seconds / window.steps,
        bounds={measure: found.bounds for measure, found in zip(_READ, read, strict=True)},
        histograms={
            measure: {
                place_of(dict(labels)): blocks_of(counts, count)
                for labels, counts in zip(found.labels, found.counts, strict=True)
            }
            for measure, found in zip(_READ, read, strict=True)
        },
        outcomes=outcomes,
    )
