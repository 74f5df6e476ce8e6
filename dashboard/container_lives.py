"""Each container's life: requested, started, live, draining, gone, as events tell it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.model import Event
from dashboard.source import Match, Source
from dashboard.window import Window

__all__ = [
    "ContainerLife",
    "LiveChange",
    "Seen",
    "container_lives",
    "live_changes",
    "lives_in",
    "seen_in",
]

_LOOK_BACK_S: Final = 3600.0
"""Events before a window that are read to learn what was there at its beginning."""

_TOGETHER_S: Final = 2.0
"""Containers that come or go this close to each other are one change."""

_ENDS: Final = {
    "container_draining",
    "container_exited",
    "container_gone",
    "container_failed",
    "container_killed",
}
_GONE: Final = {"container_exited", "container_gone", "container_failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerLife:
    """One container (Unix seconds); ``None`` for what has not come, or is not told.

    ``region`` is where it runs. ``server_boot_s`` is what its own server says its start took.
    ``in_flight_max`` is the most requests it was seen to serve at once.
    """

    task_id: str
    region: str | None = None
    requested_at: float | None = None
    process_started_at: float | None = None
    live_at: float | None = None
    draining_at: float | None = None
    gone_at: float | None = None
    server_boot_s: float | None = None
    in_flight_max: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveChange:
    """The live containers before and after time ``at`` (Unix seconds), neither of them empty."""

    at: float
    before: frozenset[str]
    after: frozenset[str]


def container_lives(events: Iterable[Event]) -> list[ContainerLife]:
    """The lives that events, in order, tell of, by their first event."""
    found: dict[str, dict[str, float]] = {}
    regions: dict[str, str] = {}
    for event in events:
        task_id = event.labels.get("container", "")
        if not task_id:
            continue
        if "region" in event.labels:
            regions[task_id] = event.labels["region"]
        told = found.setdefault(task_id, {})
        for name, kinds in (
            ("requested_at", {"container_starting"}),
            ("process_started_at", {"container_process_started"}),
            ("live_at", {"container_live"}),
            ("draining_at", {"container_draining"}),
            ("gone_at", _GONE),
        ):
            if event.kind in kinds:
                told.setdefault(name, event.at)
    return [
        ContainerLife(task_id=task_id, region=regions.get(task_id), **told)
        for task_id, told in found.items()
    ]


def live_changes(events: Sequence[Event], initially: frozenset[str]) -> list[LiveChange]:
    """How the set of live containers changed, from events in order.

    While no container is live nothing is answered, so a change from none is told against those
    that were live last.
    """
    live = set(initially)
    last = frozenset(initially)
    changes: list[LiveChange] = []
    open_since: float | None = None
    for event in events:
        task_id = event.labels.get("container", "")
        up = event.kind == "container_live" and task_id not in live
        down = event.kind in _ENDS and task_id in live
        if not (up or down):
            continue
        if open_since is not None and event.at - open_since > _TOGETHER_S:
            last = _noted(changes, open_since, last, live)
            open_since = None
        if open_since is None:
            open_since = event.at
        live ^= {task_id}
    if open_since is not None:
        _noted(changes, open_since, last, live)
    return changes


def _noted(
    changes: list[LiveChange], at: float, last: frozenset[str], live: set[str]
) -> frozenset[str]:
    """Note the change from ``last`` if it is one, and say which containers were live last."""
    if not live:
        return last
    now = frozenset(live)
    if last and now != last:
        changes.append(LiveChange(at=at, before=last, after=now))
    return now


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of the containers of a window, from events and from their own metrics.

    ``events`` go back an hour before it; before them ``initially`` were live. ``lives`` are by
    their beginning, and of all that the events tell of. ``in_flight`` has the requests in each
    container by step, of those that are scraped.
    """

    events: list[Event]
    initially: frozenset[str]
    lives: list[ContainerLife]
    in_flight: dict[str, NDArray[np.float64]]


async def seen_in(source: Source, window: Window) -> Seen:
    """What is known of the containers that were there in the window.

    A container that came up long before the window has no event; its own metrics tell that it is
    there.
    """
    events = await source.events(window.start - _LOOK_BACK_S, float(window.end))
    no_filter: Match = {}
    by = ("container", "region")
    seen = await source.gauges("target_requests_in_flight", window, by=by, match=no_filter)
    boots = await source.gauges("target_boot_duration_seconds", window, by=by, match=no_filter)
    boot_of = {
        dict(labels).get("container", ""): float(values[~np.isnan(values)][-1])
        for labels, values in zip(boots.labels, boots.values, strict=True)
        if not np.isnan(values).all()
    }
    here = {
        dict(labels).get("container", ""): (dict(labels).get("region"), values)
        for labels, values in zip(seen.labels, seen.values, strict=True)
        if not np.isnan(values).all()
    }
    here.pop("", None)
    told = {life.task_id: life for life in container_lives(events)}
    came = {event.labels.get("container") for event in events if event.kind == "container_live"}
    lives = [
        _measured(told.get(task_id) or ContainerLife(task_id=task_id), here, boot_of)
        for task_id in {**told, **dict.fromkeys(here)}
    ]
    return Seen(
        events=events,
        initially=frozenset(
            task_id for task_id, life in told.items() if task_id not in came and _was_live(life)
        )
        | frozenset(here.keys() - told.keys()),
        lives=sorted(
            lives, key=lambda life: (life.requested_at or life.live_at or 0.0, life.task_id)
        ),
        in_flight={task_id: values for task_id, (_, values) in here.items()},
    )


async def lives_in(source: Source, window: Window) -> tuple[list[ContainerLife], list[LiveChange]]:
    """The containers that were there in the window, by their beginning, and how they changed."""
    seen = await seen_in(source, window)
    changes = live_changes(seen.events, seen.initially)
    return (
        [life for life in seen.lives if life.gone_at is None or life.gone_at >= window.start],
        [change for change in changes if change.at >= window.start],
    )


def _was_live(life: ContainerLife) -> bool:
    """Whether what is known of a container without a ``container_live`` says that it was live."""
    return life.requested_at is None and (life.draining_at or life.gone_at) is not None


def _measured(
    life: ContainerLife,
    here: dict[str, tuple[str | None, NDArray[np.float64]]],
    boot_of: dict[str, float],
) -> ContainerLife:
    region, in_flight = here.get(life.task_id, (None, None))
    return replace(
        life,
        region=life.region or region,
        server_boot_s=boot_of.get(life.task_id),
        in_flight_max=None if in_flight is None else float(np.nanmax(in_flight)),
    )
