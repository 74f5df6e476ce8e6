"""Which container serves a request: its session's, or the least busy one."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from flash.rendezvous import winner

__all__ = ["Routable", "Router"]

_MOST_REMEMBERED = 65_536


class Routable(Protocol):
    """What the choice looks at."""

    @property
    def task_id(self) -> str: ...

    in_flight: int


T = TypeVar("T", bound=Routable)


class Router(Generic[T]):
    """Chooses among the live containers; sessions' winners are remembered until those change."""

    def __init__(self) -> None:
        self._live: list[T] = []
        self._by_id: dict[str, T] = {}
        self._winners: dict[str, T] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._live)

    def __repr__(self) -> str:
        return f"Router({', '.join(self._by_id)})"

    def replace(self, live: Sequence[T]) -> None:
        """From now on these are the live containers."""
        self._live = list(live)
        self._by_id = {container.task_id: container for container in live}
        self._winners.clear()

    def choose(self, session: str | None) -> T | None:
        """The container for a request, ``None`` when there is none."""
        live = self._live
        if len(live) < 2:
            return live[0] if live else None
        if session is None:
            return self._least_busy(live)
        chosen = self._winners.get(session)
        if chosen is None:
            name = winner(session, self._by_id)
            if name is None:
                return None
            if len(self._winners) >= _MOST_REMEMBERED:
                del self._winners[next(iter(self._winners))]
            chosen = self._winners[session] = self._by_id[name]
        return chosen

    def least_in_flight(self) -> int:
        """Requests in the least busy container, 0 where there is none."""
        return min((container.in_flight for container in self._live), default=0)

    def _least_busy(self, live: list[T]) -> T:
        # Starting at another one each time spreads requests over equally busy containers.
        self._next = start = (self._next + 1) % len(live)
        best = live[start]
        for index in range(start - len(live) + 1, start):
            if live[index].in_flight < best.in_flight:
                best = live[index]
        return best
