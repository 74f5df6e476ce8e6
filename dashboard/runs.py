"""Runs of the load generator, as its gauges tell of them."""

import json
import sqlite3
from dataclasses import dataclass, field
from typing import Final

from dashboard.model import ScrapeResult
from dashboard.window import LATEST_S

__all__ = ["DELETED", "RUN_END", "RUN_INFO", "RUN_START", "RunBook", "deleted_runs"]

RUN_START: Final = "loadgen_run_start_timestamp_seconds"
RUN_END: Final = "loadgen_run_end_timestamp_seconds"
RUN_INFO: Final = "loadgen_run_info"

DELETED: Final = "deleted_run:"
"""How what the store remembers of a run that was deleted begins, before the run's id."""


def deleted_runs(connection: sqlite3.Connection) -> frozenset[str]:
    """The runs that were deleted, of which a load generator may still tell."""
    rows = connection.execute(
        "SELECT name FROM meta WHERE name >= ? AND name < ?", (DELETED, f"{DELETED}\U0010ffff")
    )
    return frozenset(name.removeprefix(DELETED) for (name,) in rows)


@dataclass(slots=True)
class RunBook:
    """Notes runs in the store. What is known is written again only when it changes.

    Those that were ``deleted`` are not noted again.
    """

    deleted: frozenset[str] = frozenset()
    _noted: dict[str, tuple[float, float | None, str]] = field(default_factory=dict)

    def note(self, connection: sqlite3.Connection, result: ScrapeResult, second: int) -> None:
        """Write the runs that a scrape at ``second`` tells of."""
        starts, ends = _by_run(result, RUN_START), _by_run(result, RUN_END)
        if not starts:
            return
        infos = _infos(result)
        for run, start in starts.items():
            if not 0 < start < LATEST_S or run in self.deleted:
                continue
            ended = ends.get(run, 0.0)
            end = ended if start <= ended < LATEST_S else None
            told = (start, end, json.dumps(infos.get(run, {}), sort_keys=True))
            if self._noted.get(run) != told:
                connection.execute(
                    "INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?)", (run, *told, second)
                )
                self._noted[run] = told


def _by_run(result: ScrapeResult, name: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for increment in result.increments:
        if increment.family.name == name and increment.values is not None:
            for labels, value in zip(
                increment.family.labels, increment.values.tolist(), strict=True
            ):
                run = dict(labels).get("run")
                if run is not None:
                    found[run] = value
    return found


def _infos(result: ScrapeResult) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for increment in result.increments:
        if increment.family.name == RUN_INFO:
            for labels in increment.family.labels:
                told = dict(labels)
                run = told.pop("run", None)
                if run is not None:
                    found[run] = told
    return found
