"""Which series a target exposes, arranged so that a scrape's values are worked on as arrays.

A target's series seldom change from one scrape to the next, so a :class:`Shape` is worked out once
and used as long as the raw texts stay the same.

A target that invents labels must fill neither store nor page. So it has a limited number of label
sets, which those get that came first, in the order of its pages. They keep it as long as its
process lives, also while they are away: one that had been left out would come in with all that it
had counted, and so would one that came back after another had taken its place.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.errors import ExpositionError
from dashboard.exposition import Exposition, Labels, SeriesName, parse_number, parse_series
from flash.buckets import BOUNDS_S

__all__ = [
    "DEFAULT_SERIES_LIMIT",
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

DEFAULT_SERIES_LIMIT: Final = 5_000
"""Label sets of one target that are stored; all of a histogram's series are one."""

_PROCESS_STARTED: Final = SeriesName("process_start_time_seconds", ())
_TARGET_STARTED: Final = "target_start_timestamp_seconds"
_RUN_STARTED: Final = "loadgen_run_start_timestamp_seconds"
_HISTOGRAM_PARTS: Final = ("_bucket", "_sum", "_count")
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

    ``at`` holds positions in the values of a scrape within the limit: one per series, or for a
    histogram one row per series and one column per bound. Position -1, the value after the last, is
    a zero: it stands where a bucket or a sum is not exposed. ``bounds`` are a histogram's upper
    bounds, the last one infinite.
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

    ``series`` are the raw texts of what is stored, and ``places`` where they stand in the scrape.
    ``started_at`` is the position among them of the process's start time, ``None`` where the target
    tells none or several; ``runs_started_at`` are those of the load generator's runs. ``dropped``
    counts label sets left out because the target has more than are stored.
    """

    series: list[str]
    places: NDArray[np.intp]
    families: tuple[Family, ...]
    started_at: int | None
    runs_started_at: NDArray[np.intp]
    dropped: int

    def within(self, scrape: Exposition) -> Exposition:
        """The part of a scrape of this shape that is stored."""
        lines = [scrape.lines[place] for place in self.places.tolist()]
        return Exposition(self.series, scrape.values[self.places], scrape.comments, lines)


@dataclass(slots=True)
class ShapeReader:
    """Reads the shapes of one target; keeps what it learnt of its series. For one task."""

    most_series: int = DEFAULT_SERIES_LIMIT
    _names: dict[str, SeriesName] = field(default_factory=dict)
    _known: set[SeriesName] = field(default_factory=set)
    _shape: Shape | None = None
    _series: list[str] = field(default_factory=list)
    _comments: list[str] = field(default_factory=list)

    def know(self, series: Iterable[str]) -> None:
        """Take raw texts that were stored before for what has come first."""
        ours = (raw for raw in series if raw.startswith(STORED_PREFIXES))
        self._known.update(_label_set(parse_series(raw)) for raw in ours)

    def start_anew(self) -> None:
        """Let others come first: the target's process has restarted, and counts from zero."""
        self._known.clear()
        self._shape = None

    def shape_of(self, scrape: Exposition) -> Shape:
        """The shape of a scrape; the very same object while the series stay the same.

        Raises:
            ExpositionError: a series that is garbage or stands there twice, or a histogram
                whose buckets are.
        """
        known = self._shape
        if (
            known is not None
            and self._series == scrape.series
            and self._comments == scrape.comments
        ):
            return known
        names = [
            self._name(raw, line) for raw, line in zip(scrape.series, scrape.lines, strict=True)
        ]
        _check_unique(scrape, names)
        places, new, left_out = self._within_limit(names)
        shape = _shape(scrape, names, places, left_out)
        # Nothing is learnt from a page that is refused.
        self._known |= new
        self._shape, self._series, self._comments = shape, scrape.series, scrape.comments
        # Texts of series that went away must not pile up.
        self._names = dict(zip(scrape.series, names, strict=True))
        return shape

    def _within_limit(self, names: list[SeriesName]) -> tuple[list[int], set[SeriesName], int]:
        """Where those stand that are stored, their new label sets, and how many had no room."""
        places: list[int] = []
        new: set[SeriesName] = set()
        left_out: set[SeriesName] = set()
        for place, series in enumerate(names):
            if not series.name.startswith(STORED_PREFIXES) or series.name.endswith("_created"):
                continue
            # Without its start time a process that restarts would not be seen to.
            if series != _PROCESS_STARTED:
                label_set = _label_set(series)
                if label_set not in self._known and label_set not in new:
                    if len(self._known) + len(new) >= self.most_series:
                        left_out.add(label_set)
                        continue
                    new.add(label_set)
            places.append(place)
        return places, new, len(left_out)

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


def _check_unique(scrape: Exposition, names: list[SeriesName]) -> None:
    seen: set[SeriesName] = set()
    for at, series in enumerate(names):
        if series in seen:
            raw = scrape.series[at][:80]
            raise ExpositionError(scrape.lines[at], f"series {raw!r} stands there twice")
        seen.add(series)


def _label_set(series: SeriesName) -> SeriesName:
    """What a series counts as: all of a histogram's are one, and are stored whole or not at all."""
    for part in _HISTOGRAM_PARTS:
        base = series.name.removesuffix(part)
        if base != series.name:
            return SeriesName(base, tuple(pair for pair in series.labels if pair[0] != "le"))
    return series


def _shape(scrape: Exposition, names: list[SeriesName], places: list[int], dropped: int) -> Shape:
    types = _types(scrape.comments)
    scalars: dict[tuple[str, Kind], dict[Labels, int]] = {}
    histograms: dict[str, dict[Labels, _Histogram]] = {}
    stored = [names[place] for place in places]
    for at, (place, series) in enumerate(zip(places, stored, strict=True)):
        base, part = _histogram_part(series.name, types)
        if part:
            line = scrape.lines[place]
            _add_to_histogram(histograms.setdefault(base, {}), part, series, at, line)
        else:
            kind = _kind(series.name, types)
            scalars.setdefault((series.name, kind), {})[series.labels] = at
    return Shape(
        [scrape.series[place] for place in places],
        np.array(places, dtype=np.intp),
        (*_scalar_families(scalars), *_histogram_families(histograms)),
        _started(stored),
        np.array([at for at, s in enumerate(stored) if s.name == _RUN_STARTED], dtype=np.intp),
        dropped,
    )


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
    for part in _HISTOGRAM_PARTS:
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
            bound = parse_number(told)
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
