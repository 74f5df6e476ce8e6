"""Scrapes into rows: numbers targets, families and series, and writes what came of them.

Runs in the store's writing thread, within its transaction.
"""

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dashboard.exposition import Labels
from dashboard.increments import Increment, Memory
from dashboard.model import ScrapeResult, Target
from dashboard.rollup import FINE, LEVELS, TIME_BITS, last_rolled_up, row_key
from dashboard.rows import bucket_row, merged, scalar_row
from dashboard.runs import DELETED, RunBook, deleted_runs
from dashboard.shape import Family, Kind

__all__ = ["LONGEST_SHARED_S", "MOST_SERIES", "Catalogue"]

LONGEST_SHARED_S: Final = 60
"""Seconds without a scrape over which the next one's increments are shared out."""

MOST_SERIES: Final = 2**16
"""Label sets that one target may have had over all its processes; what a row can number."""

MOST_FAMILIES: Final = 1_000
"""Metrics that one target may have had; each takes a row a second."""

_Row = tuple[int, bytes, bytes | None]


class _Numbers(NamedTuple):
    """What a family is called in the store: its number, and those of the series that are kept."""

    family: int
    series: NDArray[np.uint16]
    kept: NDArray[np.bool_]


class Catalogue:
    """The numbers that targets, families and series have in the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._runs = RunBook(deleted_runs(connection))
        self._targets: dict[str, int] = dict(connection.execute("SELECT key, id FROM target"))
        self._families: dict[tuple[int, str, str, bytes], int] = {
            (target, name, kind, bounds): number
            for number, target, name, kind, bounds in connection.execute(
                "SELECT id, target, name, kind, bounds FROM family"
            )
        }
        self._series: dict[int, dict[Labels, int]] = {}
        for family, position, labels in connection.execute(
            "SELECT family, position, labels FROM series"
        ):
            pairs = tuple((name, value) for name, value in json.loads(labels))
            self._series.setdefault(family, {})[pairs] = position
        # How many families, and how many series, each target has.
        self._families_of: Counter[int] = Counter()
        self._series_of: Counter[int] = Counter()
        for (target, *_), number in self._families.items():
            self._families_of[target] += 1
            self._series_of[target] += len(self._series.get(number, ()))
        # A family object lives as long as its target's shape; so does what is known of it.
        self._known: WeakKeyDictionary[Family, _Numbers] = WeakKeyDictionary()
        self._written: dict[int, Memory] = {}
        self._newest: dict[int, int] = dict(
            connection.execute("SELECT id, last_second FROM target")
        )
        self._last_second = dict(self._newest)

    def add(self, connection: sqlite3.Connection, results: Sequence[ScrapeResult]) -> int:
        """Write the rows of ``results`` and what their targets' counters stand at.

        How many series were left out is returned: their targets have had too many.
        """
        rolled_up = {level: last_rolled_up(connection, level) for level in LEVELS[1:]}
        left_out = 0
        for result in results:
            second = result.second
            target = self._target(connection, result.target, second)
            missed = self._missed(target, result, second, rolled_up[LEVELS[1]])
            # Both are so only where the clock was set back, or for two scrapes of one second.
            late = [level for level, until in rolled_up.items() if second < until]
            again = bool(late) or second <= self._newest.get(target, -1)
            for increment in result.increments:
                if increment.values is None:
                    continue
                since = missed.start if missed else second
                numbers = self._numbered(connection, target, increment.family, since)
                left_out += int(np.count_nonzero(~numbers.kept))
                if numbers.kept.any():
                    rows = _rows(numbers, increment, increment.values, second, missed)
                    kind = increment.family.kind
                    _put_rolled_up(connection, late, rows[-1], kind)
                    if again:
                        _note_first_second(connection, numbers, second)
                        rows = [_with_stored(connection, LEVELS[0], row, kind) for row in rows]
                    _put(connection, LEVELS[0], rows)
            self._runs.note(connection, result, second)
            self._remember(connection, target, result.memory)
            connection.execute(
                "UPDATE target SET first_second = min(first_second, ?1), "
                "last_second = max(last_second, ?1) WHERE id = ?2",
                (second, target),
            )
            self._last_second[target] = second
            self._newest[target] = max(second, self._newest.get(target, second))
        return left_out

    def _missed(self, target: int, result: ScrapeResult, second: int, rolled_up: int) -> range:
        """The seconds between the scrape before and this one, which its increments are of too.

        Before the first scrape of a target, or of a process of it, they are those since it began
        to count.

        Counters' increments are shared out evenly over them, in whole numbers, so that a scrape
        that came late shows neither a gap nor a peak that never was, and sums stay what was
        counted. After more than :data:`LONGEST_SHARED_S` it is a gap.
        """
        began = second - 1 if result.counts_since is None else int(result.counts_since)
        last = self._last_second.get(target, began)
        if result.counts_since is not None:
            last = max(last, began)
        if second - last > LONGEST_SHARED_S:
            return range(0)
        return range(max(last + 1, rolled_up), second)

    def forget(self, connection: sqlite3.Connection, raw_before: int, all_before: int) -> None:
        """Delete the finest rows before one second and everything before another.

        Afterwards this catalogue may know more than there is: read a new one.
        """
        for number in self._families.values():
            for level in LEVELS:
                before = max(raw_before, all_before) if level in FINE else all_before
                connection.execute(
                    f"DELETE FROM point_{level} WHERE id >= ? AND id < ?",
                    (row_key(number, 0), row_key(number, before)),
                )
        connection.execute(
            "INSERT INTO meta VALUES ('raw_from', ?) "
            "ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            (max(raw_before, all_before),),
        )
        connection.execute("DELETE FROM event WHERE at < ?", (all_before,))
        connection.execute("DELETE FROM run WHERE last_second < ?", (all_before,))
        connection.execute("DELETE FROM target WHERE last_second < ?", (all_before,))
        connection.execute(
            "DELETE FROM meta WHERE name LIKE ? || '%' AND value < ?", (DELETED, all_before)
        )

    def _target(self, connection: sqlite3.Connection, target: Target, second: int) -> int:
        number = self._targets.get(target.key)
        if number is None:
            number = connection.execute(
                "INSERT INTO target (key, job, url, labels, first_second, last_second) "
                "VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
                (
                    target.key,
                    target.job,
                    target.url,
                    json.dumps(dict(target.labels)),
                    second,
                    second,
                ),
            ).fetchone()[0]
            self._targets[target.key] = number
        return number

    def _numbered(
        self, connection: sqlite3.Connection, target: int, family: Family, second: int
    ) -> _Numbers:
        known = self._known.get(family)
        if known is not None:
            return known
        number = self._family(connection, target, family)
        # Without a number the family has no place, and none of its series is kept.
        places = {} if number is None else self._series.setdefault(number, {})
        if number is not None:
            new = [labels for labels in family.labels if labels not in places]
            new = new[: max(0, MOST_SERIES - self._series_of[target])]
            self._series_of[target] += len(new)
            for labels in new:
                places[labels] = len(places)
            connection.executemany(
                "INSERT INTO series VALUES (?, ?, ?, ?)",
                [(number, places[labels], json.dumps(labels), second) for labels in new],
            )
        self._known[family] = _Numbers(
            -1 if number is None else number,
            np.array([places[lb] for lb in family.labels if lb in places], dtype=np.uint16),
            np.array([lb in places for lb in family.labels], dtype=np.bool_),
        )
        return self._known[family]

    def _family(self, connection: sqlite3.Connection, target: int, family: Family) -> int | None:
        bounds = np.array(family.bounds, dtype="<f8").tobytes()
        key = (target, family.name, str(family.kind), bounds)
        number = self._families.get(key)
        if number is None and self._families_of[target] < MOST_FAMILIES:
            number = int(
                connection.execute(
                    "INSERT INTO family (target, name, kind, bounds) VALUES (?, ?, ?, ?) "
                    "RETURNING id",
                    key,
                ).fetchone()[0]
            )
            self._families[key] = number
            self._families_of[target] += 1
        return number

    def _remember(self, connection: sqlite3.Connection, target: int, memory: Memory) -> None:
        values = memory.values.astype("<f8").tobytes()
        last = self._written.get(target)
        self._written[target] = memory
        if (
            last is not None
            and last.series is memory.series
            and last.gone is memory.gone
            and last.started_s == memory.started_s
        ):
            connection.execute("UPDATE memory SET vals = ? WHERE target = ?", (values, target))
            return
        series = zlib.compress("\n".join(memory.series).encode(), 1) if memory.series else b""
        connection.execute(
            "INSERT OR REPLACE INTO memory VALUES (?, ?, ?, ?, ?)",
            (target, series, values, json.dumps(memory.gone), memory.started_s),
        )


def _rows(
    numbers: _Numbers, increment: Increment, values: NDArray[np.float64], second: int, missed: range
) -> list[_Row]:
    """The family's rows: those of the seconds ``missed``, and that of ``second``, the last one."""
    number, series, kept = numbers
    kind, values = increment.family.kind, values[kept]
    if kind is Kind.HISTOGRAM:
        assert increment.sums is not None
        sums = scalar_row(series, increment.sums[kept], kind=Kind.COUNTER)
        return [(row_key(number, second), bucket_row(series, values), sums)]
    rows: list[_Row] = []
    if kind is Kind.COUNTER and missed:
        part = np.floor(values / (len(missed) + 1))
        row = scalar_row(series, part, kind=kind)
        rows += [(row_key(number, earlier), row, None) for earlier in missed]
        values = values - part * len(missed)
    row = scalar_row(series, values, kind=kind)
    return [*rows, (row_key(number, second), row, None)]


def _put(connection: sqlite3.Connection, level: int, rows: list[_Row]) -> None:
    connection.executemany(f"INSERT OR REPLACE INTO point_{level} VALUES (?, ?, ?)", rows)


def _put_rolled_up(
    connection: sqlite3.Connection, levels: list[int], row: _Row, kind: Kind
) -> None:
    """Add to coarser rows that were written before; they are not rolled up again."""
    key, data, sums = row
    family, second = key >> TIME_BITS, key & (1 << TIME_BITS) - 1
    for level in levels:
        coarse = (row_key(family, second // level * level), data, sums)
        _put(connection, level, [_with_stored(connection, level, coarse, kind)])


def _note_first_second(connection: sqlite3.Connection, numbers: _Numbers, second: int) -> None:
    connection.executemany(
        "UPDATE series SET first_second = ?1 WHERE family = ?2 AND position = ?3 "
        "AND first_second > ?1",
        [(second, numbers.family, position) for position in numbers.series.tolist()],
    )


def _with_stored(connection: sqlite3.Connection, level: int, row: _Row, kind: Kind) -> _Row:
    """The row, and what was stored before at the same time."""
    key, data, sums = row
    stored = connection.execute(
        f"SELECT data, sums FROM point_{level} WHERE id = ?", (key,)
    ).fetchone()
    return row if stored is None else (key, *merged([stored, (data, sums)], kind=kind))
