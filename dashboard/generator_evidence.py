"""What a source tells of the load generator: the evidence of :mod:`flash.generator_limit`."""

from math import ceil, isnan, nan
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dashboard.quantiles import quantiles
from dashboard.source import Source
from dashboard.window import Window
from flash.generator_limit import CpuUse, Evidence

__all__ = ["BUSY_FOR_S", "generator_evidence", "grown", "highest_mean"]

BUSY_FOR_S: Final = 10
"""Seconds over which a process has to be at its limit, where a window is not a run's; its start
alone takes a second or two."""

Array = NDArray[np.float64]


async def generator_evidence(
    source: Source, window: Window, *, busy_for_s: int | None = None
) -> Evidence:
    """What is known of the generator over the whole of ``window``.

    A process's CPU is its mean over the window, or over its busiest ``busy_for_s`` seconds.
    """
    changes = await grown(source, window, "loadgen_worker_changes_total", "change")
    return Evidence(
        cpu=await _cpu(source, window, busy_for_s),
        schedule_lag_p99_s=await _p99_s(source, window, "loadgen_schedule_lag_seconds"),
        latency_p99_s=await _p99_s(source, window, "loadgen_request_duration_seconds"),
        workers_lost=changes.get("lost", 0),
    )


async def grown(source: Source, window: Window, metric: str, label: str) -> dict[str, int]:
    """How much a counter grew over the whole of ``window``, by a label."""
    found = await source.increases(metric, window, by=(label,), match={})
    return {value: round(total) for value, total in found.totals(label).items()}


def highest_mean(values: Array, steps: int) -> float:
    """The highest mean over ``steps`` known values that follow each other; of all if there are
    fewer, NaN if there is none."""
    known = values[~np.isnan(values)]
    if not known.size:
        return nan
    return float(sliding_window_view(known, min(steps, known.size)).mean(axis=1).max())


async def _cpu(source: Source, window: Window, busy_for_s: int | None) -> dict[str, CpuUse]:
    found = await source.gauges("loadgen_cpu_ratio", window, by=("process",), match={})
    steps = window.steps if busy_for_s is None else ceil(busy_for_s / window.step)
    return {
        dict(labels).get("process", ""): CpuUse(highest_mean(values, steps), float(highest))
        for labels, values in zip(found.labels, found.values, strict=True)
        if not isnan(highest := np.fmax.reduce(values))
    }


async def _p99_s(source: Source, window: Window, metric: str) -> float | None:
    found = await source.histograms(metric, window, by=(), match={})
    value = float(quantiles(found.counts.sum(axis=(0, 1)), 0.99, found.bounds))
    return None if isnan(value) else value
