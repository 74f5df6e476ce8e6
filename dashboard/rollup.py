"""Rolled-up rows: five seconds from seconds, ten from five, and so on up to an hour."""

import sqlite3
from itertools import groupby
from typing import Final

from dashboard.rows import merged
from dashboard.shape import Kind

__all__ = [
    "FINE",
    "LEVELS",
    "TIME_BITS",
    "last_rolled_up",
    "raw_from",
    "roll_up",
    "roll_up_again",
    "row_key",
]

LEVELS: Final = (1, 5, 10, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds that a row spans, finest first.

There is one for nearly every step of a window, so that a query reads about as many rows of a family
as it gives points, whatever the range.
"""

FINE: Final = (1, 5)
"""Levels that are kept only as long as raw seconds are."""

_BASES: Final = {
    level: max(finer for finer in LEVELS if finer < level and level % finer == 0)
    for level in LEVELS[1:]
}
"""The level that each level's rows are made of."""

TIME_BITS: Final = 34
"""Low bits of a row's key that hold its Unix second (enough until the year 2514)."""


def row_key(family: int, second: int) -> int:
    """The key of a family's row at a second; the rows of one family lie together."""
    return family << TIME_BITS | second


def last_rolled_up(connection: sqlite3.Connection, level: int) -> int:
    """The Unix second up to which (exclusive) the rows of ``level`` are complete."""
    found = connection.execute(
        "SELECT value FROM meta WHERE name = ?", (f"rolled_up_{level}",)
    ).fetchone()
    return 0 if found is None else int(found[0])


def raw_from(connection: sqlite3.Connection) -> int:
    """The Unix second before which the rows of the finest levels were deleted, 0 if none were."""
    found = connection.execute("SELECT value FROM meta WHERE name = 'raw_from'").fetchone()
    return 0 if found is None else int(found[0])


def roll_up(connection: sqlite3.Connection, until: int) -> None:
    """Write the coarser rows of all spans that end at or before ``until`` and are not written.

    A span is written whole from the finer rows, and how far that went is in the same transaction,
    so being killed costs nothing but doing it again.
    """
    kinds = dict(connection.execute("SELECT id, kind FROM family"))
    for level, finer in _BASES.items():
        start, end = last_rolled_up(connection, level), until // level * level
        if end <= start:
            continue
        for family, kind in kinds.items():
            _roll_up_family(connection, family, Kind(kind), (finer, level), (start, end))
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"rolled_up_{level}", end))


def _roll_up_family(
    connection: sqlite3.Connection,
    family: int,
    kind: Kind,
    levels: tuple[int, int],
    span: tuple[int, int],
) -> None:
    finer, level = levels
    rows = connection.execute(
        f"SELECT id, data, sums FROM point_{finer} WHERE id >= ? AND id < ? ORDER BY id",
        (row_key(family, span[0]), row_key(family, span[1])),
    ).fetchall()
    mask = (1 << TIME_BITS) - 1
    spans: list[tuple[int, bytes, bytes | None]] = []
    for second, group in groupby(rows, key=lambda row: (row[0] & mask) // level * level):
        data, sums = merged([(data, sums) for _, data, sums in group], kind=kind)
        spans.append((row_key(family, second), data, sums))
    connection.executemany(f"INSERT OR REPLACE INTO point_{level} VALUES (?, ?, ?)", spans)


def roll_up_again(connection: sqlite3.Connection, family: int, level: int, second: int) -> None:
    """Make the row of a family that begins at ``second`` anew, as finer ones were deleted.

    Where the finer ones are not there for their age it stays as it is.
    """
    finer = _BASES.get(level)
    if finer is None or (finer in FINE and second < raw_from(connection)):
        return
    if second + level > last_rolled_up(connection, level):
        return  # its time has not come
    connection.execute(f"DELETE FROM point_{level} WHERE id = ?", (row_key(family, second),))
    (kind,) = connection.execute("SELECT kind FROM family WHERE id = ?", (family,)).fetchone()
    _roll_up_family(connection, family, Kind(kind), (finer, level), (second, second + level))
