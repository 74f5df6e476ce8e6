"""Wakes the hub at exact times: a kernel timer where there is one, gevent's own elsewhere.

gevent's timers are as exact as the wait of its event loop, which on Linux counts in milliseconds;
a timerfd (timerfd_create(2)) is a file that becomes readable within microseconds of its time.
"""

import ctypes
import os
import platform
import sys
import time
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, NoReturn, Protocol

__all__ = ["LoopTicker", "Ticker", "TimerfdTicker", "ticker_on"]

_READ: Final = 1  # libev's and libuv's number for it, as gevent's loops take it
_NS: Final = 1_000_000_000

# From a processor's sleep to a callback takes about this long, so the kernel's timer is set that
# much early, and what is left is waited for awake: at most this share of the time.
_LEAD_S: Final = 50e-6
_LEAD_SHARE: Final = 0.05


class Ticker(Protocol):
    """Calls its ``callback`` in the hub at the time it was last told, once."""

    def wake_at(self, moment: float) -> None:
        """Call at or right after ``moment`` by ``perf_counter``, and at no moment told before.

        A moment that has passed is at once, but not within this call. The callback may come a
        little early, so it has to look at the clock.
        """

    def cancel(self) -> None:
        """Call at no moment told so far."""

    def close(self) -> None:
        """Never call again, and free what it took."""


def ticker_on(loop: Any, callback: Callable[[], None]) -> Ticker:
    """The most exact one that this machine has; ``loop`` is a hub's."""
    exact = platform.system() == "Linux"
    return TimerfdTicker(loop, callback) if exact else LoopTicker(loop, callback)


class LoopTicker:
    """A timer of the event loop itself."""

    def __init__(self, loop: Any, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._loop = loop
        self._timer: Any = None

    def __repr__(self) -> str:
        return f"<LoopTicker {'idle' if self._timer is None else 'set'}>"

    def wake_at(self, moment: float) -> None:
        self.cancel()
        self._timer = self._loop.timer(max(0.0, moment - perf_counter()))
        # The loop's idea of now is that of when it last woke.
        self._timer.start(self._wake, update=True)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer.close()
            self._timer = None

    def close(self) -> None:
        self.cancel()

    def _wake(self) -> None:
        self.cancel()
        self._callback()


class TimerfdTicker:
    """A timer of the kernel, as a file that the event loop watches (Linux)."""

    def __init__(self, loop: Any, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._timerfd = _Timerfd()
        # First of what is ready at the same time: the others' work would make it late.
        self._watcher = loop.io(self._timerfd.file, _READ, priority=loop.MAXPRI)
        self._moment = 0.0
        self._closed = False

    def __repr__(self) -> str:
        return f"<TimerfdTicker {'closed' if self._closed else self._timerfd.file}>"

    def wake_at(self, moment: float) -> None:
        lead_s = min(_LEAD_S, max(0.0, (moment - perf_counter()) * _LEAD_SHARE))
        self._moment = moment
        # perf_counter is CLOCK_MONOTONIC here, the timer's own clock. 0 would not set but unset it.
        self._timerfd.set(max(1, round((moment - lead_s) * _NS)))
        if not self._watcher.active:
            self._watcher.start(self._wake)

    def cancel(self) -> None:
        self._timerfd.set(0)
        self._watcher.stop()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._watcher.stop()
            self._watcher.close()
            os.close(self._timerfd.file)

    def _wake(self) -> None:
        # To set it makes it unreadable again, without the read that it would take else.
        self._timerfd.set(0)
        while perf_counter() < self._moment:
            pass
        self._callback()


if sys.version_info >= (3, 13):

    class _Timerfd:
        def __init__(self) -> None:
            flags = os.TFD_NONBLOCK | os.TFD_CLOEXEC
            self.file = os.timerfd_create(time.CLOCK_MONOTONIC, flags=flags)

        def set(self, ns: int) -> None:
            os.timerfd_settime_ns(self.file, flags=os.TFD_TIMER_ABSTIME, initial=ns)

else:

    class _Timespec(ctypes.Structure):
        _fields_ = (("seconds", ctypes.c_long), ("ns", ctypes.c_long))

    class _Itimerspec(ctypes.Structure):
        _fields_ = (("interval", _Timespec), ("value", _Timespec))

    class _Timerfd:
        """timerfd_create(2), which the os module has from Python 3.13 on."""

        _ABSTIME: Final = 1

        def __init__(self) -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            flags = os.O_NONBLOCK | os.O_CLOEXEC
            self.file = int(libc.timerfd_create(time.CLOCK_MONOTONIC, flags))
            if self.file < 0:
                _fail("timerfd_create")
            self._settime = libc.timerfd_settime
            self._settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
            self._spec = _Itimerspec()
            self._address = ctypes.addressof(self._spec)

        def set(self, ns: int) -> None:
            value = self._spec.value
            value.seconds, value.ns = divmod(ns, _NS)
            if self._settime(self.file, self._ABSTIME, self._address, None) != 0:
                _fail("timerfd_settime")

    def _fail(call: str) -> NoReturn:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
