"""What fails time and again, told once: a line when it begins, and one when it is over."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["Troubles"]

# What fails works now and then between two failures, as a small write does on a full disk.
_OVER_AFTER_S: Final = 5.0

_OTHER_REASON_AFTER_S: Final = 60.0


@dataclass(slots=True)
class _Trouble:
    why: str
    told_at: float
    failed_at: float


class Troubles:
    """Logs what fails, once for as long as it does; a new reason at most once a minute.

    For one event loop. ``clock`` need not tell the time of day.
    """

    def __init__(self, log: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._clock = clock
        self._now: dict[str, _Trouble] = {}

    def failed(self, what: str, why: object, *, traced: bool = False) -> None:
        """Note that ``what`` failed; the line has the trace of the exception under way if asked."""
        now = self._clock()
        known = self._now.get(what)
        if known is None or (
            str(why) != known.why and now - known.told_at >= _OTHER_REASON_AFTER_S
        ):
            self._log.warning("%s failed: %s", what, why, exc_info=traced)
            self._now[what] = known = _Trouble(str(why), now, now)
        known.failed_at = now

    def went_well(self, what: str) -> None:
        """Note that ``what`` did not fail."""
        known = self._now.get(what)
        if known is not None and self._clock() - known.failed_at >= _OVER_AFTER_S:
            del self._now[what]
            self._log.warning("%s works again", what)

    def forget(self, what: str) -> None:
        """Note that there is no ``what`` any more."""
        self._now.pop(what, None)
