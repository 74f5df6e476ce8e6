"""The cold start windows of all regions, in one process or as a master sees those of its workers.

A master's are those that one process with all the users would see of what its workers tell: from
the first 503 of any worker to the first answer of any worker that met one. That takes one clock. A
worker's report tells the moments by its own, and when it was made; what of the master's clock that
is, is known from the report that took the shortest way.
"""

from collections.abc import Callable, Iterator
from math import inf
from typing import Final, TypedDict

from loadgen.cold_start_window import ColdStartWindow, Turn

__all__ = ["ColdStarts", "ColdStartsDelta"]

_ORDERED_AFTER_S: Final = 2.0
"""By when all workers have told what came about at a time: they report every second."""


class ColdStartsDelta(TypedDict):
    """What became of the windows since the last report, which was made at ``at``.

    All times are by the clock of the process that made it. A region's part tells whether a window
    is open there now, and the turns until then: opened or closed, sent at, answered at.
    """

    at: float
    regions: list[tuple[str, bool, list[tuple[bool, float, float]]]]


class ColdStarts:
    """Windows by region; ``clock`` is that of the moments that they are told, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: dict[str, ColdStartWindow] = {}
        self._of_workers: dict[str, _OfWorkers] = {}
        self._offsets: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"ColdStarts({self._windows!r})"

    def __iter__(self) -> Iterator[tuple[str, ColdStartWindow]]:
        """Regions and their windows, in order."""
        return iter(sorted(self._windows.items()))

    def window(self, region: str, record: Callable[[float], None]) -> ColdStartWindow:
        """That of a region; made on the first use, and then ``record`` gets the durations."""
        if region not in self._windows:
            self._windows[region] = window = ColdStartWindow(record)
            self._of_workers[region] = _OfWorkers(window)
        return self._windows[region]

    def settle(self) -> None:
        """End what was answered; to be called once all answers so far are told."""
        until = self._clock() - _ORDERED_AFTER_S
        for region, window in self._windows.items():
            window.settle()
            self._of_workers[region].settle(until)

    def run_ended(self) -> None:
        """Nobody asks any more: what is open has no end."""
        for region, window in self._windows.items():
            self._of_workers[region].settle(inf)
            window.abandon()

    def take(self) -> ColdStartsDelta:
        """What became of the windows since the last taking."""
        return ColdStartsDelta(
            at=self._clock(),
            regions=[
                (
                    region,
                    window.opened is not None,
                    [(turn.opened, turn.sent, turn.at) for turn in window.take()],
                )
                for region, window in self._windows.items()
            ],
        )

    def merge(self, worker: str, delta: ColdStartsDelta) -> None:
        """Take in what ``worker`` took; the regions that it tells of have to be known."""
        offset = self._offsets.get(worker, inf)
        # Both ends of a window have to be moved alike, or it would become longer or shorter.
        if not any(one.is_open_at(worker) for one in self._of_workers.values()):
            offset = self._offsets[worker] = min(offset, self._clock() - delta["at"])
        for region, is_open, turns in delta["regions"]:
            moved = [Turn(opened, sent + offset, at + offset) for opened, sent, at in turns]
            self._of_workers[region].tell(worker, moved, is_open=is_open)

    def keep_workers(self, present: set[str]) -> None:
        """Workers that are not among these are gone, and end no window."""
        for worker in self._offsets.keys() - present:
            del self._offsets[worker]
            for one in self._of_workers.values():
                one.tell(worker, [], is_open=False)


class _OfWorkers:
    """What workers tell of one region, until it can be put in its order."""

    __slots__ = ("_coming", "_open_at", "_told", "_window")

    def __init__(self, window: ColdStartWindow) -> None:
        self._window = window
        self._coming: list[Turn] = []
        self._open_at: set[str] = set()
        self._told = False

    def is_open_at(self, worker: str) -> bool:
        return worker in self._open_at

    def tell(self, worker: str, turns: list[Turn], *, is_open: bool) -> None:
        """``turns`` by the master's clock; after them a window of ``worker``'s own is open."""
        self._coming += turns
        self._told = self._told or bool(turns)
        (self._open_at.add if is_open else self._open_at.discard)(worker)

    def settle(self, until: float) -> None:
        """Have the region's window take what came about until then."""
        if not self._told:
            return
        due = sorted((turn for turn in self._coming if turn.at <= until), key=lambda turn: turn.at)
        self._coming = [turn for turn in self._coming if turn.at > until]
        for opened, sent, at in due:
            if opened:
                self._window.refused(sent, at)
            else:
                self._window.answered(sent, at)
                self._window.settle()
        if not self._coming and not self._open_at:
            # If one is open, whoever met its first 503 gets no answer: that worker's run has ended,
            # or it is gone.
            self._window.abandon()
