"""The open load model of one process: its schedule, and the users that its arrivals go to."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Final

from loadgen.arrival_schedule import WHOLE, ArrivalProcess, RateSchedule, Share, arrivals
from loadgen.dispatcher import Arrived, Dispatcher
from loadgen.ticker import ticker_on

__all__ = ["OpenModel"]

# Users that were only just started have yet to say that they are free.
_HEAD_START_S: Final = 0.1


class OpenModel:
    """Arrivals of one run. ``uniform`` gives random numbers from 0 to below 1, ``loop`` is a hub's.

    Nothing arrives before :meth:`begin`.
    """

    def __init__(
        self,
        schedule: RateSchedule,
        process: ArrivalProcess,
        *,
        loop: Any,
        uniform: Callable[[], float],
    ) -> None:
        self.schedule = schedule
        self.process = process
        self.dispatcher = Dispatcher(partial(ticker_on, loop), perf_counter)
        self._uniform = uniform
        self._share: Share | None = None
        self._started_at: float | None = None

    def __repr__(self) -> str:
        return f"<OpenModel {self.schedule} {self.process.value}, {self.dispatcher!r}>"

    def begin(self) -> None:
        """Have the schedule start, with all of its arrivals; if it has, nothing changes."""
        if self._started_at is None:
            self.take_share(WHOLE, elapsed_s=0.0)

    def take_share(self, share: Share | None, *, elapsed_s: float) -> None:
        """From now on have the arrivals of ``share``, of ``None`` no more for the time being.

        The schedule began ``elapsed_s`` ago. That is heeded only the first time, and later shares
        go on with the same beginning: a message that was slow must not move the schedule.
        """
        if self._started_at is None:
            self._started_at = perf_counter() + _HEAD_START_S - elapsed_s
        elif share == self._share:
            return
        self._share = share
        if share is None:
            self.dispatcher.begin(iter(()), self._started_at)
            return
        since_s = max(0.0, perf_counter() - self._started_at)
        coming = arrivals(
            self.schedule, self.process, share=share, uniform=self._uniform, since_s=since_s
        )
        self.dispatcher.begin(coming, self._started_at)

    def end(self) -> Arrived:
        """Let nothing arrive any more; what became of all that did."""
        self.dispatcher.end()
        return self.dispatcher.arrived()
