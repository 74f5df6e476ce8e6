"""Timers precise enough to emulate a round trip of two milliseconds.

uvloop's own timers are those of libuv: whole milliseconds, counted from when the loop last woke.
On Linux a timerfd in the loop wakes it on the microsecond; elsewhere the loop's timer has to do.
"""

import asyncio
import ctypes
import os
import struct
import sys
import time
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Final, Protocol

__all__ = ["LoopTimers", "TimerfdTimers", "Timers", "timers"]

_CLOCK_MONOTONIC: Final = 1
_NONBLOCK_CLOEXEC: Final = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)
_ABSOLUTE: Final = 1
_ITIMERSPEC: Final = struct.Struct("@qqqq")
# A processor that rested for long takes a few tenths of a millisecond to wake: it is woken this
# much ahead, and rests shortly once more.
_AHEAD_S: Final = 0.0008

Callback = Callable[[], None]


class Timers(Protocol):
    """Calls things later, on the loop."""

    def call_after(self, delay_s: float, callback: Callback) -> None: ...

    def close(self) -> None: ...


def timers(loop: asyncio.AbstractEventLoop) -> Timers:
    """The most precise timers that this system has."""
    if sys.platform == "linux":
        try:
            return TimerfdTimers(loop)
        except OSError:
            pass
    return LoopTimers(loop)


class LoopTimers:
    """The loop's own timers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_after(self, delay_s: float, callback: Callback) -> None:
        self._loop.call_later(delay_s, callback)

    def close(self) -> None:
        pass


class TimerfdTimers:
    """One timerfd for the earliest of all deadlines.

    Raises:
        OSError: the system has no timerfd.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        # os.timerfd_create came with Python 3.13.
        self._fd = self._libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._loop = loop
        self._waiting: list[tuple[float, int, Callback]] = []
        self._order = count()
        self._set_for = float("inf")
        loop.add_reader(self._fd, self._due)

    def call_after(self, delay_s: float, callback: Callback) -> None:
        deadline = time.clock_gettime(time.CLOCK_MONOTONIC) + delay_s
        heappush(self._waiting, (deadline, next(self._order), callback))
        if deadline < self._set_for:
            self._set(deadline)

    def close(self) -> None:
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._waiting.clear()

    def _set(self, deadline: float) -> None:
        self._set_for = deadline
        if deadline - time.clock_gettime(time.CLOCK_MONOTONIC) > 2 * _AHEAD_S:
            deadline -= _AHEAD_S
        seconds = int(deadline)
        # A deadline of zero would disarm it.
        nanoseconds = max(1, int((deadline - seconds) * 1e9))
        spec = _ITIMERSPEC.pack(0, 0, seconds, nanoseconds)
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, spec, None)

    def _due(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:
            pass
        self._set_for = float("inf")
        now = time.clock_gettime(time.CLOCK_MONOTONIC)
        while self._waiting and self._waiting[0][0] <= now:
            heappop(self._waiting)[2]()
        if self._waiting and self._waiting[0][0] < self._set_for:
            self._set(self._waiting[0][0])
