"""What a finished run came to, and the verdict on it: for the gate and for the list of runs."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

from dashboard.finished_run import FINEST_S, FinishedRun
from dashboard.judgement import Judgement, judged
from dashboard.measurement import measurement_problems
from dashboard.run_figures import RunFigures, run_figures
from dashboard.source import Source
from flash.objective import Measure, Objective

__all__ = ["RunVerdict", "run_verdict"]


@dataclass(frozen=True, slots=True, eq=False)
class RunVerdict:
    """The figures of a run that took ``seconds``, and what they say of its objectives."""

    seconds: float
    figures: RunFigures
    judgement: Judgement


async def run_verdict(
    source: Source,
    found: FinishedRun,
    objectives: Sequence[Objective],
    *,
    also: Set[Measure] = frozenset(),
) -> RunVerdict:
    """Judge a run that has ended; the figures know what ``objectives`` and ``also`` measure."""
    run = found.run
    seconds = (found.end if run.end is None else run.end) - run.start
    window = await source.window(found.start, found.end, FINEST_S)
    measures = {objective.measure for objective in objectives} | also
    figures = await run_figures(source, window, measures, seconds=seconds)
    problems = await measurement_problems(source, window, start=run.start)
    return RunVerdict(seconds, figures, judged(objectives, figures, problems))
