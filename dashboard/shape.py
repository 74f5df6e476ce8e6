"""Which series a target exposes, arranged so that a scrape's values are worked on as arrays.

A target's series seldom change from one scrape to the next, so a :class:`Shape` is worked out once
and used as long as the raw texts stay the same.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.errors import ExpositionError
from dashboard.exposition import Exposition, Labels, SeriesName, parse_series
from flash.buckets import BOUNDS_S

__all__ = [
    "MOST_BUCKETS",
    "STORED_PREFIXES",
    "Family",
    "Kind",
    "Shape",
    "ShapeReader",
]

STORED_PREFIXES: Final = ("loadgen_", "target_", "edge_", "process_")
"""Metrics whose names begin so are stored; all others are only checked."""

MOST_BUCKETS: Final = 256
"""Buckets a histogram may have, the last one up to infinity included."""

_PROCESS_STARTED: Final = SeriesName("process_start_time_seconds", ())
_TARGET_STARTED: Final = "target_start_timestamp_seconds"
_RUN_STARTED: Final = "loadgen_run_start_timestamp_seconds"
_STANDARD: Final = (*BOUNDS_S, float("inf"))
_STANDARD_SET: Final = frozenset(_STANDARD)


class Kind(StrEnum):
    """What the numbers of a metric mean."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Family:
    """All series of one metric of one target.

    ``at`` holds positions in the scrape's values: one per series, or for a histogram one row per
    series and one column per bound. Position -1, the value after the last, is a zero: it stands
    where a bucket or a sum is not exposed. ``bounds`` are a histogram's upper bounds, the last
    one infinite.
    """

    name: str
    kind: Kind
    labels: tuple[Labels, ...]
    at: NDArray[np.intp]
    bounds: tuple[float, ...] = ()
    sums_at: NDArray[np.intp] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """The families of one target, and where its start times stand.

    ``series`` are the raw texts it was read from. ``started_at`` is the position of the process's
    start time, ``None`` where the target tells none or several; ``runs_started_at`` are those of
    the load generator's runs. ``dropped`` counts series left out because the target has more
    label sets than are stored.
    """

    series: list[str]
    families: tuple[Family, ...]
    started_at: int | None
    runs_started_at: NDArray[np.intp]
    dropped: int


@dataclass(slots=True)
class ShapeReader:
    """Reads the shapes of one target; keeps what it learnt of its series. For one task."""

    most_series: int = 5_000
    _names: dict[str, SeriesName] = field(default_factory=dict)
    _shape: Shape | None = None
    _comments: list[str] = field(default_factory=list)

    def shape_of(self, scrape: Exposition) -> Shape:
        """The shape of a scrape; the very same object while the series stay the same.

        Raises:
            ExpositionError: a series that is garbage or stands there twice, or a histogram
                whose buckets are.
        """
        known = self._shape
        if (
            known is not None
            and known.series == scrape.series
            and self._comments == scrape.comments
        ):
            return known
        names = [
            self._name(raw, line) for raw, line in zip(scrape.series, scrape.lines, strict=True)
        ]
        # Texts of series that went away must not pile up.
        self._names = dict(zip(scrape.series, names, strict=True))
        self._shape = _shape(scrape, names, self.most_series)
        self._comments = scrape.comments
        return self._shape

    def _name(self, raw: str, line: int) -> SeriesName:
        known = self._names.get(raw)
        if known is not None:
            return known
        try:
            return parse_series(raw)
        except ValueError as error:
            raise ExpositionError(line, str(error)) from error


@dataclass(slots=True)
class _Histogram:
    buckets: dict[float, int] = field(default_factory=dict)
    sum_at: int = -1


def _shape(scrape: Exposition, names: list[SeriesName], most_series: int) -> Shape:
    types = _types(scrape.comments)
    scalars: dict[tuple[str, Kind], dict[Labels, int]] = {}
    histograms: dict[str, dict[Labels, _Histogram]] = {}
    seen: set[SeriesName] = set()
    for at, series in enumerate(names):
        line = scrape.lines[at]
        if series in seen:
            raise ExpositionError(line, f"series {scrape.series[at][:80]!r} stands there twice")
        seen.add(series)
        if not series.name.startswith(STORED_PREFIXES):
            continue
        base, part = _histogram_part(series.name, types)
        if part:
            _add_to_histogram(histograms.setdefault(base, {}), part, series, at, line)
        elif not series.name.endswith("_created"):
            kind = _kind(series.name, types)
            scalars.setdefault((series.name, kind), {})[series.labels] = at
    families = [*_scalar_families(scalars), *_histogram_families(histograms)]
    kept, dropped = _bounded(families, most_series)
    runs = [at for at, series in enumerate(names) if series.name == _RUN_STARTED]
    return Shape(scrape.series, kept, _started(names), np.array(runs, dtype=np.intp), dropped)


def _started(names: list[SeriesName]) -> int | None:
    # Of several start times the earliest would move when its process goes, as if all restarted.
    if _PROCESS_STARTED in names:
        return names.index(_PROCESS_STARTED)
    told = [at for at, series in enumerate(names) if series.name == _TARGET_STARTED]
    return told[0] if len(told) == 1 else None


def _types(comments: Iterable[str]) -> dict[str, str]:
    words = (comment.split() for comment in comments)
    return {word[2]: word[3] for word in words if len(word) == 4 and word[1] == "TYPE"}


def _kind(name: str, types: dict[str, str]) -> Kind:
    base = name.removesuffix("_total")
    told = types.get(name) or types.get(base)
    if told == "counter" or (told is None and name.endswith("_total")):
        return Kind.COUNTER
    return Kind.GAUGE


def _histogram_part(name: str, types: dict[str, str]) -> tuple[str, str]:
    for part in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(part)
        if base != name and types.get(base) == "histogram":
            return base, part
    return name, ""


def _add_to_histogram(
    family: dict[Labels, _Histogram], part: str, series: SeriesName, at: int, line: int
) -> None:
    labels = (
        tuple(pair for pair in series.labels if pair[0] != "le")
        if part == "_bucket"
        else (series.labels)
    )
    histogram = family.setdefault(labels, _Histogram())
    if part == "_sum":
        histogram.sum_at = at
    elif part == "_bucket":
        told = dict(series.labels).get("le", "")
        try:
            bound = float(told)
        except ValueError:
            raise ExpositionError(line, f"expected a number as le, got {told[:40]!r}") from None
        if bound in histogram.buckets or bound != bound:
            raise ExpositionError(line, f"bucket le={told!r} is not a number or stands there twice")
        histogram.buckets[bound] = at


def _scalar_families(
    scalars: dict[tuple[str, Kind], dict[Labels, int]],
) -> Iterator[Family]:
    for (name, kind), series in scalars.items():
        yield Family(name, kind, tuple(series), np.array(list(series.values()), dtype=np.intp))


def _histogram_families(histograms: dict[str, dict[Labels, _Histogram]]) -> Iterator[Family]:
    for name, by_labels in histograms.items():
        by_bounds: dict[tuple[float, ...], dict[Labels, _Histogram]] = {}
        for labels, histogram in by_labels.items():
            bounds = _bounds(histogram)
            if bounds:
                by_bounds.setdefault(bounds, {})[labels] = histogram
        for bounds, series in by_bounds.items():
            rows = [[h.buckets.get(bound, -1) for bound in bounds] for h in series.values()]
            yield Family(
                name,
                Kind.HISTOGRAM,
                tuple(series),
                np.array(rows, dtype=np.intp),
                bounds,
                np.array([h.sum_at for h in series.values()], dtype=np.intp),
            )


def _bounds(histogram: _Histogram) -> tuple[float, ...]:
    # A target may leave out buckets that hold nothing, so part of our layout is our layout.
    if float("inf") not in histogram.buckets or len(histogram.buckets) > MOST_BUCKETS:
        return ()
    if histogram.buckets.keys() <= _STANDARD_SET:
        return _STANDARD
    return tuple(sorted(histogram.buckets))


def _bounded(families: list[Family], most: int) -> tuple[tuple[Family, ...], int]:
    kept: list[Family] = []
    room, dropped = most, 0
    for family in families:
        here = min(len(family.labels), room)
        room -= here
        dropped += len(family.labels) - here
        if here == len(family.labels):
            kept.append(family)
        elif here:
            sums = family.sums_at
            kept.append(
                Family(
                    family.name,
                    family.kind,
                    family.labels[:here],
                    family.at[:here],
                    family.bounds,
                    None if sums is None else sums[:here],
                )
            )
    return tuple(kept), dropped
