"""The open load model of one process: its schedule, and the users that its arrivals go to."""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Final

from loadgen.arrival_schedule import ArrivalProcess, RateSchedule
from loadgen.dispatcher import Arrived, Dispatcher
from loadgen.lease import EVERYTHING, Lease, LeasedArrivals
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
        self._arrivals = LeasedArrivals(schedule, process, uniform)
        self._begun = False

    def __repr__(self) -> str:
        return f"<OpenModel {self.schedule} {self.process.value}, {self.dispatcher!r}>"

    def begin(self) -> None:
        """Have the schedule start, with all of its arrivals; if it has, nothing changes."""
        if not self._begun:
            self.take_lease(EVERYTHING, elapsed_s=0.0)

    def take_lease(self, lease: Lease, *, elapsed_s: float) -> None:
        """Have the arrivals of ``lease``, too, which is later than those before.

        The schedule began ``elapsed_s`` ago. That is heeded only the first time: a message that was
        slow must not move the schedule.
        """
        self._arrivals.take(lease)
        if self._begun:
            self.dispatcher.go_on()
        else:
            self._begun = True
            self.dispatcher.begin(self._arrivals, perf_counter() + _HEAD_START_S - elapsed_s)

    def end(self) -> Arrived:
        """Let nothing arrive any more; what became of all that did."""
        self.dispatcher.end()
        return self.dispatcher.arrived()
