"""Durations in options."""

from flash.duration import seconds_of
from loadgen.errors import UsageError

__all__ = ["parse_duration"]


def parse_duration(text: str, *, unit: str | None = "s") -> float:
    """Seconds, see :func:`flash.duration.seconds_of`.

    Raises:
        UsageError: it is no duration.
    """
    try:
        return seconds_of(text, unit=unit)
    except ValueError as error:
        raise UsageError(str(error)) from error
