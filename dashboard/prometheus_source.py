"""The source that asks a Prometheus, which scrapes the same pages that we would.

A step's growth is that of its scrapes against the one before each, as in our own store. So a range
spans the step and one scrape interval more, and is asked for at the step's last millisecond: it
holds the scrapes of the step and one before. Where none of them is missing, what Prometheus
extrapolates is the whole range, and the rate over it times the step is what was counted in the
step, exactly. Elsewhere it is an estimate.

A range holds the millisecond that it ends in; up to version 2 also the one that it begins in, and
is then asked for a millisecond shorter.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.exposition import Labels
from dashboard.model import Event, Run
from dashboard.prometheus_api import PrometheusApi, Series
from dashboard.promql import LE, bucket_rate, last, matchers_of, rate, selector
from dashboard.runs import RUN_END, RUN_INFO, RUN_START
from dashboard.source import MOST_HISTOGRAMS, MOST_LINES, Histograms, Match, Scalars
from dashboard.window import LATEST_S, Window, window
from flash.buckets import BOUNDS_S

__all__ = ["PrometheusSource"]

_STANDARD: Final = (*BOUNDS_S, float("inf"))
_MS: Final = 0.001
_RUNS_STEP_S: Final = 3600
# Dividing by a range and multiplying by a step leaves whole numbers off by a rounding error.
_ROUNDING: Final = 1e-9

Array = NDArray[np.float64]
Events = Callable[[float, float], Awaitable[list[Event]]]


class PrometheusSource:
    """Asks Prometheus for numbers and runs, and ``events`` for what happened.

    ``interval_s`` is Prometheus' scrape interval. ``look_back_s`` is how far back runs and label
    values are looked for.
    """

    is_exact = False

    def __init__(
        self,
        api: PrometheusApi,
        *,
        events: Events,
        interval_s: float = 1.0,
        look_back_s: float = 14 * 86400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._events = events
        self._interval_s = interval_s
        self._look_back_s = look_back_s
        self._clock = clock
        self._closed_ms: int | None = None

    async def window(self, start: float | None, end: float | None, step: float | None) -> Window:
        finest = {ceil(self._interval_s): 0}
        return window(start, end, step, now=self._clock(), finest=finest)

    async def increases(
        self, metric: str, window: Window, *, by: tuple[str, ...], match: Match
    ) -> Scalars:
        range_ = await self._range(window.step + self._interval_s)
        query = rate(metric, by=by, window=range_, matchers=matchers_of(match))
        found = _first(await self._ask(query, window), window, by)
        return Scalars(found.labels, _counted(found.values * window.step), found.left_out)

    async def gauges(
        self, metric: str, window: Window, *, by: tuple[str, ...], match: Match
    ) -> Scalars:
        range_ = await self._range(max(window.step, self._interval_s))
        query = last(metric, by=by, window=range_, matchers=matchers_of(match))
        return _first(await self._ask(query, window), window, by)

    async def histograms(
        self, metric: str, window: Window, *, by: tuple[str, ...], match: Match
    ) -> Histograms:
        range_ = await self._range(window.step + self._interval_s)
        matchers = matchers_of(match)
        buckets, sums = await asyncio.gather(
            self._ask(bucket_rate(metric, by=by, window=range_, matchers=matchers), window),
            self._ask(rate(f"{metric}_sum", by=by, window=range_, matchers=matchers), window),
        )
        return _histograms(buckets, _scalars(sums, window, by), window, by)

    async def label_values(self, metric: str, label: str) -> list[str]:
        since = max(0.0, self._clock() - self._look_back_s)
        return await self._api.label_values(metric, label, since=since)

    async def runs(self) -> list[Run]:
        now = self._clock()
        names = "|".join((RUN_START, RUN_END, RUN_INFO))
        series = selector("", [f'__name__=~"{names}"'])
        # Step by step, each looking back over its own length, so that no short run is missed.
        found = await self._api.query_range(
            f"last_over_time({series}[{_RUNS_STEP_S}s])",
            start=now - self._look_back_s // _RUNS_STEP_S * _RUNS_STEP_S,
            end=now,
            step=_RUNS_STEP_S,
        )
        return _runs(found)

    async def events(self, start: float, end: float) -> list[Event]:
        return await self._events(start, end)

    async def _range(self, seconds: float) -> str:
        if self._closed_ms is None:
            self._closed_ms = 1 if await self._api.major_version() == 2 else 0
        return f"{round(seconds * 1000) - self._closed_ms}ms"

    async def _ask(self, query: str, window: Window) -> list[Series]:
        return await self._api.query_range(
            query,
            start=window.start + window.step - _MS,
            end=window.end - _MS,
            step=window.step,
        )

    def __repr__(self) -> str:
        return f"PrometheusSource({self._api!r})"


def _key(series: Series, by: tuple[str, ...]) -> Labels:
    return tuple((name, series.labels[name]) for name in by if name in series.labels)


def _row(series: Series, window: Window) -> Array:
    """The values of a series by step, NaN where it has none."""
    row = np.full(window.steps, np.nan)
    steps = np.rint((series.times + _MS - window.start) / window.step).astype(np.intp) - 1
    there = (steps >= 0) & (steps < window.steps)
    row[steps[there]] = series.values[there]
    return row


def _scalars(found: Sequence[Series], window: Window, by: tuple[str, ...]) -> Scalars:
    rows = np.array([_row(series, window) for series in found]).reshape(-1, window.steps)
    return Scalars(tuple(_key(series, by) for series in found), rows)


def _first(found: Sequence[Series], window: Window, by: tuple[str, ...]) -> Scalars:
    shown = _scalars(found[:MOST_LINES], window, by)
    return Scalars(shown.labels, shown.values, max(0, len(found) - MOST_LINES))


def _counted(values: Array) -> Array:
    whole = np.rint(values)
    return np.where(np.abs(values - whole) <= _ROUNDING * np.maximum(1.0, whole), whole, values)


def _histograms(
    buckets: Sequence[Series], sums: Scalars, window: Window, by: tuple[str, ...]
) -> Histograms:
    told = {float(series.labels[LE]) for series in buckets if LE in series.labels}
    # Buckets that a target leaves out hold nothing, so part of our layout is our layout.
    bounds = _STANDARD if told <= set(_STANDARD) else tuple(sorted(told))
    place = {bound: n for n, bound in enumerate(bounds)}
    rates: dict[Labels, Array] = {}
    left_out: set[Labels] = set()
    most = min(MOST_LINES, MOST_HISTOGRAMS // window.steps)
    for series in buckets:
        if LE not in series.labels:
            continue
        key = _key(series, by)
        if key not in rates and len(rates) >= most:
            left_out.add(key)
            continue
        rows = rates.setdefault(key, np.full((len(bounds), window.steps), np.nan))
        rows[place[float(series.labels[LE])]] = _row(series, window)
    lines = tuple(rates)
    cumulative = np.array(list(rates.values())).reshape(len(lines), len(bounds), window.steps)
    scraped = ~np.isnan(cumulative[:, -1, :]) if lines else np.zeros((0, window.steps), np.bool_)
    # What is extrapolated may differ from bucket to bucket; it must not go down.
    risen = np.maximum.accumulate(np.nan_to_num(cumulative), axis=1)
    counts = _counted(np.diff(risen, axis=1, prepend=0.0) * window.step)
    by_labels = dict(zip(sums.labels, np.nan_to_num(sums.values) * window.step, strict=True))
    none = np.zeros(window.steps)
    return Histograms(
        lines,
        bounds,
        np.where(scraped[:, None, :], counts, 0.0).transpose(0, 2, 1),
        np.array([by_labels.get(line, none) for line in lines]).reshape(-1, window.steps),
        scraped,
        left_out=len(left_out),
    )


def _runs(found: Sequence[Series]) -> list[Run]:
    values: dict[str, dict[str, float]] = {RUN_START: {}, RUN_END: {}}
    infos: dict[str, dict[str, str]] = {}
    for series in found:
        labels = dict(series.labels)
        name, run = labels.pop("__name__", ""), labels.pop("run", "")
        if name == RUN_INFO:
            infos[run] = {k: v for k, v in labels.items() if k not in ("job", "instance")}
        elif name in values:
            values[name][run] = max(values[name].get(run, 0.0), float(series.values.max()))
    return sorted(
        (
            Run(
                run=run,
                start=start,
                end=values[RUN_END].get(run) or None,
                labels=infos.get(run, {}),
            )
            for run, start in values[RUN_START].items()
            if 0 < start < LATEST_S
        ),
        key=lambda run: -run.start,
    )
