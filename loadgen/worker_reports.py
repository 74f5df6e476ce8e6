"""What a worker sends to its master: what it recorded, once a second, in the middle of the second.

Locust's own reports come every three seconds: a chart with a point per second would show bursts
between gaps, and a cold start three seconds late. Scrapers look on the second, so every scrape of
the master finds one report more of each worker whose clock is right to half a second.

A report carries Locust's statistics of the same requests. The master has both or neither, whatever
becomes of the connection or the worker, and counts both once: its table and its metrics agree.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypedDict

import gevent
from locust.exception import RPCError, RPCSendError

from loadgen.outbox import Outbox, Receipt
from loadgen.recorder import Delta, Recorder

__all__ = ["RECEIPT_MESSAGE", "REPORT_MESSAGE", "Report", "WorkerReports", "until_report_s"]

REPORT_MESSAGE: Final = "flashgauge_report"
"""The type of the message that carries a :class:`Report` to the master."""

RECEIPT_MESSAGE: Final = "flashgauge_receipt"
"""The type of the message that carries a :class:`~loadgen.outbox.Receipt` to the worker."""

_MIDDLE_S: Final = 0.5


class Report(TypedDict):
    """One report of a worker process, in types that any serialization keeps.

    ``oldest`` is the first that the worker still keeps. ``statistics`` is what Locust's own report
    would be. ``last`` means that the worker's users have stopped.
    """

    process: str
    number: int
    oldest: int
    recorded: Delta
    statistics: dict[str, Any]
    last: bool


class WorkerReports:
    """Takes from a worker's ``recorder`` and gives it to ``send``, which may fail with RPCError.

    ``statistics`` takes from Locust's statistics, at the same moment. What is not acknowledged is
    sent again.
    """

    def __init__(
        self,
        recorder: Recorder,
        statistics: Callable[[], dict[str, Any]],
        send: Callable[[Report], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recorder = recorder
        self._statistics = statistics
        self._send = send
        self._clock = clock
        # Locust's own id of a worker is for it to choose; this one is never anybody else's.
        self._process = secrets.token_hex(8)
        self._outbox: Outbox[tuple[Delta, dict[str, Any], bool]] = Outbox()

    def __repr__(self) -> str:
        return f"<WorkerReports of {self._process}, {self._outbox!r}>"

    def run(self) -> NoReturn:
        """Report for ever."""
        while True:
            gevent.sleep(until_report_s(time.time()))
            self.report()

    def report(self, *, last: bool = False) -> None:
        """Send what was recorded since the last report, and what the master did not get."""
        outbox = self._outbox
        if last or not outbox.full:
            # Between these two nobody else may run.
            outbox.put((self._recorder.take(), self._statistics(), last))
        if last:
            # Locust reads nothing for a while after this, no receipt either.
            outbox.hasten(self._clock())
        while (due := outbox.next_due(self._clock())) is not None:
            number, (recorded, statistics, was_last) = due
            report = Report(
                process=self._process,
                number=number,
                oldest=outbox.oldest,
                recorded=recorded,
                statistics=statistics,
                last=was_last,
            )
            try:
                self._send(report)
            except (RPCError, RPCSendError):  # Locust itself says that the master is gone
                outbox.not_sent(number)
                return

    def acknowledged(self, receipt: Receipt) -> None:
        """The master has these."""
        if receipt["process"] == self._process:
            self._outbox.acknowledged(receipt["upto"], receipt["beyond"])


def until_report_s(now_unix: float) -> float:
    """Seconds until the next middle of a second, above 0 and at most 1."""
    return 1.0 - (now_unix - _MIDDLE_S) % 1.0
