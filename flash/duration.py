"""Durations as people type them: a number, and a unit."""

from math import isfinite
from typing import Final

__all__ = ["seconds_of"]

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str, *, unit: str | None = "s") -> float:
    """Seconds. A number alone is in ``unit``; where that is ``None`` a unit has to be given.

    Raises:
        ValueError: it is no duration; the message says what one is.
    """
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    given = text[len(number) :] or unit
    try:
        value = float(number) * _SECONDS[given or ""]
    except (ValueError, KeyError):
        value = -1.0
    if not isfinite(value) or value < 0:
        example = "50ms, 1.5s or 2m" if unit is None else "90, 90s or 2m"
        raise ValueError(f"expected a duration such as {example}, got {text!r}")
    return value
