"""What happened to containers and the autoscaler, in order, with its time."""

import time
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import Final

__all__ = ["Event", "EventLog"]

_MOST_KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class Event:
    """``sequence`` counts up from 1 without gaps; ``time`` in Unix seconds."""

    sequence: int
    time: float
    kind: str
    task_id: str | None
    detail: str


class EventLog:
    """The newest ten thousand events."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque(maxlen=_MOST_KEPT)
        self._last = 0

    def __repr__(self) -> str:
        return f"EventLog({self._last} so far)"

    def add(self, kind: str, task_id: str | None = None, detail: str = "") -> None:
        self._last += 1
        self._events.append(Event(self._last, time.time(), kind, task_id, detail))

    def since(self, sequence: int) -> list[Event]:
        """The events after number ``sequence``. A first one beyond the next number tells that those
        between are no longer kept."""
        kept = self._events
        # Sequence numbers have no gaps, so their distance is a number of events.
        new = min(len(kept), max(0, self._last - sequence))
        return list(islice(kept, len(kept) - new, None))
