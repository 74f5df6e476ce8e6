"""When a region was cold: from a first 503 to the first answer that any of its users got.

Only what was sent since counts: an answer to an attempt that was under way when the first 503 came
says nothing of what came after it, nor does a 503 to one that was sent before the last answer.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, NamedTuple

__all__ = ["ColdStartWindow", "Turn"]

# A worker's are taken every second; of another process nobody wants them.
_MOST_TURNS: Final = 1000


class Turn(NamedTuple):
    """A window opened or closed, with an attempt sent at ``sent`` and answered at ``at``."""

    opened: bool
    sent: float
    at: float


class ColdStartWindow:
    """The windows of one region; times are in seconds of one clock.

    ``record`` is called with how long each was. ``opened`` is when the one that is open now began.
    An answer ends it with the next :meth:`settle`, when all answers of that time are known, or
    with a 503 to an attempt that was sent after it.
    """

    __slots__ = ("_answered", "_closed", "_record", "_turns", "opened")

    def __init__(self, record: Callable[[float], None]) -> None:
        self.opened: float | None = None
        self._record = record
        self._closed = -inf
        self._answered: Turn | None = None
        self._turns: deque[Turn] = deque(maxlen=_MOST_TURNS)

    def __repr__(self) -> str:
        return f"<ColdStartWindow, opened {self.opened}>"

    def refused(self, sent: float, at: float) -> None:
        """An attempt got 503."""
        if self._answered is not None and sent >= self._answered.at:
            self.settle()
        if self.opened is None and sent >= self._closed:
            self.opened = at
            self._turns.append(Turn(True, sent, at))

    def answered(self, sent: float, at: float) -> None:
        """An attempt got another response than 503, which began to come at ``at``."""
        if self.opened is None or sent < self.opened:
            return
        if self._answered is None or at < self._answered.at:
            self._answered = Turn(False, sent, at)

    def settle(self) -> None:
        """End the window that was answered."""
        answered, self._answered = self._answered, None
        if answered is not None and self.opened is not None:
            self._record(answered.at - self.opened)
            self.opened = None
            self._closed = answered.at
            self._turns.append(answered)

    def abandon(self) -> None:
        """Nobody asks any more: a window that is open has no end, and is not recorded."""
        self.settle()
        self.opened = None

    def take(self) -> list[Turn]:
        """The turns since the last taking."""
        taken = list(self._turns)
        self._turns.clear()
        return taken
