"""Deletes a run from the store: what is its own, and nothing that another run shares.

Points belong to a time, not to a run. Those go that lie in the run's time and in no other run's;
with them the notes of that time, and the run's own entry. Coarser points are made anew from what is
left of the finer ones; where those were deleted by age before, the coarser ones at either end stay,
since they tell of the time beside the run too. What happened to containers stays: their lives are
longer than a run.

Runs in the store's writing thread, within its transaction.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

from dashboard.errors import ConflictError, NotFoundError
from dashboard.rollup import LEVELS, roll_up_again, row_key
from dashboard.runs import DELETED, RUN_START

__all__ = ["Erased", "delete_run", "own_spans"]

_LAST_SEEN_S: Final = 15.0
"""Seconds without a scrape of its load generator from which on a run without an end is over."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Erased:
    """What was deleted of a run: all points from each start to before its end (Unix seconds)."""

    spans: tuple[Span, ...]
    notes: int


def own_spans(run: Span, others: Sequence[Span]) -> list[Span]:
    """The parts of a run's time that are in none of ``others``."""
    found: list[Span] = []
    start, end = run
    for other_start, other_end in sorted(others):
        if other_start > start:
            found.append((start, min(other_start, end)))
        start = max(start, other_end)
        if start >= end:
            break
    if start < end:
        found.append((start, end))
    return [(begin, until) for begin, until in found if begin < until]


def delete_run(connection: sqlite3.Connection, name: str, now: float) -> Erased:
    """Delete the run ``name``.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: it is still going on.
    """
    rows = connection.execute("SELECT run, start, end FROM run ORDER BY start").fetchall()
    times = {run: (floor(start), end) for run, start, end in rows}
    if name not in times:
        raise NotFoundError("run", f"there is no run {name[:100]!r}; /api/runs lists them")
    last = _last_seen(connection)
    if times[name][1] is None and name == rows[-1][0] and last > now - _LAST_SEEN_S:
        raise ConflictError(
            "run", f"run {name[:100]} is still going on; stop it first, then delete it"
        )
    # A run whose end nobody saw lasts until the next one, or as long as its generator was scraped.
    following = [start for _, start, _ in rows[1:]] + [float(last)]
    spans = {
        run: (start, ceil(following[at] if end is None else end) + 1)
        for at, (run, (start, end)) in enumerate(times.items())
    }
    own = own_spans(spans.pop(name), list(spans.values()))
    families = [number for (number,) in connection.execute("SELECT id FROM family")]
    for span in own:
        for level in LEVELS:
            _delete_points(connection, families, level, span)
    notes = sum(_delete_notes(connection, span) for span in own)
    connection.execute("DELETE FROM run WHERE run = ?", (name,))
    # Its load generator may go on telling of it.
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"{DELETED}{name}", now))
    return Erased(tuple(own), notes)


def _last_seen(connection: sqlite3.Connection) -> int:
    (last,) = connection.execute(
        "SELECT max(last_second) FROM target JOIN family ON family.target = target.id "
        "WHERE family.name = ?",
        (RUN_START,),
    ).fetchone()
    return int(last or 0)


def _delete_points(
    connection: sqlite3.Connection, families: Sequence[int], level: int, span: Span
) -> None:
    """Delete the rows of a level that are of ``span`` only, and make those at its ends anew.

    The finer levels come before.
    """
    start, end = span
    whole = (-(-start // level) * level, end // level * level)
    for family in families:
        if whole[0] < whole[1]:
            connection.execute(
                f"DELETE FROM point_{level} WHERE id >= ? AND id < ?",
                (row_key(family, whole[0]), row_key(family, whole[1])),
            )
        for row in _partly(span, level):
            roll_up_again(connection, family, level, row)


def _partly(span: Span, level: int) -> Iterator[int]:
    """The starts of a level's rows that ``span`` is only a part of."""
    for row in {second // level * level for second in (span[0], span[1] - 1)}:
        if row < span[0] or row + level > span[1]:
            yield row


def _delete_notes(connection: sqlite3.Connection, span: Span) -> int:
    return connection.execute(
        "DELETE FROM event WHERE kind = 'note' AND at >= ? AND at < ?", span
    ).rowcount
