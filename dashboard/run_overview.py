"""Runs in a line each: what each of them came to, and the verdict by its own objectives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dashboard.finished_run import time_of
from dashboard.judgement import Judgement
from dashboard.model import Run
from dashboard.objectives import given_objectives
from dashboard.run_verdict import run_verdict
from dashboard.source import Source
from flash.objective import Measure

__all__ = ["RunOverview", "RunOverviews"]

_MEASURES: Final = frozenset({Measure.LATENCY, Measure.SHARE_503, Measure.REQUESTS})
_SETTLED_S: Final = 30.0
"""Seconds after a run's end from which on its numbers no longer change: the last scrapes of all
targets are stored."""
_MOST_KEPT: Final = 1000


@dataclass(frozen=True, slots=True)
class RunOverview:
    """A run that took ``seconds``, all regions together; ``None`` where there is no data.

    Durations are in seconds. The judgement is ``None`` where the source does not know all that was
    counted.
    """

    seconds: float
    requests: float | None
    p50_s: float | None
    p99_s: float | None
    share_503: float | None
    judgement: Judgement | None


class RunOverviews:
    """Overviews of runs that have ended, each worked out once. For one event loop."""

    def __init__(self, source: Source, *, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._known: dict[tuple[str, float, float], RunOverview] = {}

    async def of(self, run: Run) -> RunOverview | None:
        """The overview of a run; ``None`` while it goes on, or if its end was not seen."""
        if run.end is None:
            return None
        key = (run.run, run.start, run.end)
        known = self._known.get(key)
        if known is None:
            known = await self._overview(run, run.end)
            if self._clock() - run.end > _SETTLED_S:
                self._known[key] = known
        if len(self._known) > _MOST_KEPT:
            self._known.pop(next(iter(self._known)))
        return known

    def forget(self) -> None:
        """Work all out anew: points were deleted."""
        self._known.clear()

    async def _overview(self, run: Run, end: float) -> RunOverview:
        objectives = given_objectives(run.labels)
        found = await run_verdict(self._source, time_of(run, end), objectives, also=_MEASURES)
        figure = found.figures.figure
        return RunOverview(
            seconds=found.seconds,
            requests=figure(Measure.REQUESTS).value,
            p50_s=figure(Measure.LATENCY, 0.5).value,
            p99_s=figure(Measure.LATENCY, 0.99).value,
            share_503=figure(Measure.SHARE_503).value,
            judgement=found.judgement if self._source.is_exact else None,
        )
