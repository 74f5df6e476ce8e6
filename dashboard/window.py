"""The time window of a query, aligned to its step."""

from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Final

from dashboard.errors import BadQueryError

__all__ = [
    "DEFAULT_RANGE_S",
    "LATEST_S",
    "MOST_POINTS",
    "STEPS",
    "USUAL_POINTS",
    "Window",
    "window",
]

STEPS: Final = (
    1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400, 604800,
)  # fmt: skip
"""The steps there are, in seconds; others are rounded up to one of them."""

# Taken unasked: those that the store has rows of, or of half of them.
_USUAL_STEPS: Final = tuple(step for step in STEPS if step != 20)

USUAL_POINTS: Final = 600
"""Points a line has at most when no step is asked for."""

MOST_POINTS: Final = 3600
"""Points a line has at most; a finer step is widened until this is met."""

DEFAULT_RANGE_S: Final = 900

_LONGEST_S: Final = STEPS[-1] * MOST_POINTS
LATEST_S: Final = 2.0**33
"""Unix seconds that no time reaches; what is beyond is a mistake."""


@dataclass(frozen=True, slots=True)
class Window:
    """Steps of ``step`` seconds from ``start`` to before ``end`` (Unix seconds, all multiples).

    The point at ``t`` tells of the seconds from ``t`` to before ``t + step``.
    """

    start: int
    end: int
    step: int

    @property
    def steps(self) -> int:
        return (self.end - self.start) // self.step

    def times(self) -> range:
        return range(self.start, self.end, self.step)


def window(
    start: float | None,
    end: float | None,
    step: float | None,
    *,
    now: float,
    finest: "dict[int, int] | None" = None,
) -> Window:
    """The window that was asked for, aligned outwards.

    Left out, ``end`` is the last full step before ``now``, ``start`` 15 minutes before it, and
    ``step`` the finest that gives at most 600 points. ``finest`` says from which second on rows
    of each level are kept; where the window begins earlier than a level, its steps are multiples of
    the next coarser level.

    Raises:
        BadQueryError: a number that is no time, an end that is not after the start, a step
            that is not above zero, or too long a window.
    """
    for name, value in (("start", start), ("end", end), ("step", step)):
        if value is not None and not (isfinite(value) and 0 <= value < LATEST_S):
            raise BadQueryError(name, f"expected seconds from 0 to 2^33, got {value:g}")
    if step is not None and step <= 0:
        raise BadQueryError("step", f"expected seconds above zero, got {step:g}")
    last = now if end is None else end
    first = max(0.0, last - DEFAULT_RANGE_S) if start is None else start
    if last <= first:
        raise BadQueryError("end", f"expected a time after start ({first:g}), got {last:g}")
    if last - first > _LONGEST_S:
        raise BadQueryError("start", f"expected at most {_LONGEST_S:.0f} s before end")
    taken = _step(last - first, step, _least(first, finest or {}))
    aligned_end = floor(last / taken) * taken if end is None else ceil(last / taken) * taken
    aligned_start = floor(first / taken) * taken
    return Window(aligned_start, max(aligned_end, aligned_start + taken), taken)


def _step(length: float, asked: float | None, least: int) -> int:
    most = USUAL_POINTS if asked is None else MOST_POINTS
    wanted = max(asked or 0.0, length / most, least)
    steps = _USUAL_STEPS if asked is None else STEPS
    return next((step for step in steps if step >= wanted), STEPS[-1])


def _least(first: float, finest: dict[int, int]) -> int:
    kept = [level for level, since in sorted(finest.items()) if first >= since]
    return kept[0] if kept else max(finest, default=1)
