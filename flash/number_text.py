"""Figures as people read them in tables: with as many digits as say something."""

from typing import Final

from flash.buckets import BOUNDS_S

__all__ = ["NO_DATA", "milliseconds", "percent", "rate_text", "seconds_text"]

NO_DATA: Final = "-"


def rate_text(per_s: float | None) -> str:
    """A rate per second, to a tenth below a thousand."""
    if per_s is None:
        return NO_DATA
    return f"{per_s:.{1 if per_s < 999.95 else 0}f}"


def milliseconds(seconds: float | None) -> str:
    """A duration in milliseconds: three figures below a hundred, whole above."""
    return NO_DATA if seconds is None else f"{_above(seconds)}{_three_figures(seconds * 1e3)}"


def seconds_text(seconds: float | None) -> str:
    """A duration in seconds: three figures below a hundred, whole above."""
    return NO_DATA if seconds is None else f"{_above(seconds)}{_three_figures(seconds)}"


def percent(share: float | None) -> str:
    """A share from 0 to 1 in per cent; 100.0 % only where it is all of them."""
    if share is None:
        return NO_DATA
    shown = f"{share:.1%}"
    return "99.9%" if shown == "100.0%" and share < 1 else shown


def _three_figures(value: float) -> str:
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def _above(seconds: float) -> str:
    # The last bucket has no upper bound: of what is in it only that it is longer is known.
    return ">" if seconds >= BOUNDS_S[-1] else ""
