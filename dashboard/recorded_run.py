"""All that a replay needs of a run, as the store tells it, or why it is not enough."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dashboard.container_lives import ContainerLife, lives_in
from dashboard.errors import NoAdviceError
from dashboard.exposition import Labels
from dashboard.model import Run
from dashboard.quantiles import middles, quantiles
from dashboard.recorded_load import ColdTime, PlaceLoad, RecordedLoad
from dashboard.replay import DEADLINE_S, LONG_AGO, Conditions, Outcome
from dashboard.source import Histograms, Scalars, Source
from dashboard.window import Window
from flash.autoscaler import AutoscalerSettings

__all__ = ["SETTINGS", "RecordedRun", "recorded_run"]

Array = NDArray[np.float64]

_BY: Final = ("region", "routing")
_LATEST_LOOK_S: Final = 3.0
_COARSEST_S: Final = 2
_MOST_THROTTLED: Final = 0.01
_MOST_REQUESTS: Final = 3_000_000


class Setting(NamedTuple):
    """The metric that tells a setting of the autoscaler, and what makes a value of a text."""

    metric: str
    parse: Callable[[str], float]


SETTINGS: Final[Mapping[str, Setting]] = {
    "min_containers": Setting("edge_min_containers", int),
    "max_containers": Setting("edge_max_containers", int),
    "buffer_containers": Setting("edge_buffer_containers", int),
    "target_concurrency": Setting("edge_target_concurrency", float),
    "scaleup_window": Setting("edge_scaleup_window_seconds", float),
    "scaledown_window": Setting("edge_scaledown_window_seconds", float),
}

_NUMBER: Final = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)

# Without one there is none.
_OPTIONAL: Final = "scaleup_window"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedRun:
    """A finished run: its load, what its autoscaler was set to, and what it met and cost.

    ``is_open`` tells that requests began whether earlier ones were answered or not. ``notes`` are
    what the replay has to take for granted, or leave out, in this run alone.
    """

    run: Run
    load: RecordedLoad
    is_open: bool
    settings: AutoscalerSettings
    conditions: Conditions
    measured: Outcome
    notes: tuple[str, ...]


async def recorded_run(source: Source, run: Run, given: Mapping[str, float]) -> RecordedRun:
    """What is known of ``run``; the settings ``given`` go before what the platform tells.

    Raises:
        NoAdviceError: it is too little.
    """
    if run.end is None:
        raise NoAdviceError(f"run {run.run} has no end yet, or none was seen; replay it afterwards")
    window = await source.window(floor(run.start), ceil(max(run.end, run.start)) + 1.0, 1.0)
    if window.step > _COARSEST_S:
        raise NoAdviceError(
            f"of this run only points of {window.step} s are kept; a replay needs single seconds, "
            "which are there for a while after the run (--raw-retention)"
        )
    if run.labels.get("cold_start_policy") == "probe":
        raise NoAdviceError(
            "the run had one user ask for all while it was cold (--cold-start-policy probe); only "
            "runs whose users try again by themselves can be replayed"
        )
    attempts = await source.increases("loadgen_requests_total", window, by=("outcome",), match={})
    outcomes = attempts.totals("outcome")
    _check_outcomes(outcomes)
    settings = await _settings(source, window, given)
    lives = await _lives(source, window, run)
    failed = await _failures(source, run)
    boots, from_windows = await _boots(source, window, lives, run)
    cold = () if from_windows else tuple(_cold(lives, run))
    load = await _load(source, window, run, cold)
    measured = await _measured(source, window, outcomes, container_s=_container_s(lives, run))
    return RecordedRun(
        run=run,
        load=load,
        is_open=await _is_open(source, window, run),
        settings=settings,
        conditions=Conditions(
            seconds=load.seconds,
            boots_s=boots,
            stops_s=tuple(_stops(lives)),
            there=tuple(_there(lives, run)),
            kept=settings.min_containers,
            deadline_s=_deadline_s(run),
        ),
        measured=measured,
        notes=tuple(_notes(outcomes, failed, from_windows=from_windows)),
    )


def _deadline_s(run: Run) -> float:
    told = run.labels.get("cold_start_timeout", "")
    return float(told) if _NUMBER.fullmatch(told) else DEADLINE_S


def _check_outcomes(outcomes: Mapping[str, float]) -> None:
    attempts, throttled = sum(outcomes.values()), outcomes.get("throttled", 0.0)
    if not attempts:
        raise NoAdviceError("the store has no requests of this run")
    if throttled > _MOST_THROTTLED * attempts:
        raise NoAdviceError(
            f"{throttled:,.0f} attempts were turned away with 429 by the hard limit "
            "(max_concurrency), which a replay does not know"
        )
    if attempts > _MOST_REQUESTS:
        raise NoAdviceError(
            f"the run made {attempts:,.0f} attempts; at most {_MOST_REQUESTS:,} can be replayed"
        )


def _notes(
    outcomes: Mapping[str, float], failed: Sequence[str], *, from_windows: bool
) -> list[str]:
    notes = []
    if throttled := outcomes.get("throttled", 0.0):
        notes.append(f"{throttled:,.0f} attempts met a 429, which is left out.")
    if failed:
        notes.append(
            f"{len(failed)} containers failed or were killed; in the replay none does: "
            f"{', '.join(failed[:3])}{', ...' if len(failed) > 3 else ''}."
        )
    if from_windows:
        notes.append(
            "The platform does not tell when containers were asked for: that a start takes as long "
            "as a region was cold, from its first 503 to its first answer, is taken for granted."
        )
    return notes


async def _settings(
    source: Source, window: Window, given: Mapping[str, float]
) -> AutoscalerSettings:
    told: dict[str, float] = {}
    for name, setting in SETTINGS.items():
        found = await source.gauges(setting.metric, window, by=(), match={})
        known = found.values[~np.isnan(found.values)]
        if not known.size:
            continue
        if known.min() != known.max() and name not in given:
            raise NoAdviceError(
                f"{name} was changed during the run, from {known[0]:g} to {known[-1]:g}; replay a "
                "run with one setting, or tell which to take"
            )
        told[name] = float(known[-1])
    values = {_OPTIONAL: 0.0, **told, **given}
    missing = [name for name in SETTINGS if name not in values]
    if missing:
        raise NoAdviceError(
            "the platform does not tell what its autoscaler was set to: tell "
            f"{', '.join(missing)} of the run"
        )
    try:
        return AutoscalerSettings(
            min_containers=int(values["min_containers"]),
            max_containers=int(values["max_containers"]),
            buffer_containers=int(values["buffer_containers"]),
            target_concurrency=values["target_concurrency"],
            scaleup_window=values["scaleup_window"],
            scaledown_window=values["scaledown_window"],
        )
    except ValueError as error:
        raise NoAdviceError(str(error)) from error


async def _load(
    source: Source, window: Window, run: Run, cold: tuple[ColdTime, ...]
) -> RecordedLoad:
    assert run.end is not None
    users = _rows(await source.gauges("loadgen_users", window, by=_BY, match={}))
    latencies = await source.histograms(
        "loadgen_request_duration_seconds", window, by=_BY, match={}
    )
    latency = _whole(latencies)
    responses = _whole(
        await source.histograms("loadgen_response_time_seconds", window, by=_BY, match={})
    )
    waits = _whole(
        await source.histograms("loadgen_cold_start_wait_seconds", window, by=_BY, match={})
    )
    overheads = _whole(
        await source.histograms("loadgen_edge_overhead_seconds", window, by=_BY, match={})
    )
    delayed = _rows(
        await source.increases("loadgen_cold_start_requests_total", window, by=_BY, match={})
    )
    outcomes = await source.increases(
        "loadgen_requests_total", window, by=(*_BY, "outcome"), match={}
    )
    unanswered: dict[Labels, Array] = {}
    for labels, values in zip(outcomes.labels, outcomes.values, strict=True):
        place = tuple(pair for pair in labels if pair[0] != "outcome")
        lost = dict(labels).get("outcome") in ("timeout", "connection_error")
        row = np.nan_to_num(values) if lost else np.zeros(window.steps)
        unanswered[place] = unanswered.get(place, np.zeros(window.steps)) + row
    _check_watched(users, window, run)
    refusals = await _refusals(source, window)
    none = np.zeros(window.steps)
    empty = _Whole(np.zeros((window.steps, len(latencies.bounds))), 0.0)
    places = tuple(
        PlaceLoad(
            latencies=latency.get(place, empty).counts,
            latency_s=latency.get(place, empty).total_s,
            delayed=np.nan_to_num(delayed.get(place, none)),
            waited=waits.get(place, empty).counts.sum(axis=1),
            unanswered=unanswered[place],
            users=users.get(place, none),
            responses=float(responses.get(place, empty).counts.sum() + unanswered[place].sum()),
            response_s=responses.get(place, empty).total_s,
            # A request is half of the way's time in transit before it is at the proxy.
            transit_s=overheads.get(place, empty).mean_s / 2,
            refusal_s=refusals.get(dict(place).get("region", ""), 0.0),
        )
        for place in sorted(unanswered)
    )
    return RecordedLoad(
        seconds=run.end - run.start,
        # What is booked to a second was counted in the second before it.
        first_s=window.start - 1.0 - run.start,
        step_s=float(window.step),
        bounds=latencies.bounds,
        places=places,
        evenly=run.labels.get("arrival_process") == "constant",
        cold=cold,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """A histogram's counts by step and bucket, and its sum in all."""

    counts: Array
    total_s: float

    @property
    def mean_s(self) -> float:
        count = float(self.counts.sum())
        return self.total_s / count if count else 0.0


def _whole(found: Histograms) -> dict[Labels, _Whole]:
    return {
        tuple(sorted(labels)): _Whole(counts, float(sums.sum()))
        for labels, counts, sums in zip(found.labels, found.counts, found.sums, strict=True)
    }


def _rows(found: Scalars) -> dict[Labels, Array]:
    rows = zip(found.labels, found.values, strict=True)
    return {tuple(sorted(labels)): values for labels, values in rows}


def _check_watched(users: Mapping[Labels, Array], window: Window, run: Run) -> None:
    looks = [np.flatnonzero(~np.isnan(values)) for values in users.values()]
    first = min((int(found[0]) for found in looks if found.size), default=window.steps)
    late_s = window.start + first * window.step - run.start
    if late_s > _LATEST_LOOK_S + window.step:
        raise NoAdviceError(
            f"the first {late_s:.0f} s of the run are not in the store; have the dashboard watch a "
            "run from its start, and replay it before its points are deleted"
        )


async def _refusals(source: Source, window: Window) -> dict[str, float]:
    """How long a 503 takes to come back, by region: a round trip.

    A new connection takes one, or with TLS two, of which the shorter is taken.
    """
    found = await source.histograms(
        "loadgen_connect_duration_seconds", window, by=("region",), match={}
    )
    return {
        dict(labels).get("region", ""): float(quantiles(counts.sum(axis=0), 0.5, found.bounds)) / 2
        for labels, counts in zip(found.labels, found.counts, strict=True)
        if counts.any()
    }


async def _is_open(source: Source, window: Window, run: Run) -> bool:
    if told := run.labels.get("load_model"):
        return told == "open"
    # Only where requests have an intended start they can be late.
    lag = await source.histograms("loadgen_schedule_lag_seconds", window, by=(), match={})
    return bool(lag.counts.any())


# Containers.


async def _lives(source: Source, window: Window, run: Run) -> list[ContainerLife]:
    lives, _ = await lives_in(source, window)
    lives = [life for life in lives if _span(life, run)[0] < (run.end or run.start)]
    if not lives:
        raise NoAdviceError(
            "no container was seen during the run, so that nothing is known of its cost; have the "
            "dashboard watch the platform (--flash-edge or --modal-app)"
        )
    return lives


def _span(life: ContainerLife, run: Run) -> tuple[float, float]:
    """When it began and ended to cost, in Unix seconds, as far as that is known."""
    begin = next((at for at in (life.requested_at, life.live_at) if at is not None), run.start)
    return begin, run.end or run.start if life.gone_at is None else life.gone_at


def _container_s(lives: Sequence[ContainerLife], run: Run) -> float:
    spans = (_span(life, run) for life in lives)
    last = run.end or run.start
    return sum(max(0.0, min(end, last) - max(begin, run.start)) for begin, end in spans)


def _there(lives: Sequence[ContainerLife], run: Run) -> list[float]:
    """When those that were there at the start became live, or were to."""
    found = []
    for life in lives:
        begin, end = _span(life, run)
        away = min(end, end if life.draining_at is None else life.draining_at)
        never = life.requested_at is not None and life.live_at is None
        if begin <= run.start < away and not never:
            found.append(LONG_AGO if life.live_at is None else life.live_at - run.start)
    return found


def _cold(lives: Sequence[ContainerLife], run: Run) -> Iterator[ColdTime]:
    """The times without a live container; a request has one asked for at once."""
    spans = []
    for life in lives:
        begin, end = _span(life, run)
        if life.live_at is not None or life.requested_at is None:
            last = end if life.draining_at is None else min(end, life.draining_at)
            spans.append((max(begin, life.live_at or begin) - run.start, last - run.start))
    asked = sorted(_span(life, run)[0] - run.start for life in lives)
    warm_until, seconds = 0.0, (run.end or run.start) - run.start
    for begin, end in [*sorted(spans), (seconds, seconds)]:
        if begin > warm_until:
            first = next((at for at in asked if at >= warm_until), begin)
            yield ColdTime(warm_until, min(first, begin), begin)
        warm_until = max(warm_until, end)


async def _boots(
    source: Source, window: Window, lives: Sequence[ContainerLife], run: Run
) -> tuple[tuple[float, ...], bool]:
    """How long starts took, those of the run in order; whether that is only known from the cold."""
    booted = [
        (life.requested_at, life.live_at - life.requested_at)
        for life in lives
        if life.requested_at is not None and life.live_at is not None
    ]
    in_run = tuple(took for at, took in booted if at >= run.start)
    if booted:
        return in_run or tuple(took for _, took in booted), False
    found = await source.histograms("loadgen_cold_start_window_seconds", window, by=(), match={})
    counts = np.rint(found.counts.sum(axis=(0, 1))).astype(int)
    cold = tuple(np.repeat(middles(found.bounds), counts).tolist())
    if not cold:
        raise NoAdviceError(
            "no container was seen to start, so that nothing is known of how long that takes; "
            "replay a run with a cold start"
        )
    return cold, True


def _stops(lives: Sequence[ContainerLife]) -> list[float]:
    return [
        life.gone_at - life.draining_at
        for life in lives
        if life.gone_at is not None and life.draining_at is not None
    ]


async def _failures(source: Source, run: Run) -> list[str]:
    events = await source.events(run.start, run.end or run.start)
    bad = ("container_failed", "container_killed")
    return sorted({event.labels.get("container", "") for event in events if event.kind in bad})


async def _measured(
    source: Source, window: Window, outcomes: Mapping[str, float], *, container_s: float
) -> Outcome:
    async def total(metric: str) -> float:
        found = await source.increases(metric, window, by=(), match={})
        return float(np.nansum(found.values))

    waits = await source.histograms("loadgen_cold_start_wait_seconds", window, by=(), match={})
    refused = outcomes.get("cold_start", 0.0)
    return Outcome(
        refused=refused,
        answered=sum(outcomes.values()) - refused - outcomes.get("throttled", 0.0),
        delayed=await total("loadgen_cold_start_requests_total"),
        waited_s=float(waits.sums.sum()),
        gave_up=await total("loadgen_cold_start_giveups_total"),
        container_s=container_s,
    )
