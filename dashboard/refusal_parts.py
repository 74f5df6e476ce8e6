"""503s of a region in parts of one kind each: answered by a container, or met without one, or else.

Every 503 is in exactly one part.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.availability import Gap
from dashboard.window import Window

__all__ = ["LATE_S", "NO_GAP", "SAME_S", "Part", "Refused", "gap_of_steps", "parts_of", "spans"]

LATE_S: Final = 2.0
"""What was met is counted up to this long after it: the next scrape is up to a second later, and
where Locust has workers they report to their master before it."""

SAME_S: Final = 3
"""Pauses between 503s up to this long do not end a streak of them: users back off in between."""

NO_GAP: Final = -1

Array = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Refused:
    """503s by step: those that named a container, and those of the proxy."""

    named: Array
    of_proxy: Array

    @classmethod
    def of(cls, refused: Array, named: Array) -> "Refused":
        """From all of them, and those that named one; NaN is no data."""
        whole = np.nan_to_num(refused)
        of_containers = np.minimum(np.nan_to_num(named), whole)
        return cls(of_containers, whole - of_containers)

    @classmethod
    def together(cls, parts: Iterable["Refused"], steps: int) -> "Refused":
        """Several added up, over so many steps."""
        total = cls(np.zeros(steps), np.zeros(steps))
        for part in parts:
            total = cls(total.named + part.named, total.of_proxy + part.of_proxy)
        return total


@dataclass(frozen=True, slots=True)
class Part:
    """503s of steps ``first`` to before ``last`` that are of one kind.

    They are those that ``named`` a container, or the proxy's in gap number ``gap``, or else the
    proxy's in no gap (-1).
    """

    first: int
    last: int
    named: bool
    gap: int

    @property
    def steps(self) -> slice:
        return slice(self.first, self.last)

    def count(self, refused: Refused, gap_of: Places) -> float:
        """How many of ``refused`` are in it; ``gap_of`` is the gap of each step."""
        if self.named:
            return float(refused.named[self.steps].sum())
        return float(refused.of_proxy[self.steps][gap_of[self.steps] == self.gap].sum())


def gap_of_steps(gaps: Sequence[Gap], window: Window) -> Places:
    """The gap in which the 503s of each step can have been met, of several the longest; else -1."""
    found = np.full(window.steps, NO_GAP)
    longest = np.zeros(window.steps)
    ends = np.arange(window.start, window.end, window.step, dtype=np.float64) + window.step
    begins = ends - window.step - LATE_S
    for number, gap in enumerate(gaps):
        first = begins if gap.began is None else np.maximum(begins, gap.began)
        last = ends if gap.ended is None else np.minimum(ends, gap.ended)
        found = np.where(last - first > longest, number, found)
        longest = np.maximum(longest, last - first)
    return found


def parts_of(refused: Refused, gap_of: Places, step: int) -> list[Part]:
    """A region's 503s in parts, over short pauses; ``step`` is in seconds."""
    kinds = [(True, NO_GAP, refused.named)]
    kinds += [
        (False, gap, np.where(gap_of == gap, refused.of_proxy, 0.0))
        for gap in np.unique(gap_of[refused.of_proxy > 0]).tolist()
    ]
    return [
        Part(first, last, named, gap)
        for named, gap, values in kinds
        for first, last in spans(values, max(1, SAME_S // step))
    ]


def spans(refused: Array, longest_pause: int) -> list[tuple[int, int]]:
    """Runs of steps with refusals, from and up to (exclusive), over short pauses without."""
    found: list[tuple[int, int]] = []
    for step in np.flatnonzero(np.nan_to_num(refused) > 0).tolist():
        if found and step - found[-1][1] <= longest_pause:
            found[-1] = (found[-1][0], step + 1)
        else:
            found.append((step, step + 1))
    return found
