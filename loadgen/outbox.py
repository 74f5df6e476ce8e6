"""A worker's reports that its master has not acknowledged: what is to be sent, and sent again.

ZeroMQ loses what was on its way when a connection breaks, and tells neither side. So reports are
numbered, the master acknowledges each (:mod:`loadgen.ledger`), and those that it does not have are
sent again. What it is told twice it counts once.
"""

from dataclasses import dataclass
from typing import Final, Generic, TypedDict, TypeVar

__all__ = [
    "ACKNOWLEDGED_WITHIN_S",
    "MOST_UNACKNOWLEDGED",
    "SEND_AGAIN_AFTER_S",
    "Outbox",
    "Receipt",
]

MOST_UNACKNOWLEDGED: Final = 256
"""So many reports are kept; then the recorder itself keeps what would be in the next ones.

A worker that stops its users reads nothing meanwhile, for up to twice Locust's ``--stop-timeout``.
"""

SEND_AGAIN_AFTER_S: Final = 5.0
"""The oldest report is sent again after so long without its acknowledgement."""

ACKNOWLEDGED_WITHIN_S: Final = 1.0
"""What takes longer than that may well be lost."""

R = TypeVar("R")


class Receipt(TypedDict):
    """Which reports of one worker process a master has: all up to a number, and some beyond it."""

    process: str
    upto: int
    beyond: list[int]


@dataclass(slots=True)
class _Kept(Generic[R]):
    report: R
    due: bool = True
    sent_at: float = 0.0


class Outbox(Generic[R]):
    """Reports by their number, which counts up from 1. Times are in seconds of any one clock."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept[R]] = {}
        self._last = 0

    def __repr__(self) -> str:
        return f"<Outbox, {len(self._kept)} of {self._last} unacknowledged>"

    @property
    def full(self) -> bool:
        """Whether there is no room for another report for the time being."""
        return len(self._kept) >= MOST_UNACKNOWLEDGED

    @property
    def oldest(self) -> int:
        """The first number that may still be sent; the next one if all are acknowledged."""
        return min(self._kept, default=self._last + 1)

    def put(self, report: R) -> int:
        """Keep a report until it is acknowledged; its number."""
        self._last += 1
        self._kept[self._last] = _Kept(report)
        return self._last

    def next_due(self, now_s: float) -> tuple[int, R] | None:
        """The first report to be sent now, with its number; it counts as sent then."""
        kept = self._kept
        number = next((number for number, one in kept.items() if one.due), None)
        if number is None:
            number = self.oldest
            if number not in kept or now_s - kept[number].sent_at < SEND_AGAIN_AFTER_S:
                return None
        kept[number].due = False
        kept[number].sent_at = now_s
        return number, kept[number].report

    def hasten(self, now_s: float) -> None:
        """Have all sent again that should have been acknowledged by now: it is the last chance."""
        for one in self._kept.values():
            one.due = one.due or now_s - one.sent_at > ACKNOWLEDGED_WITHIN_S

    def not_sent(self, number: int) -> None:
        """It could not be sent after all."""
        if number in self._kept:
            self._kept[number].due = True

    def acknowledged(self, upto: int, beyond: list[int]) -> None:
        """A master has all reports up to a number and some beyond.

        What lies between did not arrive, since ZeroMQ keeps the order: it is due again.
        """
        for number in [n for n in self._kept if n <= upto or n in beyond]:
            del self._kept[number]
        for number, one in self._kept.items():
            one.due = one.due or number < max(beyond, default=0)
