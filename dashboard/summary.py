"""The verdict: what a window comes to, per region and routing, in a few numbers."""

from dataclasses import dataclass
from math import nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.exposition import Labels
from dashboard.generator_evidence import BUSY_FOR_S, generator_evidence
from dashboard.quantiles import quantiles
from dashboard.source import Histograms, Match, Scalars, Source
from dashboard.window import Window
from flash.generator_limit import Evidence

__all__ = ["LineSummary", "Summary", "summary_of"]

_BY: Final = ("region", "routing")

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSummary:
    """One region and routing. Durations in seconds; NaN where there is no data.

    ``attempts`` are all, by ``outcomes``. ``answered`` are those with a latency. ``waited`` are
    requests that met a 503 and were answered later, ``wait_max_s`` the longest of these waits.
    ``same`` and ``moved`` are responses of sessions from the container before, or another.
    ``generator_share`` is the part (0 to 1) of all response time that passed because the generator
    itself was late.
    """

    labels: dict[str, str]
    attempts: float
    outcomes: dict[str, float]
    answered: float
    p50_s: float
    p95_s: float
    p99_s: float
    waited: float
    gave_up: float
    wait_max_s: float
    same: float
    moved: float
    generator_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All lines of a window, and what tells whether the generator itself was its bottleneck.

    Of a process's CPU it knows the highest mean over ten seconds: a window may be of any time, also
    one in which little was asked of the generator.
    """

    lines: list[LineSummary]
    generator: Evidence


async def summary_of(
    source: Source, window: Window, match: Match, *, by: tuple[str, ...] = _BY
) -> Summary:
    """What happened in the whole of ``window``."""
    outcomes = await source.increases(
        "loadgen_requests_total", window, by=(*by, "outcome"), match=match
    )
    latency = await source.histograms(
        "loadgen_request_duration_seconds", window, by=by, match=match
    )
    waits = await source.histograms("loadgen_cold_start_wait_seconds", window, by=by, match=match)
    giveups = await source.increases("loadgen_cold_start_giveups_total", window, by=by, match=match)
    sessions = await source.increases(
        "loadgen_session_requests_total", window, by=(*by, "container"), match=match
    )
    responses = await source.histograms("loadgen_response_time_seconds", window, by=by, match=match)
    lags = await source.histograms("loadgen_schedule_lag_seconds", window, by=by, match=match)
    waited_s, late_s = _sums(responses), _sums(lags)
    by_outcome = _by_label(outcomes, "outcome")
    by_container = _by_label(sessions, "container")
    quantiles_of, waits_of = _whole(latency), _whole(waits)
    gave_up = {labels: _total(values) for labels, values in _pairs(giveups)}
    lines = []
    for labels, counted in sorted(by_outcome.items()):
        latencies = quantiles_of.get(labels)
        waited = waits_of.get(labels)
        containers = by_container.get(labels, {})
        lines.append(
            LineSummary(
                labels=dict(labels),
                attempts=sum(counted.values()),
                outcomes=counted,
                answered=0.0 if latencies is None else float(latencies.sum()),
                p50_s=_quantile(latencies, 0.5, latency.bounds),
                p95_s=_quantile(latencies, 0.95, latency.bounds),
                p99_s=_quantile(latencies, 0.99, latency.bounds),
                waited=0.0 if waited is None else float(waited.sum()),
                gave_up=gave_up.get(labels, 0.0),
                wait_max_s=_quantile(waited, 1.0, waits.bounds),
                same=containers.get("same", 0.0),
                moved=containers.get("moved", 0.0),
                generator_share=_share(late_s.get(labels), waited_s.get(labels)),
            )
        )
    generator = await generator_evidence(source, window, busy_for_s=BUSY_FOR_S)
    return Summary(lines=lines, generator=generator)


def _pairs(scalars: Scalars) -> list[tuple[Labels, Array]]:
    return list(zip(scalars.labels, scalars.values, strict=True))


def _total(values: Array) -> float:
    return float(np.nansum(values))


def _by_label(scalars: Scalars, label: str) -> dict[Labels, dict[str, float]]:
    found: dict[Labels, dict[str, float]] = {}
    for labels, values in _pairs(scalars):
        rest = tuple(pair for pair in labels if pair[0] != label)
        if not np.isnan(values).all():
            found.setdefault(rest, {})[dict(labels).get(label, "")] = _total(values)
    return found


def _whole(histograms: Histograms) -> dict[Labels, Array]:
    totals = histograms.counts.sum(axis=1)
    return dict(zip(histograms.labels, totals, strict=True))


def _sums(histograms: Histograms) -> dict[Labels, float]:
    return dict(zip(histograms.labels, histograms.sums.sum(axis=1).tolist(), strict=True))


def _share(part: float | None, whole: float | None) -> float:
    return nan if part is None or not whole else part / whole


def _quantile(
    counts: Array | None,
    q: float,
    bounds: tuple[float, ...],
) -> float:
    return nan if counts is None else float(quantiles(counts, q, bounds))
