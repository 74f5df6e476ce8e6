"""Scrapes into rows: numbers targets, families and series, and writes what came of them.

Runs in the store's writing thread, within its transaction.
"""

import json
import sqlite3
import zlib
from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from dashboard.exposition import Labels
from dashboard.increments import Increment, Memory
from dashboard.model import ScrapeResult, Target
from dashboard.rollup import FINE, LEVELS, last_rolled_up, row_key
from dashboard.rows import bucket_row, merged, scalar_row
from dashboard.runs import RunBook
from dashboard.shape import Family, Kind

__all__ = ["LONGEST_SHARED_S", "MOST_SERIES", "Catalogue"]

LONGEST_SHARED_S: Final = 60
"""Seconds without a scrape over which the next one's increments are shared out."""

MOST_SERIES: Final = 2**16
"""Series that one family may have had over time; what a row's entries can number."""

_Row = tuple[int, bytes, bytes | None]


class Catalogue:
    """The numbers that targets, families and series have in the store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._runs = RunBook()
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
        # A family object lives as long as its target's shape; so does what is known of it.
        self._known: WeakKeyDictionary[
            Family, tuple[int, NDArray[np.uint16], NDArray[np.bool_]]
        ] = WeakKeyDictionary()
        self._written: dict[int, Memory] = {}
        self._last_second: dict[int, int] = dict(
            connection.execute("SELECT id, last_second FROM target")
        )

    def add(self, connection: sqlite3.Connection, results: Sequence[ScrapeResult]) -> None:
        """Write the rows of ``results`` and what their targets' counters stand at."""
        rolled_up = last_rolled_up(connection, LEVELS[1])
        for result in results:
            # What is rolled up is not rolled up again, so nothing may be written before it.
            second = max(result.second, rolled_up)
            target = self._target(connection, result.target, second)
            missed = self._missed(target, result, second, rolled_up)
            again = second <= self._last_second.get(target, -1)
            rows: list[_Row] = []
            for increment in result.increments:
                found = self._rows(connection, target, increment, second, missed)
                kind = increment.family.kind
                rows += [_with_stored(connection, row, kind) for row in found] if again else found
            connection.executemany("INSERT OR REPLACE INTO point_1 VALUES (?, ?, ?)", rows)
            self._runs.note(connection, result, second)
            self._remember(connection, target, result.memory)
            connection.execute("UPDATE target SET last_second = ? WHERE id = ?", (second, target))
            self._last_second[target] = max(second, self._last_second.get(target, second))

    def _rows(
        self,
        connection: sqlite3.Connection,
        target: int,
        increment: Increment,
        second: int,
        missed: range,
    ) -> list[_Row]:
        values, family = increment.values, increment.family
        if values is None:
            return []
        since = missed.start if missed else second
        number, series, kept = self._numbered(connection, target, family, since)
        values = values[kept]
        if family.kind is Kind.HISTOGRAM:
            assert increment.sums is not None
            sums = scalar_row(series, increment.sums[kept], kind=Kind.COUNTER)
            return [(row_key(number, second), bucket_row(series, values), sums)]
        rows: list[_Row] = []
        if family.kind is Kind.COUNTER and missed:
            part = np.floor(values / (len(missed) + 1))
            row = scalar_row(series, part, kind=family.kind)
            rows += [(row_key(number, earlier), row, None) for earlier in missed]
            values = values - part * len(missed)
        row = scalar_row(series, values, kind=family.kind)
        rows.append((row_key(number, second), row, None))
        return rows

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
    ) -> tuple[int, NDArray[np.uint16], NDArray[np.bool_]]:
        known = self._known.get(family)
        if known is not None:
            return known
        number = self._family(connection, target, family)
        places = self._series.setdefault(number, {})
        new = [labels for labels in family.labels if labels not in places]
        new = new[: MOST_SERIES - len(places)]
        for labels in new:
            places[labels] = len(places)
        connection.executemany(
            "INSERT INTO series VALUES (?, ?, ?, ?)",
            [(number, places[labels], json.dumps(labels), second) for labels in new],
        )
        series = np.array([places[lb] for lb in family.labels if lb in places], dtype=np.uint16)
        kept = np.array([lb in places for lb in family.labels], dtype=np.bool_)
        self._known[family] = (number, series, kept)
        return self._known[family]

    def _family(self, connection: sqlite3.Connection, target: int, family: Family) -> int:
        bounds = np.array(family.bounds, dtype="<f8").tobytes()
        key = (target, family.name, str(family.kind), bounds)
        number = self._families.get(key)
        if number is None:
            number = connection.execute(
                "INSERT INTO family (target, name, kind, bounds) VALUES (?, ?, ?, ?) RETURNING id",
                key,
            ).fetchone()[0]
            self._families[key] = number
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


def _with_stored(connection: sqlite3.Connection, row: _Row, kind: Kind) -> _Row:
    """The row, and what was stored before at the same second: a scrape just before a restart."""
    key, data, sums = row
    stored = connection.execute("SELECT data, sums FROM point_1 WHERE id = ?", (key,)).fetchone()
    return row if stored is None else (key, *merged([stored, (data, sums)], kind=kind))
