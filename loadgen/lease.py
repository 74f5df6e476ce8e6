"""Which arrivals of a schedule are whose, for a few seconds at a time.

A master leases to each worker its share of the next seconds, and makes the shares anew only for
what nobody has a lease of yet. All of it is in the schedule's own seconds, so each arrival is
exactly one worker's, however late its messages are and however wrong its clock is: one that was
frozen for a while begins late what was leased to it, and nothing that others have been given.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from loadgen.arrival_schedule import WHOLE, ArrivalProcess, RateSchedule, Share, arrivals

__all__ = ["EVERYTHING", "LEASE_S", "Lease", "LeasedArrivals", "Lessor"]

LEASE_S: Final = 3.0
"""So far ahead shares are fixed; a master that is silent for longer makes arrivals late."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A share of the arrivals from one second of the schedule to before another."""

    share: Share
    from_s: float
    until_s: float


EVERYTHING: Final = Lease(WHOLE, 0.0, inf)


class Lessor:
    """Leases one schedule to those who are there."""

    def __init__(self) -> None:
        self._until_s = 0.0

    def __repr__(self) -> str:
        return f"<Lessor, leased until {self._until_s:g} s>"

    def lease(self, names: Sequence[str], elapsed_s: float) -> dict[str, Lease]:
        """What is to be leased now, ``elapsed_s`` into the schedule, to each of ``names``.

        Nothing without names: who comes next has that time, too, if late.
        """
        from_s, until_s = self._until_s, elapsed_s + LEASE_S
        if not names or until_s <= from_s:
            return {}
        self._until_s = until_s
        return {
            name: Lease(Share(index, len(names)), from_s, until_s)
            for index, name in enumerate(names)
        }


class LeasedArrivals:
    """The intended starts, ascending, of all leases that were taken so far; more may follow."""

    def __init__(
        self, schedule: RateSchedule, process: ArrivalProcess, uniform: Callable[[], float]
    ) -> None:
        self._schedule = schedule
        self._process = process
        self._uniform = uniform
        self._leased: deque[Iterator[float]] = deque()

    def __iter__(self) -> Iterator[float]:
        return self

    def __next__(self) -> float:
        leased = self._leased
        while leased:
            for moment in leased[0]:
                return moment
            leased.popleft()
        raise StopIteration

    def take(self, lease: Lease) -> None:
        """One more lease, of a later time than all before."""
        self._leased.append(
            arrivals(
                self._schedule,
                self._process,
                share=lease.share,
                uniform=self._uniform,
                since_s=lease.from_s,
                until_s=lease.until_s,
            )
        )
