"""All that is marked on time charts: what was stored as events, and what runs and gauges tell."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.model import Event, Run
from dashboard.source import Scalars, Source
from dashboard.window import Window

__all__ = ["load_steps", "timeline_of", "worker_changes"]

_PAUSE_S: Final = 5
"""Changes of the load this close to each other are one step."""

_WORKER_CHANGES: Final = ("lost", "returned")


async def timeline_of(source: Source, window: Window) -> list[Event]:
    """What happened in the window, in order."""
    runs = await source.runs()
    users = await source.gauges("loadgen_users", window, by=(), match={})
    rate = await source.gauges("loadgen_arrival_rate", window, by=(), match={})
    workers = await source.increases(
        "loadgen_worker_changes_total", window, by=("change",), match={}
    )
    found = [
        *await source.events(window.start, window.end),
        *_run_events(runs),
        *load_steps(_only(users.values), window, text="Users: {0:g} to {1:g}"),
        *load_steps(_only(rate.values), window, text="Arrivals: {0:g}/s to {1:g}/s"),
        *worker_changes(workers, window),
    ]
    within = (event for event in found if window.start <= event.at < window.end)
    return sorted(within, key=lambda event: event.at)


def load_steps(load: NDArray[np.float64], window: Window, *, text: str) -> list[Event]:
    """When a gauge of the load began to change, and from what to what, as ``text`` has it."""
    pause = max(1, _PAUSE_S // window.step)
    known = np.flatnonzero(~np.isnan(load))
    values = load[known]
    changes = np.flatnonzero(np.diff(values)) + 1
    found: list[Event] = []
    first = 0
    for at, change in enumerate(changes.tolist()):
        last = at + 1 == len(changes)
        if last or known[changes[at + 1]] - known[change] > pause:
            before, after = values[changes[first] - 1], values[change]
            if before != after:
                found.append(
                    Event(
                        at=float(window.start + int(known[changes[first]]) * window.step),
                        kind="load_step",
                        text=text.format(before, after),
                    )
                )
            first = at + 1
    return found


def worker_changes(counted: Scalars, window: Window) -> list[Event]:
    """When workers were lost without a word, and when they came back."""
    found: list[Event] = []
    for labels, values in zip(counted.labels, counted.values, strict=True):
        change = dict(labels).get("change", "")
        if change not in _WORKER_CHANGES:
            continue
        for step in np.flatnonzero(np.nan_to_num(values) > 0).tolist():
            at = float(window.start + step * window.step)
            number = round(values[step])
            who = "Worker" if number == 1 else f"{number} workers"
            found.append(Event(at=at, kind=f"worker_{change}", text=f"{who} {change}"))
    return found


def _run_events(runs: Sequence[Run]) -> list[Event]:
    found: list[Event] = []
    for run in runs:
        labels = {"run": run.run}
        found.append(
            Event(at=run.start, kind="run_start", text=f"Run {run.run} began", labels=labels)
        )
        if run.end is not None:
            found.append(
                Event(at=run.end, kind="run_end", text=f"Run {run.run} ended", labels=labels)
            )
    return found


def _only(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return values[0] if len(values) else np.empty(0)
