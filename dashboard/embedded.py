"""The source that reads our own store, on connections of its own beside the writing one."""

import asyncio
import json
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from dashboard.errors import StoreError
from dashboard.exposition import Labels
from dashboard.model import Event, Run
from dashboard.rollup import FINE, LEVELS, TIME_BITS, last_rolled_up, raw_from, row_key
from dashboard.rows import SCALAR, BucketEntries, read_buckets
from dashboard.shape import Kind
from dashboard.source import MOST_HISTOGRAMS, MOST_LINES, Histograms, Match, Scalars
from dashboard.store import read_only
from dashboard.window import Window, window
from flash.buckets import BOUNDS_S

__all__ = ["EmbeddedSource"]

_READERS: Final = 2
_TIME_LIMIT_S: Final = 10.0
_STEPS_BETWEEN_LOOKS: Final = 20_000  # SQLite's virtual machine; a few milliseconds
_MASK: Final = (1 << TIME_BITS) - 1
_STANDARD: Final = (*BOUNDS_S, float("inf"))

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class _Family:
    """A family as a query sees it: ``groups`` maps a series' position to its line, -1 for none."""

    number: int
    groups: NDArray[np.intp]
    since: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """A family's rows in a window: ``steps`` is the step of each."""

    steps: NDArray[np.intp]
    data: list[bytes]
    sums: list[bytes]


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """The label sets of an answer, at most ``most``, in the order in which they came first."""

    most: int
    places: dict[Labels, int] = field(default_factory=dict)
    left_out: set[Labels] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.places)

    def place(self, labels: Labels) -> int:
        """The place of a label set, -1 where there is no room for it."""
        known = self.places.get(labels)
        if known is None and len(self.places) < self.most:
            known = self.places[labels] = len(self.places)
        if known is None:
            self.left_out.add(labels)
            return -1
        return known


class EmbeddedSource:
    """Reads the store at ``path``, which :class:`dashboard.store.Store` has made before."""

    is_exact = True

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        time_limit_s: float = _TIME_LIMIT_S,
    ) -> None:
        self._path = path
        self._clock = clock
        self._time_limit_s = time_limit_s
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="dashboard-reader")
        self._local = threading.local()
        self._open: list[sqlite3.Connection] = []

    async def window(self, start: float | None, end: float | None, step: float | None) -> Window:
        finest = await self._read(_kept_from)
        return window(start, end, step, now=self._clock(), finest=finest)

    async def increases(
        self, metric: str, window: Window, *, by: tuple[str, ...], match: Match
    ) -> Scalars:
        return await self._read(lambda c: _scalars(c, metric, Kind.COUNTER, window, by, match))

    async def gauges(
        self, metric: str, window: Window, *, by: tuple[str, ...], match: Match
    ) -> Scalars:
        return await self._read(lambda c: _scalars(c, metric, Kind.GAUGE, window, by, match))

    async def histograms(
        self, metric: str, window: Window, *, by: tuple[str, ...], match: Match
    ) -> Histograms:
        return await self._read(lambda c: _histograms(c, metric, window, by, match))

    async def label_values(self, metric: str, label: str) -> list[str]:
        def read(connection: sqlite3.Connection) -> list[str]:
            rows = connection.execute(
                "SELECT series.labels, target.labels FROM series "
                "JOIN family ON family.id = series.family JOIN target ON target.id = family.target "
                "WHERE family.name = ? ORDER BY series.first_second, family.id, series.position",
                (metric,),
            )
            told = ({**json.loads(own), **dict(json.loads(labels))} for labels, own in rows)
            return list(dict.fromkeys(labels[label] for labels in told if label in labels))

        return await self._read(read)

    async def runs(self) -> list[Run]:
        def read(connection: sqlite3.Connection) -> list[Run]:
            rows = connection.execute("SELECT run, start, end, labels FROM run ORDER BY start DESC")
            return [
                Run(run=run, start=start, end=end, labels=json.loads(labels))
                for run, start, end, labels in rows
            ]

        return await self._read(read)

    async def events(self, start: float, end: float) -> list[Event]:
        def read(connection: sqlite3.Connection) -> list[Event]:
            rows = connection.execute(
                "SELECT at, kind, text, labels FROM event WHERE at >= ? AND at < ? "
                "ORDER BY at LIMIT 2000",
                (start, end),
            )
            return [
                Event(at=at, kind=kind, text=text, labels=json.loads(labels))
                for at, kind, text, labels in rows
            ]

        return await self._read(read)

    async def last_second(self) -> int:
        """The newest second in which anything was scraped, 0 where nothing was (Unix seconds)."""

        def read(connection: sqlite3.Connection) -> int:
            (last,) = connection.execute("SELECT max(last_second) FROM target").fetchone()
            return int(last or 0)

        return await self._read(read)

    def close(self) -> None:
        """Wait for reads under way and close the connections."""
        self._readers.shutdown(wait=True, cancel_futures=True)
        for connection in self._open:
            connection.close()
        self._open.clear()

    async def _read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(
            self._readers, lambda: self._within_limit(read)
        )

    def _within_limit(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._connect()
            deadline = time.monotonic() + self._time_limit_s
            connection.set_progress_handler(
                lambda: int(time.monotonic() > deadline), _STEPS_BETWEEN_LOOKS
            )
            # One transaction, so that the answer is of one moment.
            connection.execute("BEGIN")
            try:
                return read(connection)
            finally:
                connection.set_progress_handler(None, 0)
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            if "interrupted" in str(error):
                raise StoreError(
                    f"the query took more than {self._time_limit_s:g} s; ask for a shorter window"
                ) from error
            raise StoreError(f"cannot read store {self._path}: {error}; see --store") from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            read_only(self._path),
            uri=True,
            timeout=2.0,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA cache_size = -32000")
        connection.execute("PRAGMA mmap_size = 134217728")
        self._local.connection = connection
        self._open.append(connection)
        return connection

    def __repr__(self) -> str:
        return f"EmbeddedSource({str(self._path)!r})"


def _kept_from(connection: sqlite3.Connection) -> dict[int, int]:
    since = raw_from(connection)
    return {level: since if level in FINE else 0 for level in LEVELS}


def _scalars(
    connection: sqlite3.Connection,
    metric: str,
    kind: Kind,
    window: Window,
    by: tuple[str, ...],
    match: Match,
) -> Scalars:
    lines = _Lines(MOST_LINES)
    families = _families(connection, metric, kind, window, lines, by, match).get((), [])
    values = np.zeros((len(lines), window.steps))
    scraped = np.zeros((len(lines), window.steps), dtype=np.bool_)
    for family in families:
        rows = _rows(connection, family.number, window)
        if not rows.data:
            continue
        entries = np.frombuffer(b"".join(rows.data), dtype=SCALAR)
        steps = np.repeat(rows.steps, _lengths(rows.data, SCALAR.itemsize))
        if kind is Kind.GAUGE:
            _add_gauges(family, entries, steps, values, scraped)
        else:
            _add_up(values, family.groups[entries["series"]], steps, entries["value"])
            _mark(scraped, family, rows.steps, window)
    return Scalars(tuple(lines.places), np.where(scraped, values, np.nan), len(lines.left_out))


def _histograms(
    connection: sqlite3.Connection,
    metric: str,
    window: Window,
    by: tuple[str, ...],
    match: Match,
) -> Histograms:
    lines = _Lines(min(MOST_LINES, MOST_HISTOGRAMS // window.steps))
    by_bounds = _families(connection, metric, Kind.HISTOGRAM, window, lines, by, match)
    # Histograms of different buckets cannot be merged; ours is what all our parts have.
    bounds = _STANDARD if _STANDARD in by_bounds or not by_bounds else next(iter(by_bounds))
    counts = np.zeros((len(lines), window.steps, len(bounds)))
    sums = np.zeros((len(lines), window.steps))
    scraped = np.zeros((len(lines), window.steps), dtype=np.bool_)
    for family in by_bounds.get(bounds, []):
        rows = _rows(connection, family.number, window)
        if not rows.data:
            continue
        entries = read_buckets(rows.data)
        _add_buckets(counts, family.groups[entries.series], rows.steps, entries)
        totals = np.frombuffer(b"".join(rows.sums), dtype=SCALAR)
        steps = np.repeat(rows.steps, _lengths(rows.sums, SCALAR.itemsize))
        _add_up(sums, family.groups[totals["series"]], steps, totals["value"])
        _mark(scraped, family, rows.steps, window)
    return Histograms(
        tuple(lines.places), bounds, counts, sums, scraped, left_out=len(lines.left_out)
    )


def _families(
    connection: sqlite3.Connection,
    metric: str,
    kind: Kind,
    window: Window,
    lines: "_Lines",
    by: tuple[str, ...],
    match: Match,
) -> dict[tuple[float, ...], list[_Family]]:
    """The metric's families in a window by their bounds; ``lines`` are those that they make."""
    rows = connection.execute(
        "SELECT family.id, bounds, target.labels, series.labels, series.first_second FROM family "
        "JOIN target ON target.id = family.target JOIN series ON series.family = family.id "
        "WHERE family.name = ? AND family.kind = ? "
        "AND target.first_second < ? AND target.last_second >= ? "
        "ORDER BY family.id, series.position",
        (metric, str(kind), window.end, window.start),
    ).fetchall()
    groups: dict[int, list[int]] = {}
    since: dict[int, list[int]] = {}
    bounds_of: dict[int, tuple[float, ...]] = {}
    for number, bounds, of_target, of_series, first in rows:
        if number not in groups:
            bounds_of[number] = tuple(np.frombuffer(bounds, dtype="<f8").tolist())
        labels = {**json.loads(of_target), **dict(json.loads(of_series))}
        line = -1
        if all(labels.get(name, "") in values for name, values in match.items()):
            key = tuple((name, labels[name]) for name in by if name in labels)
            line = lines.place(key)
        groups.setdefault(number, []).append(line)
        since.setdefault(number, []).append(first)
    found: dict[tuple[float, ...], list[_Family]] = {}
    for number, line_of in groups.items():
        if any(line >= 0 for line in line_of):
            family = _Family(number, np.array(line_of), np.array(since[number]))
            found.setdefault(bounds_of[number], []).append(family)
    return found


def _rows(connection: sqlite3.Connection, family: int, window: Window) -> _Rows:
    """A family's rows, from the coarsest level that the step allows, the rest from finer ones.

    In the order of time, since of a gauge the last value counts.
    """
    found: list[tuple[int, bytes, bytes | None]] = []
    start = window.start
    for level in reversed(LEVELS):
        end = window.end
        if level != LEVELS[0]:
            # What a coarser level leaves may begin within a row of this one.
            if window.step % level or start % level:
                continue
            end = min(end, last_rolled_up(connection, level))
        if end > start:
            found += connection.execute(
                f"SELECT id, data, sums FROM point_{level} WHERE id >= ? AND id < ? ORDER BY id",
                (row_key(family, start), row_key(family, end)),
            ).fetchall()
            start = end
    times = np.array([row[0] & _MASK for row in found], dtype=np.intp)
    steps = (times - window.start) // window.step
    return _Rows(steps, [row[1] for row in found], [row[2] or b"" for row in found])


def _lengths(rows: list[bytes], size: int) -> NDArray[np.intp]:
    return np.array([len(row) // size for row in rows], dtype=np.intp)


def _add_up(
    into: NDArray[np.float64],
    lines: NDArray[np.intp],
    places: NDArray[np.intp],
    amounts: NDArray[np.float64],
) -> None:
    kept = lines >= 0
    if not kept.all():
        lines, places, amounts = lines[kept], places[kept], amounts[kept]
    width = into.shape[1]
    into += np.bincount(lines * width + places, weights=amounts, minlength=into.size).reshape(
        into.shape
    )


def _add_buckets(
    into: NDArray[np.float64],
    lines: NDArray[np.intp],
    steps: NDArray[np.intp],
    entries: BucketEntries,
) -> None:
    """Add rows' entries to whole histograms; ``steps`` is the step of each row."""
    if not len(entries.bucket):
        return
    # Most buckets are empty, and memory that nobody writes to costs next to nothing.
    low, high = int(entries.bucket.min()), int(entries.bucket.max()) + 1
    part = np.zeros((into.shape[0], into.shape[1] * (high - low)))
    places = np.repeat(steps, entries.lengths) * (high - low) + (entries.bucket - low)
    _add_up(part, lines, places, entries.count.astype(np.float64))
    into[:, :, low:high] += part.reshape(into.shape[0], into.shape[1], high - low)


def _mark(
    scraped: NDArray[np.bool_], family: _Family, steps: NDArray[np.intp], window: Window
) -> None:
    """Where a line has data: the family was scraped, and one of the line's series was there."""
    here = np.zeros(window.steps, dtype=np.bool_)
    here[steps] = True
    first = (family.since - window.start) // window.step
    for line in np.unique(family.groups[family.groups >= 0]):
        since = max(0, int(first[family.groups == line].min()))
        scraped[line, since:] |= here[since:]


def _add_gauges(
    family: _Family,
    entries: NDArray[np.void],
    steps: NDArray[np.intp],
    values: NDArray[np.float64],
    scraped: NDArray[np.bool_],
) -> None:
    series = entries["series"].astype(np.intp)
    # Of several values of a series in a step the last one counts: it stands last, and wins here.
    last = np.full((len(family.groups), values.shape[1]), np.nan)
    last[series, steps] = entries["value"]
    told = ~np.isnan(last)
    for position, line in enumerate(family.groups):
        if line >= 0:
            values[line] += np.where(told[position], last[position], 0.0)
            scraped[line] |= told[position]
