"""The arrivals of a capacity search in one process: at a steady rate, in one region at a time."""

from collections.abc import Callable, Hashable
from functools import partial
from time import perf_counter
from typing import Any

from loadgen.arrival_schedule import ArrivalProcess, RateSchedule, Share, arrivals
from loadgen.dispatcher import Dispatcher
from loadgen.ticker import ticker_on

__all__ = ["StepModel"]


class StepModel:
    """Of one run; nothing arrives before :meth:`offer`.

    ``uniform`` gives random numbers from 0 to below 1, ``loop`` is a hub's.
    """

    def __init__(self, process: ArrivalProcess, *, loop: Any, uniform: Callable[[], float]) -> None:
        self.dispatcher = Dispatcher(partial(ticker_on, loop), perf_counter)
        self._process = process
        self._uniform = uniform

    def __repr__(self) -> str:
        return f"<StepModel {self._process.value}, {self.dispatcher!r}>"

    def offer(self, region: str, rate: float | None, share: Share) -> None:
        """From now on have this share of so many arrivals per second, of ``None`` none.

        They go to the users of the region alone, and what waits for others is dropped.
        """

        def is_there(key: Hashable) -> bool:
            return isinstance(key, tuple) and key[1] == region

        self.dispatcher.confine(is_there)
        coming = (
            iter(())
            if rate is None
            else arrivals(
                RateSchedule(((0.0, rate),)), self._process, share=share, uniform=self._uniform
            )
        )
        self.dispatcher.begin(coming, perf_counter())
