"""Which rate a capacity search tries next: steps up, then bisects. No clock, no load."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil, log2
from typing import Final

from loadgen.arrival_schedule import MOST_PER_S
from loadgen.errors import UsageError

__all__ = [
    "DEFAULT_RATES",
    "RateRange",
    "Tried",
    "Verdict",
    "highest_held",
    "most_steps",
    "next_rate",
]

_STEP_UP: Final = 2.0


class Verdict(Enum):
    """What became of a step."""

    HELD = "held"
    MISSED = "missed"
    LIMITED = "generator"
    """The load generator could not keep up, so nothing is known of the server at this rate."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A rate per second that was tried."""

    rate: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class RateRange:
    """From the rate that a search begins with up to the highest that it tries, per second.

    Raises:
        UsageError: they are no such rates.
    """

    lowest: float
    highest: float

    def __post_init__(self) -> None:
        if not 0 < self.lowest <= self.highest <= MOST_PER_S:
            raise UsageError(
                f"expected rates LOWEST:HIGHEST above 0 and up to {MOST_PER_S:g} per second, "
                f"got {self}"
            )

    @classmethod
    def parse(cls, text: str) -> "RateRange":
        """From ``LOWEST:HIGHEST``.

        Raises:
            UsageError: it is none.
        """
        lowest, _, highest = text.partition(":")
        try:
            return cls(float(lowest), float(highest))
        except ValueError:
            raise UsageError(
                f"expected rates LOWEST:HIGHEST per second, such as 1:10000, got {text!r}"
            ) from None

    def __str__(self) -> str:
        return f"{self.lowest:g}:{self.highest:g}"


DEFAULT_RATES: Final = RateRange(1.0, 10_000.0)


def next_rate(rates: RateRange, resolution: float, tried: Sequence[Tried]) -> float | None:
    """The next rate to try, ``None`` when the search is over.

    The rate doubles until one is not held, or the highest is. Between the highest that was held and
    the lowest that was not, it is bisected until these are within ``resolution``, a share of the
    lower one. A rate that the generator could not make ends the way up as one that was missed.
    """
    if not tried:
        return rates.lowest
    held, ceiling = highest_held(tried), _lowest_not_held(tried)
    if held is None:
        return None
    if ceiling is None:
        return None if held >= rates.highest else min(held * _STEP_UP, rates.highest)
    if ceiling - held <= resolution * held:
        return None
    return (held + ceiling) / 2


def highest_held(tried: Sequence[Tried]) -> float | None:
    """The highest rate that was held, below all that were not; ``None`` if there is none."""
    ceiling = _lowest_not_held(tried)
    held = [one.rate for one in tried if one.verdict is Verdict.HELD]
    return max((rate for rate in held if ceiling is None or rate < ceiling), default=None)


def most_steps(rates: RateRange, resolution: float) -> int:
    """No search takes more steps than this."""
    up = ceil(log2(rates.highest / rates.lowest)) + 1
    # The first two rates to bisect between are a doubling apart, so as far as the lower one's size.
    return up + max(0, ceil(log2(1 / resolution)))


def _lowest_not_held(tried: Sequence[Tried]) -> float | None:
    return min((one.rate for one in tried if one.verdict is not Verdict.HELD), default=None)
