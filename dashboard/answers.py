"""The JSON interface's answers as types, for FastAPI's checks and its OpenAPI document."""

from collections.abc import Iterable
from math import isfinite

import numpy as np
from pydantic import BaseModel, Field

from dashboard.cold_starts import ColdStart
from dashboard.distribution import Distribution
from dashboard.lines import Line
from dashboard.model import Event, Run, TargetStatus
from dashboard.panels import Panel
from dashboard.summary import LineSummary, Summary
from dashboard.window import Window

__all__ = [
    "ColdStartAnswer",
    "DistributionAnswer",
    "DistributionLine",
    "ErrorAnswer",
    "EventAnswer",
    "HealthAnswer",
    "LabelsAnswer",
    "LineAnswer",
    "NoteBody",
    "PanelAnswer",
    "PanelData",
    "RunAnswer",
    "SdGroup",
    "SummaryAnswer",
    "TargetAnswer",
]


class ErrorBody(BaseModel):
    """What went wrong; ``where`` names the parameter or the path."""

    code: str
    message: str
    where: str


class ErrorAnswer(BaseModel):
    """The form of every error."""

    error: ErrorBody


class PanelAnswer(BaseModel):
    """One panel: rates are per second, durations in seconds."""

    id: str
    title: str
    unit: str
    metric: str
    meaning: str

    @classmethod
    def of(cls, panel: Panel) -> "PanelAnswer":
        return cls(
            id=panel.id,
            title=panel.title,
            unit=panel.unit,
            metric=panel.metric,
            meaning=panel.meaning,
        )


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


class RunAnswer(BaseModel):
    """One run of the load generator; ``end`` is ``null`` while it runs (Unix seconds).

    ``totals`` are attempts by outcome, over all regions, while the run lasted.
    """

    run: str
    start: float
    end: float | None
    labels: dict[str, str]
    totals: dict[str, float] | None = None

    @classmethod
    def of(cls, run: Run, totals: dict[str, float] | None = None) -> "RunAnswer":
        return cls(
            run=run.run, start=run.start, end=run.end, labels=dict(run.labels), totals=totals
        )


class EventAnswer(BaseModel):
    """Something that happened, for marks on time charts (Unix seconds)."""

    at: float
    kind: str
    text: str
    labels: dict[str, str]

    @classmethod
    def of(cls, event: Event) -> "EventAnswer":
        return cls(at=event.at, kind=event.kind, text=event.text, labels=dict(event.labels))


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

    ``share_503`` is the share of all attempts. Durations are in seconds.
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
        )


class SummaryAnswer(BaseModel):
    """What a window comes to."""

    start: int
    end: int
    lines: list[SummaryLine]
    regions: list[SummaryLine]
    generator_limited: bool
    schedule_lag_p99: float | None
    cpu_ratio_max: float | None

    @classmethod
    def of(cls, both: Summary, regions: Summary, window: Window) -> "SummaryAnswer":
        return cls(
            start=window.start,
            end=window.end,
            lines=[SummaryLine.of(line) for line in both.lines],
            regions=[SummaryLine.of(line) for line in regions.lines],
            generator_limited=both.generator_limited,
            schedule_lag_p99=_known(both.schedule_lag_p99_s),
            cpu_ratio_max=_known(both.cpu_ratio_max),
        )


class ContainerStartAnswer(BaseModel):
    """One container's way up (Unix seconds)."""

    task_id: str
    requested_at: float
    process_started_at: float | None
    live_at: float | None


class ColdStartAnswer(BaseModel):
    """One run of 503s of a region (Unix seconds): what it was and what it cost."""

    region: str
    began_at: int
    ended_at: int
    first_answer_at: int | None
    refused: float
    waits: float
    waited: float
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
            waited=cold.waited_s,
            containers=[
                ContainerStartAnswer(
                    task_id=start.task_id,
                    requested_at=start.requested_at,
                    process_started_at=start.process_started_at,
                    live_at=start.live_at,
                )
                for start in cold.containers
            ],
        )


class DistributionLine(BaseModel):
    """One line's latencies: buckets of upper bound in seconds (``null``: infinite) and count."""

    labels: dict[str, str]
    samples: float
    mean: float | None
    buckets: list[tuple[float | None, float]]

    @classmethod
    def of(cls, line: Distribution) -> "DistributionLine":
        return cls(
            labels=line.labels,
            samples=line.samples,
            mean=line.total_s / line.samples if line.samples else None,
            buckets=list(line.buckets),
        )


class DistributionAnswer(BaseModel):
    """How latencies are spread over a window."""

    start: int
    end: int
    metric: str
    lines: list[DistributionLine]


class NoteBody(BaseModel):
    """A note to be marked on the charts; ``at`` is Unix seconds, now if left out."""

    text: str = Field(min_length=1, max_length=200)
    at: float | None = Field(default=None, ge=0, lt=2**33, allow_inf_nan=False)


class LabelsAnswer(BaseModel):
    """Values that panels can be filtered by."""

    region: list[str]
    routing: list[str]


class SdGroup(BaseModel):
    """A group of Prometheus' HTTP service discovery."""

    targets: list[str]
    labels: dict[str, str] = Field(default_factory=dict)


class HealthAnswer(BaseModel):
    """Whether the dashboard works."""

    status: str


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
