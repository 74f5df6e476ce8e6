"""Unix time that passes evenly, whatever becomes of the machine's clock.

A clock is set while a load test goes on: by hand, by NTP, after a machine has slept. What is timed
by it then takes hours or less than nothing. That goes for Locust, too: a worker whose clock is set
forward by a minute believes that its master is dead and leaves, one whose master's clock is set
back ignores what that says, and the rates of Locust's table are nothing or below it.
"""

import time
from collections.abc import Callable
from types import ModuleType

__all__ = ["SteadyClock", "keep_time"]


class SteadyClock:
    """Unix seconds: what ``wall`` showed when it was last looked at, and what has passed since.

    What has passed is in seconds of ``ticks``, which nobody sets.
    """

    def __init__(
        self,
        wall: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall, self._ticks = wall, ticks
        self.look()

    def __repr__(self) -> str:
        return f"<SteadyClock, {self():.3f}>"

    def __call__(self) -> float:
        return self._shown + (self._ticks() - self._looked_at)

    def look(self) -> None:
        """Take over what the wall clock shows now; nothing may be timed across this."""
        self._shown, self._looked_at = self._wall(), self._ticks()


class _Time(ModuleType):
    """The module ``time``, but for what its ``time()`` shows."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__("time")
        self.time = clock

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


def keep_time(module: ModuleType, clock: Callable[[], float]) -> None:
    """Have a module that calls ``time.time()`` see ``clock`` there, and all else as before."""
    module.time = _Time(clock)  # type: ignore[attr-defined] # it is not ours
