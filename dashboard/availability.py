"""When containers took requests, and when none did and why, as events tell it."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from dashboard.model import Event

__all__ = ["Availability", "Gap", "Leave", "Leaving", "availability_of"]

_TOGETHER_S: Final = 2.0
"""Containers that leave this close to the last one are told of with it."""


class Leaving(StrEnum):
    """Why a container takes no more requests."""

    DRAINED = "drained"
    KILLED = "killed"
    EXITED = "exited"
    UNHEALTHY = "unhealthy"
    GONE = "gone"
    """It is not there any more, and nobody tells why."""


_LEAVING: Final = {
    "container_draining": Leaving.DRAINED,
    "container_killed": Leaving.KILLED,
    "container_exited": Leaving.EXITED,
    "container_failed": Leaving.EXITED,
    "container_unhealthy": Leaving.UNHEALTHY,
    "container_gone": Leaving.GONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave:
    """A container that took requests up to Unix time ``at``."""

    at: float
    container: str
    how: Leaving


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A time in which no container took requests (Unix seconds).

    ``began`` is ``None`` if none was there before, as far back as is known, and ``ended`` while it
    lasts. ``lost`` are those that left last, in order.
    """

    began: float | None
    ended: float | None
    lost: tuple[Leave, ...] = ()


@dataclass(frozen=True, slots=True)
class Availability:
    """How many containers took requests: ``counts[n]`` from ``times[n]`` on, before all ``times``
    as many as ``initially``. ``gaps`` are the times of none, in order.
    """

    initially: int
    times: tuple[float, ...]
    counts: tuple[int, ...]
    gaps: tuple[Gap, ...]

    def live(self, start: float, end: float) -> tuple[int, int]:
        """The fewest and the most at any time from ``start`` to ``end``."""
        first, last = bisect_right(self.times, start), bisect_right(self.times, end)
        at_start = self.counts[first - 1] if first else self.initially
        there = (at_start, *self.counts[first:last])
        return min(there), max(there)


def availability_of(
    events: Sequence[Event], initially: Iterable[str], *, unnamed: int = 0
) -> Availability:
    """What events, in order, tell; before them ``initially`` were live, and ``unnamed`` others of
    which there is no event."""
    live = set(initially)
    first = len(live) + unnamed
    times: list[float] = []
    counts: list[int] = []
    gaps: list[Gap] = [] if first else [Gap(began=None, ended=None)]
    left: list[Leave] = []
    for event in events:
        task_id = event.labels.get("container", "")
        if event.kind == "container_live" and task_id not in live:
            if not live and not unnamed:
                gaps.append(replace(gaps.pop(), ended=event.at))
            live.add(task_id)
        elif event.kind in _LEAVING and task_id in live:
            live.discard(task_id)
            left.append(Leave(at=event.at, container=task_id, how=_LEAVING[event.kind]))
            if not live and not unnamed:
                lost = tuple(one for one in left if event.at - one.at <= _TOGETHER_S)
                gaps.append(Gap(began=event.at, ended=None, lost=lost))
        else:
            continue
        times.append(event.at)
        counts.append(len(live) + unnamed)
    return Availability(first, tuple(times), tuple(counts), tuple(gaps))
