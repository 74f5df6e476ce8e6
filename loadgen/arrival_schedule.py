"""When the arrivals of an open load model are meant to begin, whatever the server does."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, count, pairwise, repeat, takewhile
from math import inf, isfinite, log1p, sqrt
from typing import Final, NamedTuple

from loadgen.errors import UsageError

__all__ = [
    "MOST_PER_S",
    "WHOLE",
    "ArrivalProcess",
    "RateSchedule",
    "Share",
    "arrivals",
]

MOST_PER_S: Final = 1e6
_MOST_SECONDS: Final = 1e8


class ArrivalProcess(Enum):
    """How arrivals lie around the schedule's rate."""

    CONSTANT = "constant"
    """As evenly as the rate has it: of a steady rate each the same time after the last."""
    POISSON = "poisson"
    """Independent of each other, as those of many people who know nothing of each other."""

    @classmethod
    def parse(cls, text: str) -> "ArrivalProcess":
        """By its name.

        Raises:
            UsageError: there is none of that name.
        """
        try:
            return cls(text)
        except ValueError:
            known = " or ".join(process.value for process in cls)
            raise UsageError(f"expected {known}, got {text!r}") from None


@dataclass(frozen=True, slots=True)
class Share:
    """What falls to number ``index``, from 0, of ``count`` generators.

    Raises:
        UsageError: there is no such number.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise UsageError(f"expected a share from 0 to {self.count - 1}, got {self.index}")


WHOLE: Final = Share(0, 1)


@dataclass(frozen=True, slots=True)
class RateSchedule:
    """A rate of arrivals over time: straight lines between points ``(second, rate per second)``.

    Seconds count from the schedule's start. The first point is at 0, and the last one's rate holds
    from there on. Two points at one second are a jump.

    Raises:
        UsageError: points that are none of these, or a rate outside of 0 to 1,000,000.
    """

    points: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        points = self.points
        if not points or points[0][0] != 0:
            first = f"{points[0][0]:g} s" if points else "nothing"
            raise UsageError(f"expected a schedule whose first point is at 0 s, got {first}")
        for second, rate in points:
            if not (isfinite(rate) and 0 <= rate <= MOST_PER_S):
                raise UsageError(f"expected a rate from 0 to {MOST_PER_S:g} per second, got {rate}")
            if not second <= _MOST_SECONDS:
                raise UsageError(f"expected a time up to {_MOST_SECONDS:g} s, got {second}")
        for (before, _), (after, _) in pairwise(points):
            if not after >= before:
                raise UsageError(
                    f"expected points in order of time, got {after:g} s after {before:g} s"
                )
        for (first_s, _), _, (third_s, _) in zip(points, points[1:], points[2:], strict=False):
            if first_s == third_s:
                raise UsageError(
                    f"expected at most two points at one time, got three at {first_s:g} s"
                )
        if not any(rate for _, rate in points):
            raise UsageError("expected a rate above 0 somewhere in the schedule, got 0 throughout")

    @classmethod
    def parse(cls, text: str) -> "RateSchedule":
        """From ``RATE``, or from ``SECOND:RATE,SECOND:RATE,...``.

        Raises:
            UsageError: it is neither, or no schedule.
        """
        if ":" not in text:
            return cls(((0.0, _number(text, text)),))
        points = []
        for part in text.split(","):
            second, colon, rate = part.partition(":")
            if not colon:
                raise UsageError(_not_a_schedule(text))
            points.append((_number(second, text), _number(rate, text)))
        return cls(tuple(points))

    def __str__(self) -> str:
        """The text that :meth:`parse` makes it from."""
        if len(self.points) == 1:
            return _shown(self.points[0][1])
        return ",".join(f"{_shown(second)}:{_shown(rate)}" for second, rate in self.points)

    @property
    def is_steady(self) -> bool:
        """Whether the rate never changes."""
        return len(self.points) == 1

    def rate(self, second: float) -> float:
        """Arrivals per second at a time from 0 on; at a jump those after it."""
        line = self._line_at(second)
        return line.rate + line.slope * (second - line.start)

    def integral(self, second: float) -> float:
        """Arrivals meant from the start to a time from 0 on: the rate's integral."""
        line = self._line_at(second)
        into = second - line.start
        return line.base + into * (line.rate + line.slope * into / 2)

    def moments(self, areas: Iterable[float]) -> Iterator[float]:
        """The seconds at which the integral reaches each of ascending ``areas``.

        It ends with the first that is never reached, because the last rate is 0.
        """
        lines = self._lines()
        line = next(lines)
        for area in areas:
            while area >= line.top:
                line = next(lines)
            if line.top == inf and line.rate == 0:
                return
            # Solves rate * t + slope * t ** 2 / 2 = inside for t, in the form that loses nothing
            # where the slope is small or the rate 0.
            inside = area - line.base
            root = sqrt(max(0.0, line.rate * line.rate + 2 * line.slope * inside))
            yield (
                line.start
                if inside <= 0
                else (min(line.end, line.start + 2 * inside / (line.rate + root)))
            )

    def _line_at(self, second: float) -> "_Line":
        return next(line for line in self._lines() if second < line.end)

    def _lines(self) -> Iterator["_Line"]:
        base = 0.0
        for (start, first), (end, last) in pairwise(self.points):
            if start == end:
                continue
            top = base + (end - start) * (first + last) / 2
            yield _Line(start, end, first, (last - first) / (end - start), base, top)
            base = top
        start, rate = self.points[-1]
        yield _Line(start, inf, rate, 0.0, base, inf)


class _Line(NamedTuple):
    """The rate from ``start`` to ``end``, and its integral since 0 at both: ``base``, ``top``."""

    start: float
    end: float
    rate: float
    slope: float
    base: float
    top: float


def arrivals(
    schedule: RateSchedule,
    process: ArrivalProcess,
    *,
    share: Share = WHOLE,
    uniform: Callable[[], float],
    since_s: float = 0.0,
    until_s: float = inf,
) -> Iterator[float]:
    """The intended starts, ascending, in seconds since the schedule's start.

    They are those from ``since_s`` on and before ``until_s``: of times that follow each other each
    is in one.

    With a constant process the arrivals of all together are those at which the rate's integral is
    0.5, 1.5, 2.5, ..., so that their number up to any time is the integral, rounded; each of
    ``n`` shares gets every ``n``-th of them. With a Poisson process each share is one of its own,
    at its part of the rate: together they are a Poisson process at the whole rate, and none has to
    know of the others. The arrivals of a changing rate are those of a steady one, put where the
    integral is the same (time change; Devroye, Non-Uniform Random Variate Generation, VI.1.3).

    ``uniform`` gives random numbers from 0 to below 1; a constant process asks for none.
    """
    begun = schedule.integral(since_s)
    if process is ArrivalProcess.POISSON:
        gaps = (-log1p(-uniform()) * share.count for _ in repeat(None))
        areas = _beyond(begun, gaps)
    else:
        first = share.index + 0.5
        if begun > first:
            first += share.count * -((first - begun) // share.count)
        areas = iter(count(first, share.count))
    if until_s < inf:
        ended = schedule.integral(until_s)
        areas = takewhile(lambda area: area < ended, areas)
    return schedule.moments(areas)


def _beyond(begun: float, gaps: Iterator[float]) -> Iterator[float]:
    areas = accumulate(gaps, initial=begun)
    next(areas)  # where it began is no arrival
    return areas


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(_not_a_schedule(whole)) from None


def _not_a_schedule(text: str) -> str:
    return (
        "expected a rate per second, such as 100, or a schedule SECOND:RATE,SECOND:RATE,..., "
        f"such as 0:100,60:1000,120:100, got {text!r}"
    )


def _shown(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
