"""Whether a run measured the server at all, or its own generator, or a closed door."""

from collections.abc import Iterator
from math import isnan
from typing import Final

import numpy as np

from dashboard.quantiles import quantiles
from dashboard.source import Source
from dashboard.window import Window
from flash.generator_limit import CpuUse, Evidence, reasons

__all__ = ["LATEST_LOOK_S", "measurement_problems"]

_CLOSED: Final = frozenset({"401", "403"})

LATEST_LOOK_S: Final = 10.0
"""Seconds after a run's start by which its load generator has to have been scraped; its cold starts
are in them."""


async def measurement_problems(source: Source, window: Window, *, start: float) -> list[str]:
    """Why the figures of a run say little of the server, a phrase each; none if there is no reason.

    ``window`` is the run's, which began at ``start`` (Unix seconds).
    """
    evidence = Evidence(
        cpu=await _cpu(source, window),
        schedule_lag_p99_s=await _p99_s(source, window, "loadgen_schedule_lag_seconds"),
        latency_p99_s=await _p99_s(source, window, "loadgen_request_duration_seconds"),
        workers_lost=(await _grown(source, window, "loadgen_worker_changes_total", "change")).get(
            "lost", 0
        ),
    )
    limits = [f"the load generator was the limit: {reason.text}" for reason in reasons(evidence)]
    codes = await _grown(source, window, "loadgen_responses_total", "code")
    return [*await _unwatched(source, window, start), *limits, *_refusals(codes)]


async def _unwatched(source: Source, window: Window, start: float) -> list[str]:
    # A gauge that is always there; what has no points at all is no data, and told as that.
    found = await source.gauges("loadgen_workers", window, by=(), match={})
    looks = np.flatnonzero(~np.isnan(found.values).all(axis=0))
    late_s = window.start + window.step * int(looks[0]) - start if looks.size else 0.0
    if late_s <= max(LATEST_LOOK_S, window.step):
        return []
    return [
        f"the first {late_s:.0f} s of the run are not in the store: have the dashboard watch a run "
        "from its start, and check it before its points are deleted"
    ]


def _refusals(codes: dict[str, int]) -> Iterator[str]:
    for code in sorted(_CLOSED & codes.keys()):
        if codes[code]:
            responses = "response was" if codes[code] == 1 else "responses were"
            yield (
                f"{codes[code]} {responses} {code}: the target did not let the load in; "
                "see MODAL_PROXY_TOKEN_ID and MODAL_PROXY_TOKEN_SECRET"
            )


async def _cpu(source: Source, window: Window) -> dict[str, CpuUse]:
    found = await source.gauges("loadgen_cpu_ratio", window, by=("process",), match={})
    known = (
        (dict(labels).get("process", ""), values[~np.isnan(values)])
        for labels, values in zip(found.labels, found.values, strict=True)
    )
    return {
        process: CpuUse(float(values.mean()), float(values.max()))
        for process, values in known
        if values.size
    }


async def _p99_s(source: Source, window: Window, metric: str) -> float | None:
    found = await source.histograms(metric, window, by=(), match={})
    value = float(quantiles(found.counts.sum(axis=(0, 1)), 0.99, found.bounds))
    return None if isnan(value) else value


async def _grown(source: Source, window: Window, metric: str, label: str) -> dict[str, int]:
    found = await source.increases(metric, window, by=(label,), match={})
    return {
        dict(labels).get(label, ""): round(float(np.nansum(values)))
        for labels, values in zip(found.labels, found.values, strict=True)
    }
