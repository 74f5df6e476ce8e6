"""What happened between two scrapes of one target: increments over counters that may restart.

Rules, per series:

* Its last value is known: the increment is the difference. A value below the last one says that
  the counter restarted at zero, so the increment is the new value. A process that tells its start
  time and tells a later one than before has restarted with all its counters.
* Its last value is not known, but earlier scrapes of the target are: it has come since, so it
  counts from zero.
* The target itself is new: its values are what they were before anyone looked, a base line and
  no increment, unless it is known to have started while we were watching, or less than a minute
  before; then it counts from zero.

A histogram restarts whole: one bucket below its last value makes all of them new. Its sum is not a
number where it is not told, or is not one there.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.errors import ExpositionError
from dashboard.exposition import Exposition
from dashboard.shape import Family, Kind, Shape

__all__ = ["Increment", "Memory", "counting_since", "has_restarted", "increments", "remembered"]

Array = NDArray[np.float64]

LARGEST_COUNT: Final = 2.0**53
"""What a counter may have reached; beyond, a float no longer counts by ones."""

LARGEST_BUCKET: Final = 2.0**40
"""What a bucket may have reached; the store's rows are made for less."""

# Start times are told to a hundredth of a second by some sources and wander by as much.
_START_MOVED_S = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The last raw values of one target: what the next scrape is compared with.

    ``series`` are raw texts and ``values`` theirs. ``gone`` are series that the last scrape lacked
    but an earlier one had. ``started_s`` is the process's start in Unix seconds, if it told.
    """

    series: list[str]
    values: Array
    gone: dict[str, float]
    started_s: float | None


@dataclass(frozen=True, slots=True, eq=False)
class Increment:
    """One family's part of a scrape.

    ``values`` are increments of counters, values of gauges, or for a histogram the increment of
    each bucket, one row per series. ``sums`` are the increments of a histogram's sum. They are
    ``None`` where there is only a base line.
    """

    family: Family
    values: Array | None
    sums: Array | None = None


def counting_since(shape: Shape, scrape: Exposition) -> float | None:
    """Since when the target's counters count, in Unix seconds, as far as it tells.

    The load generator counts from the first of its runs on, which may be long after its start.
    """
    started = _started(shape, scrape)
    runs = scrape.values[shape.runs_started_at]
    runs = runs[np.isfinite(runs) & (runs > 0)]
    if not runs.size:
        return started
    return max(float(runs.min()), started or 0.0)


def has_restarted(shape: Shape, scrape: Exposition, last: Memory | None) -> bool:
    """Whether the target tells a later start of its process than at ``last``."""
    return last is not None and _restarted(_started(shape, scrape), last)


def increments(
    shape: Shape, scrape: Exposition, last: Memory | None, *, from_zero: bool
) -> list[Increment]:
    """Each family's increments since ``last``.

    ``from_zero`` says that a target never scraped before is known to have started at zero.

    Raises:
        ExpositionError: a counter that is negative or not a number, or a histogram whose buckets
            are not cumulative.
    """
    now = np.append(scrape.values, 0.0)
    before = _before(shape, scrape, last)
    found: list[Increment] = []
    for family in shape.families:
        if family.kind is Kind.GAUGE:
            found.append(Increment(family, now[family.at]))
            continue
        _check(family, scrape, now)
        if last is None and not from_zero:
            found.append(Increment(family, None))
        elif family.kind is Kind.COUNTER:
            found.append(Increment(family, _counted(now[family.at], before[family.at])))
        else:
            found.append(_histogram(family, now, before))
    return found


def remembered(shape: Shape, scrape: Exposition, last: Memory | None) -> Memory:
    """The memory after this scrape."""
    started = _started(shape, scrape)
    if last is None or _restarted(started, last):
        return Memory(scrape.series, scrape.values, {}, started)
    if last.series is scrape.series or last.series == scrape.series:
        return Memory(last.series, scrape.values, last.gone, started)
    here = set(scrape.series)
    gone = {**last.gone, **dict(zip(last.series, last.values.tolist(), strict=True))}
    kept = {raw: value for raw, value in gone.items() if raw not in here}
    return Memory(scrape.series, scrape.values, kept, started)


def _started(shape: Shape, scrape: Exposition) -> float | None:
    if shape.started_at is None:
        return None
    told = float(scrape.values[shape.started_at])
    return told if np.isfinite(told) and told > 0 else None


def _restarted(started: float | None, last: Memory) -> bool:
    return (
        started is not None
        and last.started_s is not None
        and started > last.started_s + _START_MOVED_S
    )


def _before(shape: Shape, scrape: Exposition, last: Memory | None) -> Array:
    """Last values in the order of ``scrape``; zero for series that had none."""
    if last is None or has_restarted(shape, scrape, last):
        return np.zeros(len(scrape.values) + 1)
    if last.series is scrape.series or last.series == scrape.series:
        return np.append(last.values, 0.0)
    known = {**last.gone, **dict(zip(last.series, last.values.tolist(), strict=True))}
    return np.array([*(known.get(raw, 0.0) for raw in scrape.series), 0.0])


def _check(family: Family, scrape: Exposition, now: Array) -> None:
    values = now[family.at]
    bad = ~((values >= 0) & (values <= LARGEST_COUNT))  # also true of what is not a number
    if family.kind is Kind.HISTOGRAM and not bad.any():
        cumulative = values == np.maximum.accumulate(values, axis=1)
        whole = (values == np.floor(values)) & (values <= LARGEST_BUCKET)
        bad = (family.at >= 0) & ~(cumulative & whole)
    if bad.any():
        at = int(family.at[bad][0])
        what = "cumulative buckets" if family.kind is Kind.HISTOGRAM else "a count"
        raise ExpositionError(
            scrape.lines[at],
            f"expected {what} in {scrape.series[at][:80]!r}, got {scrape.values[at]:g}",
        )


def _counted(now: Array, before: Array) -> Array:
    difference = now - before
    return np.where(difference < 0, now, difference)


def _histogram(family: Family, now: Array, before: Array) -> Increment:
    ups = np.maximum.accumulate(now[family.at], axis=1)
    downs = np.maximum.accumulate(before[family.at], axis=1)
    difference = np.diff(ups - downs, axis=1, prepend=0.0)
    restarted = (difference < 0).any(axis=1)
    if restarted.any():
        difference[restarted] = np.diff(ups[restarted], axis=1, prepend=0.0)
    assert family.sums_at is not None
    sums_now, sums_before = (
        np.where(np.isfinite(values[family.sums_at]), values[family.sums_at], np.nan)
        for values in (now, before)
    )
    sums = np.where(restarted, sums_now, sums_now - sums_before)
    return Increment(family, difference, np.where(family.sums_at >= 0, sums, np.nan))
