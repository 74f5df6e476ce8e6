"""A response on its way back: half a round trip late, or at so many bytes a second."""

from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Final, Protocol

from flash.edge.delay import Timers

__all__ = ["Delivery"]

_MOST_WAITING: Final = 4 << 20
_PIECE_S: Final = 0.02


class _Writer(Protocol):
    def write(self, data: bytes | memoryview) -> None: ...

    def is_closing(self) -> bool: ...


class Delivery:
    """Holds bytes until they are due, in their order.

    ``delay_s`` is how much later than they came they are handed on, ``bytes_per_s`` how many at
    most, 0 for no limit. While ``full`` nothing more should be brought; ``drained`` is called
    when that has passed. ``late_s`` tells how much after its time the first byte went.
    """

    __slots__ = (
        "_bytes_per_s",
        "_delay_s",
        "_drained",
        "_free_at",
        "_held",
        "_timers",
        "_transport",
        "_waiting",
        "full",
        "late_s",
        "started",
    )

    def __init__(
        self,
        transport: _Writer,
        timers: Timers,
        drained: Callable[[], None],
        *,
        delay_s: float,
        bytes_per_s: float = 0.0,
    ) -> None:
        self._transport = transport
        self._timers = timers
        self._drained = drained
        self._delay_s = delay_s
        self._bytes_per_s = bytes_per_s
        self._waiting: deque[tuple[float, bytes | memoryview | Callable[[], None]]] = deque()
        self._held = 0
        self._free_at = 0.0
        self.full = False
        self.started = False
        self.late_s = 0.0

    def __repr__(self) -> str:
        return f"Delivery({self._held} bytes waiting)"

    def write(self, data: bytes) -> None:
        """Hand ``data`` on when it is due."""
        self._held += len(data)
        if self._held > _MOST_WAITING:
            self.full = True
        due = max(perf_counter() + self._delay_s, self._free_at)
        if self._bytes_per_s:
            self._free_at = due + len(data) / self._bytes_per_s
        self._append(due, data)

    def finish(self, then: Callable[[], None]) -> None:
        """Call ``then`` once everything was handed on."""
        self._append(max(perf_counter() + self._delay_s, self._free_at), then)

    def _append(self, due: float, item: bytes | memoryview | Callable[[], None]) -> None:
        self._waiting.append((due, item))
        if len(self._waiting) == 1:
            self._timers.call_after(due - perf_counter(), self._due)

    def _due(self) -> None:
        waiting = self._waiting
        while waiting and not self._transport.is_closing():
            due, item = waiting[0]
            late = perf_counter() - due
            if late < 0:
                self._timers.call_after(-late, self._due)
                break
            waiting.popleft()
            if callable(item):
                item()
                continue
            if not self.started:
                self.started = True
                self.late_s = late
            if self._bytes_per_s:
                item = self._first_piece(due, item)
            self._held -= len(item)
            self._transport.write(item)
        if self._transport.is_closing():
            waiting.clear()
        elif self.full and self._held <= _MOST_WAITING // 2:
            self.full = False
            self._drained()

    def _first_piece(self, due: float, data: bytes | memoryview) -> bytes | memoryview:
        """As much as goes at once; the rest waits for its own time.

        It is divided no sooner: at a byte a second pieces take far more room than their bytes.
        """
        step = max(1, int(self._bytes_per_s * _PIECE_S))
        if len(data) > step:
            rest = memoryview(data)[step:]
            self._waiting.appendleft((due + step / self._bytes_per_s, rest))
        return data[:step]
