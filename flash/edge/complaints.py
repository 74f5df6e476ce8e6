"""What goes wrong again and again, in a few lines of the log: the first one soon, then counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["Complaints"]

_SOON_S: Final = 0.25
_AGAIN_S: Final = 10.0
_MOST_KEPT: Final = 1024


@dataclass(slots=True)
class _Complaint:
    text: str
    times: int = 1


class Complaints:
    """Tells each complaint shortly after it was first made, and its repetitions every 10 s.

    The short wait is for what explains it: whoever is forgotten meanwhile is not complained of.
    ``log`` gets the lines, ``call_later`` calls back after some seconds.
    """

    def __init__(
        self,
        log: Callable[[str], object],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._log = log
        self._call_later = call_later
        self._waiting: dict[tuple[str, str], _Complaint] = {}

    def __repr__(self) -> str:
        return f"Complaints({len(self._waiting)} kinds)"

    def add(self, subject: str, what: str) -> None:
        """``subject`` did ``what``, one of few texts."""
        key = (subject, what)
        known = self._waiting.get(key)
        if known is not None:
            known.times += 1
        elif len(self._waiting) < _MOST_KEPT:
            self._waiting[key] = complaint = _Complaint(f"{subject} {what}")
            self._call_later(_SOON_S, lambda: self._tell(key, complaint))

    def forget(self, subject: str) -> None:
        """What it did needs no telling any more."""
        for key in [key for key in self._waiting if key[0] == subject]:
            del self._waiting[key]

    def _tell(self, key: tuple[str, str], complaint: _Complaint) -> None:
        if self._waiting.get(key) is not complaint:
            return
        if not complaint.times:
            del self._waiting[key]
            return
        times = f" ({complaint.times:,} times)" if complaint.times > 1 else ""
        complaint.times = 0
        self._log(complaint.text + times)
        self._call_later(_AGAIN_S, lambda: self._tell(key, complaint))
