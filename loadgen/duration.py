"""Durations as people type them: a number, and a unit."""

from math import isfinite
from typing import Final

from loadgen.errors import UsageError

__all__ = ["parse_duration"]

_SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration(text: str, *, unit: str | None = "s") -> float:
    """Seconds. A number alone is in ``unit``; where that is ``None`` a unit has to be given.

    Raises:
        UsageError: it is no duration.
    """
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    given = text[len(number) :] or unit
    try:
        value = float(number) * _SECONDS[given or ""]
    except (ValueError, KeyError):
        value = -1.0
    if not isfinite(value) or value < 0:
        example = "50ms, 1.5s or 2m" if unit is None else "90, 90s or 2m"
        raise UsageError(f"expected a duration such as {example}, got {text!r}")
    return value
