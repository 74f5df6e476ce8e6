"""The routes of the JSON interface and of the page."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from dashboard.advice import advised
from dashboard.answers import (
    AdviceAnswer,
    CellAnswer,
    ColdStartAnswer,
    ComparisonAnswer,
    ContainerAnswer,
    DeletedRunAnswer,
    DistributionAnswer,
    DistributionLine,
    ErrorAnswer,
    EventAnswer,
    HealthAnswer,
    LabelsAnswer,
    MatrixAnswer,
    MovesAnswer,
    NoteBody,
    PanelAnswer,
    PanelData,
    RunAnswer,
    RunComparisonAnswer,
    SdGroup,
    ShareAnswer,
    StickinessAnswer,
    SummaryAnswer,
    TargetAnswer,
)
from dashboard.cold_starts import cold_starts_of
from dashboard.compare import compared
from dashboard.container_lives import lives_in
from dashboard.distribution import distributions_of
from dashboard.errors import BadQueryError, ConflictError, NotFoundError
from dashboard.finished_run import LATEST, PREVIOUS, time_of
from dashboard.held_requests import HELD_S, held_in
from dashboard.lines import FILTERS, panel_lines
from dashboard.live import LiveHub
from dashboard.matrix import METRIC as MATRIX_METRIC
from dashboard.matrix import matrix_of
from dashboard.model import Event, Run
from dashboard.own_metrics import OwnMetrics
from dashboard.page import CONTENT_SECURITY_POLICY, Page
from dashboard.panels import PANELS, Panel
from dashboard.recorded_run import recorded_run
from dashboard.refusal_answers import (
    HeldAnswer,
    RefusalsAnswer,
    RefusalStreakAnswer,
    RefusedSessionAnswer,
)
from dashboard.refusal_record import record_of
from dashboard.refusals import refusals_of
from dashboard.refused_sessions import refused_sessions_of
from dashboard.run_comparison import TOLERANCE
from dashboard.run_overview import RunOverviews
from dashboard.service_discovery import sd_groups
from dashboard.source import Match, Source
from dashboard.stickiness import (
    affinities_of,
    cache_hits_of,
    comparisons_of,
    first_byte_metric,
    moves_of,
)
from dashboard.summary import summary_of
from dashboard.timeline import timeline_of
from dashboard.window import STEPS, Window

if TYPE_CHECKING:
    from dashboard.app import Beat

__all__ = ["Services", "router", "status_json"]

LEFT_OUT: Final = "X-Lines-Left-Out"

_ERRORS: dict[int | str, dict[str, object]] = {
    400: {"model": ErrorAnswer, "description": "A parameter cannot be used."},
    404: {"model": ErrorAnswer, "description": "There is no such thing."},
    409: {"model": ErrorAnswer, "description": "That cannot be done now, or not here."},
    422: {"model": ErrorAnswer, "description": "A parameter is not of its type."},
    502: {"model": ErrorAnswer, "description": "Prometheus, where it is asked, did not answer."},
    503: {"model": ErrorAnswer, "description": "The store did not answer in time."},
    504: {"model": ErrorAnswer, "description": "Prometheus did not answer in time."},
}

router = APIRouter(responses=_ERRORS)


@dataclass(frozen=True, slots=True)
class Services:
    """What the routes work with."""

    source: Source
    beat: "Beat"
    hub: LiveHub
    metrics: OwnMetrics
    page: Page
    overviews: RunOverviews
    clock: Callable[[], float]


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


_Services = Annotated[Services, Depends(_services)]
# Only told: that they are kept to is for the window to see, which says it better.
_TIMES: dict[str, object] = {"minimum": 0, "exclusiveMaximum": 2**33}
_STEPS: dict[str, object] = {"exclusiveMinimum": 0, "exclusiveMaximum": 2**33}
_Start = Annotated[
    float | None,
    Query(
        description="Unix seconds; 15 minutes before the end if left out",
        json_schema_extra=_TIMES,
    ),
]
_End = Annotated[
    float | None,
    Query(
        description="Unix seconds; the last full step before now if left out",
        json_schema_extra=_TIMES,
    ),
]
_Step = Annotated[
    float | None,
    Query(
        description="seconds, rounded up to a step there is; by the window's length if left out",
        json_schema_extra=_STEPS,
    ),
]
_Count = Annotated[
    int | None,
    Query(description="of the run; as the platform tells if left out", ge=0, le=10_000),
]
_Setting = Annotated[
    float | None,
    Query(
        description="of the run; as the platform tells if left out",
        ge=0,
        le=86_400,
        allow_inf_nan=False,
    ),
]
_Several = Annotated[
    list[str], Query(description="only these; repeat it, or separate with commas; all if left out")
]


@router.get("/api/panels", response_model=list[PanelAnswer])
async def panels() -> Response:
    """All panels, in the order of the page."""
    return _json([PanelAnswer.of(panel) for panel in PANELS.values()])


@router.get("/api/panels/{id}/data", response_model=PanelData)
async def panel_data(
    services: _Services,
    id_: Annotated[str, Path(alias="id")],
    start: _Start = None,
    end: _End = None,
    step: _Step = None,
    region: _Several = [],  # noqa: B006  # FastAPI copies defaults
    routing: _Several = [],  # noqa: B006  # FastAPI copies defaults
) -> Response:
    """A panel's lines over a window, aligned outwards to the step that is told.

    Where there are more lines than one answer tells apart, the header ``X-Lines-Left-Out`` says how
    many are not there: those that came last.
    """
    panel = _panel(id_)
    window = await services.source.window(start, end, step)
    found = await panel_lines(panel, services.source, window, _match(region, routing))
    answer = _json(PanelData.of(found.lines, window))
    if found.left_out:
        answer.headers[LEFT_OUT] = str(found.left_out)
    return answer


@router.get("/api/summary", response_model=SummaryAnswer)
async def summary(
    services: _Services,
    start: _Start = None,
    end: _End = None,
    region: _Several = [],  # noqa: B006  # FastAPI copies defaults
    routing: _Several = [],  # noqa: B006  # FastAPI copies defaults
) -> Response:
    """What a window comes to, per region and routing, and per region."""
    window = await services.source.window(start, end, None)
    match = _match(region, routing)
    both = await summary_of(services.source, window, match)
    regions = await summary_of(services.source, window, match, by=("region",))
    return _json(SummaryAnswer.of(both, regions, window))


@router.get("/api/labels", response_model=LabelsAnswer)
async def labels(services: _Services) -> Response:
    """The regions and routings that there are numbers of."""
    metric = "loadgen_requests_total"
    region, routing = [await services.source.label_values(metric, name) for name in FILTERS]
    return _json(LabelsAnswer.of(region, routing))


@router.get("/api/runs", response_model=list[RunAnswer])
async def runs(
    services: _Services,
    figures: Annotated[
        bool, Query(description="with what each run came to, its verdict and its notes")
    ] = False,
    limit: Annotated[
        int | None, Query(ge=1, le=1000, description="at most so many; all if left out")
    ] = None,
) -> Response:
    """All runs of the load generator, newest first, without totals."""
    found = (await services.source.runs())[:limit]
    if not figures:
        return _json([RunAnswer.of(run) for run in found])
    return _json([await _with_figures(services, run) for run in found])


@router.get("/api/runs/{run}", response_model=RunAnswer)
async def one_run(services: _Services, run: str) -> Response:
    """One run, with its totals, what it came to, its verdict and its notes."""
    known = await _run(services, run)
    return _json(await _with_figures(services, known, await _totals(services, known)))


@router.get(
    "/api/runs/{run}/advice",
    response_model=AdviceAnswer,
    responses={409: {"model": ErrorAnswer, "description": "Too little is known of the run."}},
)
async def advice(
    services: _Services,
    run: str,
    min_containers: _Count = None,
    max_containers: _Count = None,
    buffer_containers: _Count = None,
    target_concurrency: _Setting = None,
    scaleup_window: _Setting = None,
    scaledown_window: _Setting = None,
) -> Response:
    """What a finished run would have met and cost with other settings of the autoscaler."""
    given = {
        "min_containers": min_containers,
        "max_containers": max_containers,
        "buffer_containers": buffer_containers,
        "target_concurrency": target_concurrency,
        "scaleup_window": scaleup_window,
        "scaledown_window": scaledown_window,
    }
    told = {name: value for name, value in given.items() if value is not None}
    recorded = await recorded_run(services.source, await _run(services, run), told)
    return _json(AdviceAnswer.of(await asyncio.to_thread(advised, recorded)))


@router.delete("/api/runs/{run}", response_model=DeletedRunAnswer)
async def delete_run(services: _Services, run: str) -> Response:
    """Delete a run that has ended: its points and notes that no other run shares, and its entry."""
    erased = await services.beat.delete_run(run)
    services.overviews.forget()
    return _json(DeletedRunAnswer(run=run, spans=list(erased.spans), notes=erased.notes))


@router.get("/api/compare", response_model=RunComparisonAnswer)
async def compare(
    services: _Services,
    base: Annotated[
        str, Query(description="id of the run before, or the one before run")
    ] = PREVIOUS,
    run: Annotated[str, Query(description="id of the later run, or the newest one")] = LATEST,
    tolerance: Annotated[
        float, Query(ge=0, le=1, description="share of the figure before that is no change")
    ] = TOLERANCE,
) -> Response:
    """Whether a run was worse than one before: every figure with its interval and its verdict."""
    if not services.source.is_exact:
        raise ConflictError(
            "run", "a Prometheus does not tell all that a run counted: compare with a store of ours"
        )
    return _json(RunComparisonAnswer.of(await compared(services.source, base, run, tolerance)))


@router.get("/api/events", response_model=list[EventAnswer])
async def events(services: _Services, start: _Start = None, end: _End = None) -> Response:
    """What happened in a window, for marks on the time charts: runs, load, containers, notes."""
    window = await services.source.window(start, services.clock() if end is None else end, None)
    return _json([EventAnswer.of(event) for event in await timeline_of(services.source, window)])


@router.post("/api/events", response_model=EventAnswer, status_code=201)
async def add_note(services: _Services, note: NoteBody) -> Response:
    """Add a note of one's own, which is marked on the charts."""
    at = services.clock() if note.at is None else note.at
    event = Event(at=at, kind="note", text=note.text)
    await services.beat.note(event)
    return Response(
        EventAnswer.of(event).model_dump_json(), status_code=201, media_type="application/json"
    )


@router.get("/api/cold_starts", response_model=list[ColdStartAnswer])
async def cold_starts(
    services: _Services,
    start: _Start = None,
    end: _End = None,
    region: _Several = [],  # noqa: B006  # FastAPI copies defaults
    routing: _Several = [],  # noqa: B006  # FastAPI copies defaults
) -> Response:
    """Every cold start that began in a window, newest first: its course and its cost."""
    window = await services.source.window(start, end, None)
    found = await cold_starts_of(services.source, window, _match(region, routing))
    return _json([ColdStartAnswer.of(cold) for cold in found])


@router.get("/api/refusals", response_model=RefusalsAnswer)
async def refusals(
    services: _Services,
    start: _Start = None,
    end: _End = None,
    region: _Several = [],  # noqa: B006  # FastAPI copies defaults
    routing: _Several = [],  # noqa: B006  # FastAPI copies defaults
) -> Response:
    """Why there were 503s, with the evidence; who was held instead, and who met them alone."""
    # As fine as can be, for what containers did is a matter of seconds.
    window = await services.source.window(start, end, 1.0)
    match = _match(region, routing)
    record = await record_of(services.source, window)
    held = await held_in(services.source, window, match, record.seen.lives)
    return _json(
        RefusalsAnswer(
            start=window.start,
            end=window.end,
            step=window.step,
            streaks=[RefusalStreakAnswer.of(one) for one in refusals_of(record, match)],
            held_above=HELD_S,
            held=None if held is None else [HeldAnswer.of(one) for one in held],
            sessions=[RefusedSessionAnswer.of(one) for one in refused_sessions_of(record, match)],
        )
    )


@router.get("/api/distribution", response_model=DistributionAnswer)
async def distribution(
    services: _Services,
    start: _Start = None,
    end: _End = None,
    region: _Several = [],  # noqa: B006  # FastAPI copies defaults
    routing: _Several = [],  # noqa: B006  # FastAPI copies defaults
    merged: Annotated[bool, Query(description="one line of all that is chosen")] = False,
) -> Response:
    """How the latencies of a window are spread, per region and routing or all together."""
    metric = "loadgen_request_duration_seconds"
    window = await services.source.window(start, end, None)
    by = () if merged else FILTERS
    match = _match(region, routing)
    lines = await distributions_of(services.source, metric, window, match, by=by)
    return _json(
        DistributionAnswer(
            start=window.start,
            end=window.end,
            metric=metric,
            lines=[DistributionLine.of(line) for line in lines],
        )
    )


@router.get("/api/containers", response_model=list[ContainerAnswer])
async def containers(services: _Services, start: _Start = None, end: _End = None) -> Response:
    """Every container that was there in a window, in the order of their request."""
    window = await services.source.window(start, end, None)
    lives, _ = await lives_in(services.source, window)
    return _json([ContainerAnswer.of(life) for life in lives])


@router.get("/api/stickiness", response_model=StickinessAnswer)
async def stickiness(
    services: _Services,
    start: _Start = None,
    end: _End = None,
    region: _Several = [],  # noqa: B006  # FastAPI copies defaults
) -> Response:
    """What sticky routing is worth: who stayed, who had to move, and what it saves."""
    source = services.source
    window = await source.window(start, end, None)
    match = _match(region, [])
    metric = await first_byte_metric(source)
    _, changes = await lives_in(source, window)
    cache_hits = await cache_hits_of(source, window)
    return _json(
        StickinessAnswer(
            start=window.start,
            end=window.end,
            metric=metric,
            affinity=[ShareAnswer.of(one) for one in await affinities_of(source, window, match)],
            cache_hits=None if cache_hits is None else ShareAnswer.of(cache_hits),
            comparisons=[
                ComparisonAnswer.of(one)
                for one in await comparisons_of(source, metric, window, match)
            ],
            moves=[MovesAnswer.of(one) for one in await moves_of(source, changes, window, match)],
        )
    )


@router.get("/api/matrix", response_model=MatrixAnswer)
async def matrix(
    services: _Services,
    start: _Start = None,
    end: _End = None,
    region: _Several = [],  # noqa: B006  # FastAPI copies defaults
    routing: _Several = [],  # noqa: B006  # FastAPI copies defaults
) -> Response:
    """Latency from where generators run to each routing region, and the best one from there."""
    window = await services.source.window(start, end, None)
    cells = await matrix_of(services.source, window, _match(region, routing))
    return _json(
        MatrixAnswer(
            start=window.start,
            end=window.end,
            metric=MATRIX_METRIC,
            cells=[CellAnswer.of(cell) for cell in cells],
        )
    )


@router.get("/api/targets", response_model=list[TargetAnswer])
async def targets(services: _Services) -> Response:
    """Every scrape target and how its newest scrape went."""
    return _json([TargetAnswer.of(status) for status in services.beat.status()])


@router.get(
    "/api/live",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def live(
    request: Request,
    services: _Services,
    step: Annotated[int, Query(description="a step there is, in seconds")] = 1,
    panel: _Several = [],  # noqa: B006  # FastAPI copies defaults
    region: _Several = [],  # noqa: B006  # FastAPI copies defaults
    routing: _Several = [],  # noqa: B006  # FastAPI copies defaults
    since: Annotated[
        int | None, Query(description="Unix seconds from which points are sent at first")
    ] = None,
) -> Response:
    """New points as server-sent events: ``points``, ``status``, and ``skipped`` for slow clients.

    Points replace those of the same time. ``Last-Event-ID`` continues a broken stream.
    """
    if step not in STEPS:
        known = ", ".join(map(str, STEPS))
        raise BadQueryError("step", f"expected one of {known}, got {step}")
    chosen = tuple(_panel(id_).id for id_ in _split(panel)) or tuple(PANELS)
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdigit() and len(last) <= 10:
        since = int(last)
    stream = services.hub.stream(
        step=step, panels=chosen, match=_match(region, routing), since=since
    )
    return StreamingResponse(
        stream,
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/sd/targets", response_model=list[SdGroup])
async def sd_targets(services: _Services) -> Response:
    """All targets, for Prometheus' HTTP service discovery."""
    return _json(sd_groups(services.beat.targets()))


@router.get("/healthz", response_model=HealthAnswer)
async def healthz(services: _Services) -> Response:
    """Whether the store answers."""
    await services.source.window(None, None, None)
    return _json(HealthAnswer(status="ok"))


@router.get("/metrics", include_in_schema=False)
async def metrics(services: _Services) -> Response:
    return Response(
        services.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8"
    )


@router.get("/", include_in_schema=False)
async def index(request: Request, services: _Services) -> Response:
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "X-Frame-Options": "DENY",
    }
    return services.page.index.response(request, headers)


@router.get("/static/{version}/{name:path}", include_in_schema=False)
async def static(request: Request, services: _Services, version: str, name: str) -> Response:
    asset = services.page.assets.get(name)
    if asset is None or version != services.page.version:
        raise NotFoundError("name", f"there is no file {name[:100]!r} of version {version[:32]!r}")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return asset.response(request, headers)


@router.get("/favicon.ico", include_in_schema=False)
async def favicon(request: Request, services: _Services) -> Response:
    headers = {"Cache-Control": "public, max-age=86400"}
    return services.page.assets["icon.svg"].response(request, headers)


def status_json(beat: "Beat") -> str:
    """The targets' state as the live stream carries it."""
    return json.dumps(
        {
            "targets": [TargetAnswer.of(status).model_dump() for status in beat.status()],
            "platform_error": beat.platform_error,
        },
        separators=(",", ":"),
    )


def _json(answer: BaseModel | Sequence[BaseModel]) -> Response:
    if isinstance(answer, BaseModel):
        return Response(answer.model_dump_json(), media_type="application/json")
    body = "[" + ",".join(item.model_dump_json() for item in answer) + "]"
    return Response(body, media_type="application/json")


def _panel(id_: str) -> Panel:
    panel = PANELS.get(id_)
    if panel is None:
        raise NotFoundError("id", f"there is no panel {id_[:100]!r}; there are {', '.join(PANELS)}")
    return panel


def _match(region: list[str], routing: list[str]) -> Match:
    chosen = dict(zip(FILTERS, (_split(region), _split(routing)), strict=True))
    return {name: frozenset(values) for name, values in chosen.items() if values}


def _split(values: list[str]) -> list[str]:
    return [item for value in values for item in value.split(",") if item]


async def _run(services: Services, name: str) -> Run:
    for known in await services.source.runs():
        if known.run == name:
            return known
    raise NotFoundError("run", f"there is no run {name[:100]!r}; /api/runs lists them")


async def _with_figures(
    services: Services, run: Run, totals: dict[str, float] | None = None
) -> RunAnswer:
    of = time_of(run, services.clock() if run.end is None else run.end)
    happened = await services.source.events(of.start, of.end)
    return RunAnswer.of(
        run,
        totals=totals,
        overview=await services.overviews.of(run),
        notes=[event for event in happened if event.kind == "note"],
    )


async def _totals(services: Services, run: Run) -> dict[str, float]:
    # The last scrape of a run is up to a second after its end.
    end = services.clock() if run.end is None else run.end + 1.0
    window: Window = await services.source.window(run.start, max(end, run.start + 1.0), None)
    found = await services.source.increases(
        "loadgen_requests_total", window, by=("outcome",), match={}
    )
    return found.totals("outcome")
