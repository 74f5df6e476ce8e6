"""A run that a store holds, for commands that read it after the run, or beside a dashboard."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, floor
from pathlib import Path
from typing import Final

from dashboard.embedded import EmbeddedSource
from dashboard.errors import NotFoundError, StoreError
from dashboard.model import Run
from dashboard.source import Source
from dashboard.store import check_readable

__all__ = [
    "FINEST_S",
    "LATEST",
    "PREVIOUS",
    "FinishedRun",
    "ended_run",
    "find_run",
    "stored",
    "time_of",
]

FINEST_S: Final = 1.0
"""The step that a run's numbers are asked for with; of an old one there are coarser points only."""

LATEST: Final = "latest"
PREVIOUS: Final = "previous"

_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run and its time: from ``start`` to before ``end`` (Unix seconds), as the page shows it."""

    run: Run
    start: float
    end: float


@contextmanager
def stored(path: Path) -> Iterator[EmbeddedSource]:
    """The store at ``path``, for reading only; a dashboard may be writing to it.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    if not path.is_file():
        raise StoreError(
            f"there is no store {path}; run 'python -m dashboard' beside the load test, "
            "or name its file with --store"
        )
    check_readable(path)
    source = EmbeddedSource(path)
    try:
        yield source
    finally:
        source.close()


async def find_run(source: EmbeddedSource, name: str) -> FinishedRun:
    """The run of that name; the newest one for :data:`LATEST`.

    A run whose end was not seen lasts until the next one, or as long as anything was scraped.

    Raises:
        NotFoundError: there is no such run.
    """
    runs = await source.runs()
    at = _position(runs, name)
    run = runs[at]
    if run.end is not None:
        return time_of(run, run.end)
    return time_of(run, await source.last_second() if at == 0 else runs[at - 1].start)


async def ended_run(source: Source, name: str, *, before: str | None = None) -> FinishedRun:
    """The run of that name, as :func:`find_run` does, if it was seen to end.

    The one that began before the run ``before`` for :data:`PREVIOUS`.

    Raises:
        NotFoundError: there is no such run, or it has not ended.
    """
    runs = await source.runs()
    if name == PREVIOUS and before is not None:
        runs = runs[_position(runs, before) + 1 :]
        name = LATEST
        if not runs:
            raise NotFoundError("base", f"there is no run before {before}")
    run = runs[_position(runs, name)]
    if run.end is None:
        raise NotFoundError(
            "run",
            f"run {run.run} has no end: it is still going on, or the dashboard or the load "
            "generator stopped before it was seen to end; check it when it has ended",
        )
    return time_of(run, run.end)


def time_of(run: Run, end: float) -> FinishedRun:
    """A run with its time, if it ended at ``end``."""
    # The last scrape of a run is up to a second after its end.
    return FinishedRun(run, float(floor(run.start)), ceil(max(end, run.start)) + 1.0)


def _position(runs: Sequence[Run], name: str) -> int:
    if not runs:
        raise NotFoundError("run", "the store has no run; start one while a dashboard watches")
    at = 0 if name == LATEST else next((n for n, run in enumerate(runs) if run.run == name), None)
    if at is None:
        names = ", ".join(run.run for run in runs[:_MOST_NAMED])
        more = f" and {len(runs) - _MOST_NAMED} more" if len(runs) > _MOST_NAMED else ""
        raise NotFoundError("run", f"there is no run {name[:100]!r}; there are {names}{more}")
    return at
