"""The pauses of all users of a hub, by one timer, and with the hub kept free to read responses."""

from heapq import heappop, heappush
from itertools import count
from time import perf_counter
from typing import Any, Final
from weakref import WeakKeyDictionary

from gevent import get_hub, getcurrent
from gevent.hub import Hub

__all__ = ["MOST_AT_ONCE", "Pauses", "pause"]

MOST_AT_ONCE: Final = 8
"""So many users go on before the hub looks for responses again.

Each of them sends a request, in ten microseconds or so, and until the last one has, nobody reads
and times what has come meanwhile. Without a limit all whose pauses ended together, for instance
after the process stood still, would add their own number to each other's latency; and as they pause
together again, do so for ever.
"""


class Pauses:
    """Resumes greenlets when their pauses are over, the first to be due first."""

    def __init__(self, hub: Hub) -> None:
        self._wait_in_hub = hub.switch
        self._loop: Any = hub.loop  # Any: gevent's loops have no published type
        self._heap: list[tuple[float, int, list[Any]]] = []
        self._numbers = count()
        self._timer: Any = None
        self._timer_at = 0.0

    def __repr__(self) -> str:
        return f"<Pauses {len(self._heap)}>"

    def __len__(self) -> int:
        """How many there are, of which some may have been interrupted."""
        return len(self._heap)

    def pause(self, seconds: float) -> None:
        """Have the calling greenlet wait at least that long, above 0; it may be killed then."""
        moment = perf_counter() + seconds
        waiter = [getcurrent()]
        heap = self._heap
        heappush(heap, (moment, next(self._numbers), waiter))
        if heap[0][2] is waiter:
            self._wake_in(seconds)
        try:
            while waiter:
                self._wait_in_hub()
        except BaseException:  # a kill above all
            waiter.clear()
            raise

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
        self._timer = self._loop.timer(seconds)
        # The loop's idea of now is that of when it last woke.
        self._timer.start(self._wake, update=True)

    def _wake(self) -> None:
        heap = self._heap
        now = perf_counter()
        try:
            for _ in range(MOST_AT_ONCE):
                if not heap or heap[0][0] > now:
                    break
                waiter = heappop(heap)[2]
                if waiter:
                    waiter.pop().switch()
        finally:
            if heap:
                self._wake_in(max(0.0, heap[0][0] - perf_counter()))
            else:
                self._timer.close()
                self._timer = None


_PAUSES: WeakKeyDictionary[Hub, Pauses] = WeakKeyDictionary()


def pause(seconds: float) -> None:
    """Have the calling greenlet wait that long, above 0 seconds."""
    hub = get_hub()
    pauses = _PAUSES.get(hub)
    if pauses is None:
        pauses = _PAUSES[hub] = Pauses(hub)
    pauses.pause(seconds)
