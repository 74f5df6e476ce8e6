"""Whether a run met its objectives: pure, over figures that were read before."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, StrEnum

from dashboard.run_figures import Figure, RunFigures
from flash.objective import Objective

__all__ = ["Finding", "Judgement", "Status", "Verdict", "judged"]


class Verdict(StrEnum):
    """What one figure says of its objective."""

    MET = "met"
    MISSED = "missed"
    NO_DATA = "no data"


class Status(IntEnum):
    """What a check comes to, and ends with."""

    MET = 0
    MISSED = 1
    UNUSABLE = 2
    BAD_MEASUREMENT = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """An objective, for one region unless there is none, and its figure."""

    objective: Objective
    figure: Figure

    @property
    def verdict(self) -> Verdict:
        """No data meets nothing."""
        if self.figure.value is None:
            return Verdict.NO_DATA
        return Verdict.MET if self.objective.is_met_by(self.figure.value) else Verdict.MISSED


@dataclass(frozen=True, slots=True)
class Judgement:
    """All findings, and ``problems`` of the measurement itself, which then says little."""

    findings: tuple[Finding, ...]
    problems: tuple[str, ...]

    @property
    def status(self) -> Status:
        """A bad measurement is none of the server's faults, and what was not seen is not judged."""
        verdicts = {finding.verdict for finding in self.findings}
        if self.problems:
            return Status.BAD_MEASUREMENT
        if Verdict.NO_DATA in verdicts or not verdicts:
            return Status.UNUSABLE
        return Status.MISSED if Verdict.MISSED in verdicts else Status.MET


def judged(
    objectives: Sequence[Objective], figures: RunFigures, problems: Sequence[str]
) -> Judgement:
    """What the run's figures say of the objectives; of those without a region, in each region."""
    findings = tuple(one for objective in objectives for one in _findings(objective, figures))
    return Judgement(findings, tuple(problems))


def _findings(objective: Objective, figures: RunFigures) -> Iterator[Finding]:
    if objective.region is not None:
        yield Finding(objective, figures.of(objective, objective.region))
        return
    regions = figures.regions(objective.measure)
    for region in regions:
        yield Finding(replace(objective, region=region or None), figures.of(objective, region))
    if not regions:
        yield Finding(objective, Figure(None, 0))
