"""One user asks whether a cold region has come up, and the region's other users wait for it.

A request that waits holds its user's greenlet. Those that are answered at once know nothing of all
this: while a region is cold its clients are told to hold what they would send.
"""

from enum import Enum
from typing import Protocol
from weakref import WeakSet

from gevent.event import AsyncResult

__all__ = ["Holding", "Probe", "Verdict"]


class Holding(Protocol):
    """A client that can hold its requests back."""

    def hold(self, holds: bool) -> None:
        """From now on have requests wait for the probe before they are sent, or no more."""


class Verdict(Enum):
    """How waiting for the probe ended."""

    ANSWERED = "answered"
    """The region is up."""
    NEXT = "next"
    """The probe ended without an answer, and who waited is the next one."""
    LATE = "late"
    """Neither, for as long as one could wait."""


class Probe:
    """Whose turn it is to ask for one region, in one process; not for several threads."""

    def __init__(self) -> None:
        self._clients: WeakSet[Holding] = WeakSet()
        self._waiting: dict[AsyncResult, None] = {}  # in the order in which they came
        self._asks = False

    def __repr__(self) -> str:
        return f"<Probe {'asks' if self._asks else 'idle'}, {len(self._waiting)} wait>"

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._waiting)

    def join(self, client: Holding) -> None:
        """Tell ``client`` when to hold its requests back, as long as it is referred to."""
        self._clients.add(client)
        client.hold(self._asks)

    def claim(self) -> bool:
        """Whether the caller asks from now on, since nobody else did.

        It then has to end that by :meth:`answered` or :meth:`hand_on`, whatever becomes of it.
        """
        if self._asks:
            return False
        self._set(asks=True)
        return True

    def answered(self) -> None:
        """The region is up: all go on."""
        self._set(asks=False)
        waiting, self._waiting = self._waiting, {}
        for one in waiting:
            one.set(Verdict.ANSWERED)

    def hand_on(self) -> None:
        """Whoever asked ends without an answer: the one that has waited longest asks now."""
        if not self._waiting:
            self._set(asks=False)
            return
        longest = next(iter(self._waiting))
        del self._waiting[longest]
        longest.set(Verdict.NEXT)

    def wait(self, timeout_s: float) -> Verdict:
        """Wait for the probe; after ``NEXT`` the caller is in the place of who claimed it."""
        one = AsyncResult()
        self._waiting[one] = None
        try:
            one.wait(timeout_s)
        except BaseException:  # killed, maybe after its turn had come
            if one.value is Verdict.NEXT:
                self.hand_on()
            raise
        finally:
            self._waiting.pop(one, None)
        return one.value if one.ready() else Verdict.LATE

    def _set(self, *, asks: bool) -> None:
        self._asks = asks
        for client in list(self._clients):
            client.hold(asks)
