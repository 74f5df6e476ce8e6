"""Which reports of its workers a master has counted: each of them once, whatever became of it.

A worker numbers its reports and sends those again that were not acknowledged
(:mod:`loadgen.outbox`). They may come twice, late, out of order, after the run, and after the
worker itself is gone.
"""

from dataclasses import dataclass, field
from typing import Final

from loadgen.outbox import Receipt

__all__ = ["RESULTS", "Entry", "Ledger"]

RESULTS: Final = ("counted", "duplicate", "missed")
"""What :attr:`Ledger.results` tells apart."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a report is to the master.

    ``new`` means that it is to be counted, ``latest`` that no later one has been. ``missed`` are
    the numbers of those before it that are not here, as this one is the first to show.
    """

    new: bool
    latest: bool = False
    missed: tuple[int, ...] = ()


@dataclass(slots=True)
class _Page:
    """One worker process: all numbers up to ``upto`` are settled, and those ``beyond``."""

    upto: int
    beyond: set[int] = field(default_factory=set)

    @property
    def highest(self) -> int:
        return max(self.beyond, default=self.upto)


class Ledger:
    """The reports of any number of worker processes; a process that is gone keeps its page.

    ``results`` counts reports: ``counted`` were new, ``duplicate`` were dropped, and ``missed``
    were not there when a later one came. Of the latter those are counted, too, that come after all.
    """

    def __init__(self) -> None:
        self._pages: dict[str, _Page] = {}
        self.results: dict[str, int] = dict.fromkeys(RESULTS, 0)

    def __repr__(self) -> str:
        return f"<Ledger of {len(self._pages)} processes, {self.results}>"

    def enter(self, process: str, number: int, oldest: int) -> Entry:
        """Report ``number``, from 1, of a worker process that keeps those from ``oldest`` on.

        What it does not keep any more is not awaited: a master that has begun anew never gets it.
        """
        page = self._pages.get(process)
        if page is None:
            page = self._pages[process] = _Page(oldest - 1)
        if number <= page.upto or number in page.beyond:
            self.results["duplicate"] += 1
            return Entry(new=False)
        highest = page.highest
        missed = tuple(range(max(highest + 1, oldest), number))
        page.beyond.add(number)
        self._settle(page, oldest - 1)
        self.results["counted"] += 1
        self.results["missed"] += len(missed)
        return Entry(new=True, latest=number > highest, missed=missed)

    def receipt(self, process: str) -> Receipt:
        """What the worker process may forget."""
        page = self._pages.get(process, _Page(0))
        return Receipt(process=process, upto=page.upto, beyond=sorted(page.beyond))

    def lacking(self, process: str) -> list[int]:
        """Numbers before the last one of a process that have not come."""
        page = self._pages.get(process, _Page(0))
        return [n for n in range(page.upto + 1, page.highest) if n not in page.beyond]

    @staticmethod
    def _settle(page: _Page, upto: int) -> None:
        page.upto = max(page.upto, upto)
        while page.upto + 1 in page.beyond:
            page.upto += 1
        page.beyond = {number for number in page.beyond if number > page.upto}
