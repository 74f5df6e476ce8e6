"""What a worker sends to its master: what it recorded, once a second, in the middle of the second.

Locust's own reports come every three seconds: a chart with a point per second would show bursts
between gaps, and a cold start three seconds late. Scrapers look on the second, so every scrape of
the master finds one report more of each worker whose clock is right to half a second.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final, NoReturn

import gevent
from locust.exception import RPCError, RPCSendError

from loadgen.recorder import Delta, Recorder

__all__ = ["MESSAGE", "WorkerReports", "until_report_s"]

MESSAGE: Final = "flashgauge"
"""The type of the message that carries a report."""

_MIDDLE_S: Final = 0.5


class WorkerReports:
    """Takes from a worker's ``recorder`` and gives it to ``send``, which may fail with RPCError.

    What could not be sent is sent with the next report, in order.
    """

    def __init__(self, recorder: Recorder, send: Callable[[Delta], None]) -> None:
        self._recorder = recorder
        self._send = send
        self._unsent: deque[Delta] = deque()

    def __repr__(self) -> str:
        return f"<WorkerReports, {len(self._unsent)} unsent>"

    def run(self) -> NoReturn:
        """Report for ever."""
        while True:
            gevent.sleep(until_report_s(time.time()))
            self.report()

    def report(self) -> None:
        """Send what was recorded since the last report."""
        self._unsent.append(self._recorder.take())
        while self._unsent:
            # Off the queue first: while it is being sent another greenlet may come here.
            delta = self._unsent.popleft()
            try:
                self._send(delta)
            except (RPCError, RPCSendError):  # Locust itself says that the master is gone
                self._unsent.appendleft(delta)
                return


def until_report_s(now_unix: float) -> float:
    """Seconds until the next middle of a second, above 0 and at most 1."""
    return 1.0 - (now_unix - _MIDDLE_S) % 1.0
