"""One timer per hub for the deadlines of all its connections, instead of one per request."""

from time import perf_counter
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from gevent.hub import Hub

__all__ = ["SWEEP_INTERVAL_S", "Expiring", "Sweeper", "sweeper_of"]

# A deadline may be met this much late. A timer started and stopped per request costs more than
# the whole parsing of its response.
SWEEP_INTERVAL_S: Final = 0.05


class Expiring(Protocol):
    """What has a deadline, by ``perf_counter``; infinity while there is none."""

    deadline: float

    def expire(self, now: float) -> None:
        """``deadline`` has passed. Called in the hub; must not raise."""


class Sweeper:
    """Calls ``expire`` of every member whose deadline passed; the timer runs while it has any."""

    def __init__(self, loop: Any) -> None:  # Any: gevent's loops have no published type
        # Not referenced: a timer alone must not keep the event loop from ending.
        self._timer = loop.timer(SWEEP_INTERVAL_S, SWEEP_INTERVAL_S, ref=False)
        self._members: set[Expiring] = set()

    def add(self, member: Expiring) -> None:
        if not self._members:
            self._timer.start(self._sweep)
        self._members.add(member)

    def discard(self, member: Expiring) -> None:
        """Forget ``member``; harmless if it is none."""
        self._members.discard(member)
        if not self._members:
            self._timer.stop()

    def __len__(self) -> int:
        return len(self._members)

    def _sweep(self) -> None:
        now = perf_counter()
        for member in [member for member in self._members if member.deadline <= now]:
            member.expire(now)


_SWEEPERS: WeakKeyDictionary[Hub, Sweeper] = WeakKeyDictionary()


def sweeper_of(hub: Hub) -> Sweeper:
    """The sweeper of ``hub``; one per hub, and so one per thread."""
    sweeper = _SWEEPERS.get(hub)
    if sweeper is None:
        sweeper = _SWEEPERS[hub] = Sweeper(hub.loop)
    return sweeper
