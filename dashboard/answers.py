"""The JSON interface's answers as types, for FastAPI's checks and its OpenAPI document."""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Final, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from dashboard.advice import Advice, Option, sentence
from dashboard.cold_starts import ColdStart
from dashboard.container_lives import ContainerLife
from dashboard.distribution import Distribution
from dashboard.judgement import Finding
from dashboard.lines import Line
from dashboard.matrix import Cell
from dashboard.model import Event, Run, TargetStatus
from dashboard.objectives import Objective, objectives_of
from dashboard.replay import Outcome
from dashboard.run_comparison import Row, RunComparison
from dashboard.run_overview import RunOverview
from dashboard.stickiness import Comparison, ShareOf
from dashboard.summary import LineSummary, Summary
from dashboard.window import Window
from flash.generator_limit import reasons

__all__ = [
    "MOST_CHOICES",
    "AdviceAnswer",
    "CellAnswer",
    "ColdStartAnswer",
    "ComparisonAnswer",
    "ContainerAnswer",
    "DeletedRunAnswer",
    "DistributionAnswer",
    "DistributionLine",
    "ErrorAnswer",
    "EventAnswer",
    "HealthAnswer",
    "LabelsAnswer",
    "LineAnswer",
    "MatrixAnswer",
    "MovesAnswer",
    "NoteBody",
    "PanelAnswer",
    "PanelData",
    "RunAnswer",
    "RunComparisonAnswer",
    "SameNames",
    "SdGroup",
    "ShareAnswer",
    "StickinessAnswer",
    "SummaryAnswer",
    "TargetAnswer",
]


MOST_CHOICES: Final = 30
"""Regions that are offered for a choice, and the page draws."""


class ErrorBody(BaseModel):
    """What went wrong; ``where`` names the parameter or the path."""

    code: str
    message: str
    where: str


class ErrorAnswer(BaseModel):
    """The form of every error."""

    error: ErrorBody


class SameNames(BaseModel):
    """An answer whose fields are called as those of what it tells."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, told: object) -> Self:
        return cls.model_validate(told)


class PanelAnswer(SameNames):
    """One panel: rates are per second, durations in seconds."""

    id: str
    title: str
    unit: str
    metric: str
    meaning: str


class LineAnswer(BaseModel):
    """One line: points of Unix time and value, ``null`` where there is no data."""

    labels: dict[str, str]
    points: list[tuple[int, float | None]]

    @classmethod
    def of(cls, line: Line, window: Window) -> "LineAnswer":
        values = [value if isfinite(value) else None for value in line.values.tolist()]
        return cls.model_construct(
            labels=line.labels, points=list(zip(window.times(), values, strict=True))
        )


class PanelData(BaseModel):
    """A panel's lines from ``start`` to before ``end``, a point per ``step`` seconds.

    The point at t tells of the seconds from t to before t + step.
    """

    start: int
    end: int
    step: int
    lines: list[LineAnswer]

    @classmethod
    def of(cls, lines: Iterable[Line], window: Window) -> "PanelData":
        return cls.model_construct(
            start=window.start,
            end=window.end,
            step=window.step,
            lines=[LineAnswer.of(line, window) for line in lines],
        )


class ObjectiveAnswer(BaseModel):
    """A panel's quantile (0 to 1) that is to stay below ``limit`` seconds."""

    panel: str
    quantile: float
    limit: float
    text: str

    @classmethod
    def of(cls, objective: Objective) -> "ObjectiveAnswer":
        return cls(
            panel=objective.panel,
            quantile=objective.quantile,
            limit=objective.limit_s,
            text=objective.text,
        )


class EventAnswer(SameNames):
    """Something that happened, for marks on time charts (Unix seconds)."""

    at: float
    kind: str
    text: str
    labels: dict[str, str]


class FindingAnswer(BaseModel):
    """An objective of a run and what was measured: in seconds, a share from 0 to 1, or per second.

    ``measured`` is ``null`` without data, or for a duration beyond the last bucket. ``verdict`` is
    ``met``, ``missed`` or ``no data``.
    """

    objective: str
    measured: float | None
    samples: int
    verdict: str

    @classmethod
    def of(cls, finding: Finding) -> "FindingAnswer":
        value = finding.figure.value
        return cls(
            objective=str(finding.objective),
            measured=_finite(value),
            samples=finding.figure.samples,
            verdict=str(finding.verdict),
        )


class RunFiguresAnswer(BaseModel):
    """What a run that took ``seconds`` came to, all regions together; ``null`` without data.

    ``verdict`` is that of the run's own objectives: ``met``, ``missed``, ``unusable`` where there
    is no data for one, ``bad_measurement`` where ``measurement_problems`` say why; ``null`` where
    the run has none, or where Prometheus is asked, which does not tell all that was counted.
    """

    seconds: float
    requests: float | None
    p50: float | None
    p99: float | None
    share_503: float | None
    verdict: str | None
    objectives: list[FindingAnswer]
    measurement_problems: list[str]

    @classmethod
    def of(cls, overview: RunOverview) -> "RunFiguresAnswer":
        judgement = overview.judgement
        findings = () if judgement is None else judgement.findings
        problems = () if judgement is None else judgement.problems
        judged = judgement is not None and (findings or problems)
        return cls(
            seconds=overview.seconds,
            requests=overview.requests,
            p50=_finite(overview.p50_s),
            p99=_finite(overview.p99_s),
            share_503=overview.share_503,
            verdict=judgement.status.name.lower() if judgement and judged else None,
            objectives=[FindingAnswer.of(finding) for finding in findings],
            measurement_problems=list(problems),
        )


class RunAnswer(BaseModel):
    """One run of the load generator; ``end`` is ``null`` while it runs (Unix seconds).

    ``objectives`` are those of its objectives that are lines on a chart. ``totals`` are attempts by
    outcome, over all regions, while the run lasted. ``figures`` are there of a run that has ended,
    and ``notes`` are those of its time; both, like the totals, only where they are asked for.
    """

    run: str
    start: float
    end: float | None
    labels: dict[str, str]
    objectives: list[ObjectiveAnswer]
    totals: dict[str, float] | None = None
    figures: RunFiguresAnswer | None = None
    notes: list[EventAnswer] | None = None

    @classmethod
    def of(
        cls,
        run: Run,
        *,
        totals: dict[str, float] | None = None,
        overview: RunOverview | None = None,
        notes: list[Event] | None = None,
    ) -> "RunAnswer":
        return cls(
            run=run.run,
            start=run.start,
            end=run.end,
            labels=dict(run.labels),
            objectives=[ObjectiveAnswer.of(one) for one in objectives_of(run.labels)],
            totals=totals,
            figures=None if overview is None else RunFiguresAnswer.of(overview),
            notes=None if notes is None else [EventAnswer.of(note) for note in notes],
        )


class DeletedRunAnswer(BaseModel):
    """What was deleted of a run: the points of these times, from each start to before its end
    (Unix seconds), and so many notes."""

    run: str
    spans: list[tuple[int, int]]
    notes: int


class ComparedRun(SameNames):
    """A run that is compared (Unix seconds), and what its load generator told of it."""

    run: str
    start: float
    end: float | None
    labels: dict[str, str]


class RunComparisonRow(BaseModel):
    """One figure of one region and routing, in the run before and in the later one.

    ``before`` and ``after`` are in ``unit``: seconds, or a share from 0 to 1, or per second;
    ``null`` where there is no data, or a duration is beyond the last bucket. ``change`` and its
    95 % interval, ``low`` to ``high``, are shares of the figure before for durations, else in
    ``unit``; ``null`` where there is too little data. ``p`` is how likely chance makes such a
    change, and ``p_of_all`` the same in view of all rows. ``sure`` says whether the verdict holds
    then.
    """

    figure: str
    region: str
    routing: str
    unit: str
    before: float | None
    after: float | None
    before_samples: int
    after_samples: int
    change: float | None
    low: float | None
    high: float | None
    p: float | None
    p_of_all: float | None
    verdict: str
    sure: bool

    @classmethod
    def of(cls, row: Row) -> "RunComparisonRow":
        change, low, high = row.change or (None, None, None)
        before, after = row.base.value, row.run.value
        return cls(
            figure=row.compared.name,
            region=row.region,
            routing=row.routing,
            unit=str(row.unit),
            before=_finite(before),
            after=_finite(after),
            before_samples=row.base.samples,
            after_samples=row.run.samples,
            change=change,
            low=low,
            high=high,
            p=row.p,
            p_of_all=row.p_of_all,
            verdict=str(row.verdict),
            sure=row.is_sure,
        )


class RunComparisonAnswer(BaseModel):
    """Whether run ``run`` was worse than ``base`` before it.

    ``outcome`` is ``not_worse``, ``worse``, ``unusable`` or ``bad_measurement``, and ``status`` the
    exit status that says the same. ``measurement_problems`` are those of either run. Changes of up
    to ``tolerance`` of the figure before count as none.
    """

    base: ComparedRun
    run: ComparedRun
    outcome: str
    status: int
    tolerance: float
    measurement_problems: list[str]
    rows: list[RunComparisonRow]

    @classmethod
    def of(cls, comparison: RunComparison) -> "RunComparisonAnswer":
        return cls(
            base=ComparedRun.of(comparison.base),
            run=ComparedRun.of(comparison.run),
            outcome=comparison.outcome.name.lower(),
            status=int(comparison.outcome),
            tolerance=comparison.tolerance,
            measurement_problems=list(comparison.problems),
            rows=[RunComparisonRow.of(row) for row in comparison.rows],
        )


class TargetAnswer(BaseModel):
    """A scrape target and how its newest scrape went."""

    job: str
    url: str
    labels: dict[str, str]
    up: bool
    optional: bool
    error: str | None
    duration_s: float | None
    scraped_at: float | None
    series: int | None
    dropped_series: int

    @classmethod
    def of(cls, status: TargetStatus) -> "TargetAnswer":
        return cls(
            job=status.target.job,
            url=status.target.url,
            labels=dict(status.target.labels),
            up=status.up,
            optional=status.target.optional,
            error=status.error,
            duration_s=status.duration_s,
            scraped_at=status.scraped_at,
            series=status.series,
            dropped_series=status.dropped_series,
        )


class SummaryLine(BaseModel):
    """One region and routing over the window; ``null`` where there is no data.

    ``share_503`` is the share of all attempts. ``generator_share`` is the part of all response time
    that passed because the generator itself was late. Durations are in seconds.
    """

    labels: dict[str, str]
    attempts: float
    outcomes: dict[str, float]
    answered: float
    p50: float | None
    p95: float | None
    p99: float | None
    share_503: float | None
    waited: float
    gave_up: float
    cold_start_wait_max: float | None
    affinity: float | None
    generator_share: float | None

    @classmethod
    def of(cls, line: LineSummary) -> "SummaryLine":
        refused = line.outcomes.get("cold_start", 0.0)
        followed = line.same + line.moved
        return cls(
            labels=line.labels,
            attempts=line.attempts,
            outcomes=line.outcomes,
            answered=line.answered,
            p50=_known(line.p50_s),
            p95=_known(line.p95_s),
            p99=_known(line.p99_s),
            share_503=refused / line.attempts if line.attempts else None,
            waited=line.waited,
            gave_up=line.gave_up,
            cold_start_wait_max=_known(line.wait_max_s),
            affinity=line.same / followed if followed else None,
            generator_share=_known(line.generator_share),
        )


class SummaryAnswer(BaseModel):
    """What a window comes to.

    ``generator_limits`` says in what way the load generator was the limit, if it was.
    ``cpu_ratio_max`` is the highest mean of one of its processes over ten seconds, 1 is one core.
    """

    start: int
    end: int
    lines: list[SummaryLine]
    regions: list[SummaryLine]
    generator_limited: bool
    generator_limits: list[str]
    schedule_lag_p99: float | None
    cpu_ratio_max: float | None

    @classmethod
    def of(cls, both: Summary, regions: Summary, window: Window) -> "SummaryAnswer":
        limits = reasons(both.generator)
        return cls(
            start=window.start,
            end=window.end,
            lines=[SummaryLine.of(line) for line in both.lines],
            regions=[SummaryLine.of(line) for line in regions.lines],
            generator_limited=bool(limits),
            generator_limits=[limit.text for limit in limits],
            schedule_lag_p99=both.generator.schedule_lag_p99_s,
            cpu_ratio_max=max((use.mean for use in both.generator.cpu.values()), default=None),
        )


class ContainerStartAnswer(BaseModel):
    """One container's way up (Unix seconds)."""

    task_id: str
    requested_at: float | None
    process_started_at: float | None
    live_at: float | None

    @classmethod
    def of(cls, life: ContainerLife) -> "ContainerStartAnswer":
        return cls(
            task_id=life.task_id,
            requested_at=life.requested_at,
            process_started_at=life.process_started_at,
            live_at=life.live_at,
        )


class ContainerAnswer(ContainerStartAnswer):
    """One container's life (Unix seconds); ``null`` for what has not come, or is not told.

    ``region`` is where it runs. ``boot`` is the seconds from its request to its being live,
    ``server_boot`` those that its own server says its start took. ``in_flight_max`` is the most
    requests it was seen to serve at once in the window.
    """

    region: str | None
    draining_at: float | None
    gone_at: float | None
    boot: float | None
    server_boot: float | None
    in_flight_max: float | None

    @classmethod
    def of(cls, life: ContainerLife) -> "ContainerAnswer":
        known = life.live_at is not None and life.requested_at is not None
        return cls(
            **ContainerStartAnswer.of(life).model_dump(),
            region=life.region,
            draining_at=life.draining_at,
            gone_at=life.gone_at,
            boot=(life.live_at or 0.0) - (life.requested_at or 0.0) if known else None,
            server_boot=life.server_boot_s,
            in_flight_max=life.in_flight_max,
        )


class ColdStartAnswer(BaseModel):
    """One run of 503s of a region (Unix seconds): what it was and what it cost."""

    region: str
    began_at: int
    ended_at: int
    first_answer_at: int | None
    refused: float
    waits: float
    waited: float | None
    containers: list[ContainerStartAnswer]

    @classmethod
    def of(cls, cold: ColdStart) -> "ColdStartAnswer":
        return cls(
            region=cold.region,
            began_at=cold.began_at,
            ended_at=cold.ended_at,
            first_answer_at=cold.first_answer_at,
            refused=cold.refused,
            waits=cold.waits,
            waited=_known(cold.waited_s),
            containers=[ContainerStartAnswer.of(life) for life in cold.containers],
        )


class DistributionLine(BaseModel):
    """One line's latencies: buckets of upper bound in seconds (``null``: infinite) and count."""

    labels: dict[str, str]
    samples: float
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    buckets: list[tuple[float | None, float]]

    @classmethod
    def of(cls, line: Distribution) -> "DistributionLine":
        return cls(
            labels=line.labels,
            samples=line.samples,
            mean=_known(line.total_s / line.samples) if line.samples else None,
            p50=_known(line.p50_s),
            p95=_known(line.p95_s),
            p99=_known(line.p99_s),
            buckets=list(line.buckets),
        )


class DistributionAnswer(BaseModel):
    """How latencies are spread over a window."""

    start: int
    end: int
    metric: str
    lines: list[DistributionLine]


class ShareAnswer(BaseModel):
    """``hits`` of ``trials``; ``low`` to ``high`` is the 95 % interval of their share."""

    labels: dict[str, str]
    hits: float
    trials: float
    share: float | None
    low: float | None
    high: float | None

    @classmethod
    def of(cls, share: ShareOf) -> "ShareAnswer":
        low, high = share.interval or (None, None)
        return cls(
            labels=share.labels,
            hits=share.hits,
            trials=share.trials,
            share=share.share,
            low=low,
            high=high,
        )


class ComparisonAnswer(BaseModel):
    """A figure of one region in seconds, sticky against non-sticky.

    ``difference`` is sticky less non-sticky, ``low`` to ``high`` its 95 % interval: ``null`` where
    the window is too short to tell.
    """

    region: str
    figure: str
    sticky: float
    non_sticky: float
    sticky_samples: float
    non_sticky_samples: float
    difference: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, comparison: Comparison) -> "ComparisonAnswer":
        low, high = comparison.interval or (None, None)
        return cls(
            region=comparison.region,
            figure=comparison.figure,
            sticky=comparison.sticky_s,
            non_sticky=comparison.non_sticky_s,
            sticky_samples=comparison.sticky_samples,
            non_sticky_samples=comparison.non_sticky_samples,
            difference=comparison.sticky_s - comparison.non_sticky_s,
            low=low,
            high=high,
        )


class MovesAnswer(SameNames):
    """What a change from ``before`` to ``after`` live containers did to sticky sessions.

    ``moved`` of about ``sessions`` were seen on another container afterwards. Rendezvous hashing
    must move ``least_share`` of all, which is ``least`` of these on average.
    """

    at: float
    before: int
    after: int
    sessions: float | None
    moved: float
    least_share: float
    least: float | None


class StickinessAnswer(BaseModel):
    """What sticky routing is worth over a window; ``metric`` is what is compared."""

    start: int
    end: int
    metric: str
    affinity: list[ShareAnswer]
    cache_hits: ShareAnswer | None
    comparisons: list[ComparisonAnswer]
    moves: list[MovesAnswer]


class CellAnswer(BaseModel):
    """Latency in seconds from one client region to one routing region."""

    client_region: str
    region: str
    samples: float
    p50: float
    p99: float
    best: bool

    @classmethod
    def of(cls, cell: Cell) -> "CellAnswer":
        return cls(
            client_region=cell.client_region,
            region=cell.region,
            samples=cell.samples,
            p50=cell.p50_s,
            p99=cell.p99_s,
            best=cell.best,
        )


class MatrixAnswer(BaseModel):
    """Latency by client region and routing region; no cells where no generator tells its own."""

    start: int
    end: int
    metric: str
    cells: list[CellAnswer]


class OutcomeAnswer(BaseModel):
    """What a run met and cost while it lasted; durations in seconds, ``null`` without data.

    ``delayed`` requests met a 503, and those of them that were answered waited ``mean_wait`` from
    it; ``container_seconds`` is from each container's request to its end.
    """

    refused: float
    share_503: float | None
    answered: float
    delayed: float
    mean_wait: float | None
    gave_up: float
    container_seconds: float

    @classmethod
    def of(cls, outcome: Outcome) -> "OutcomeAnswer":
        return cls(
            refused=outcome.refused,
            share_503=outcome.share_503,
            answered=outcome.answered,
            delayed=outcome.delayed,
            mean_wait=outcome.mean_wait_s,
            gave_up=outcome.gave_up,
            container_seconds=outcome.container_s,
        )


class SettingsAnswer(SameNames):
    """The autoscaler's settings, as Modal names them; windows in seconds."""

    min_containers: int
    max_containers: int
    buffer_containers: int
    target_concurrency: float
    scaleup_window: float
    scaledown_window: float


class OptionAnswer(BaseModel):
    """Settings and what the run would have met and cost with them.

    ``best`` is whether no others cost less without more refusals, or have fewer without costing
    more.
    """

    settings: SettingsAnswer
    outcome: OutcomeAnswer
    best: bool
    text: str

    @classmethod
    def of(cls, option: Option, own: Option) -> "OptionAnswer":
        return cls(
            settings=SettingsAnswer.of(option.settings),
            outcome=OutcomeAnswer.of(option.outcome),
            best=option.best,
            text=sentence(option, own),
        )


class AdviceAnswer(BaseModel):
    """A run replayed with other settings of the autoscaler.

    ``own`` is the replay of its own settings, to be held against ``measured``; ``options`` are all
    that were replayed, the own ones among them, by their cost, and ``picked`` a few of the best.
    """

    run: str
    start: float
    seconds: float
    measured: OutcomeAnswer
    own: OptionAnswer
    options: list[OptionAnswer]
    picked: list[OptionAnswer]
    notes: list[str]

    @classmethod
    def of(cls, advice: Advice) -> "AdviceAnswer":
        return cls(
            run=advice.recorded.run.run,
            start=advice.recorded.run.start,
            seconds=advice.recorded.load.seconds,
            measured=OutcomeAnswer.of(advice.measured),
            own=OptionAnswer.of(advice.own, advice.own),
            options=[OptionAnswer.of(option, advice.own) for option in advice.options],
            picked=[OptionAnswer.of(option, advice.own) for option in advice.picked],
            notes=list(advice.notes),
        )


class NoteBody(BaseModel):
    """A note to be marked on the charts; ``at`` is Unix seconds, now if left out."""

    text: str = Field(min_length=1, max_length=200)
    at: float | None = Field(default=None, ge=0, lt=2**33, allow_inf_nan=False)


class LabelsAnswer(BaseModel):
    """Values that panels can be filtered by.

    ``left_out`` is how many there are beside these, which are those that came first.
    """

    region: list[str]
    routing: list[str]
    left_out: int

    @classmethod
    def of(cls, region: Sequence[str], routing: Sequence[str]) -> "LabelsAnswer":
        """Of values in the order in which they came."""
        several = (region, routing)
        return cls(
            region=sorted(region[:MOST_CHOICES]),
            routing=sorted(routing[:MOST_CHOICES]),
            left_out=sum(max(0, len(values) - MOST_CHOICES) for values in several),
        )


class SdGroup(BaseModel):
    """A group of Prometheus' HTTP service discovery."""

    targets: list[str]
    labels: dict[str, str] = Field(default_factory=dict)


class HealthAnswer(BaseModel):
    """Whether the dashboard works."""

    status: str


def _finite(value: float | None) -> float | None:
    return None if value is None else _known(value)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
