"""How latencies are spread over the whole of a window, per region and routing."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf

from dashboard.quantiles import quantiles
from dashboard.source import Match, Source
from dashboard.window import Window

__all__ = ["Distribution", "distributions_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One line's samples: ``buckets`` are upper bound in seconds (``None``: infinite) and count.

    Only buckets that hold something are there. ``total_s`` is the samples' exact sum. The quantiles
    are NaN without a sample.
    """

    labels: dict[str, str]
    samples: float
    total_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    buckets: Sequence[tuple[float | None, float]]


async def distributions_of(
    source: Source,
    metric: str,
    window: Window,
    match: Match,
    *,
    by: tuple[str, ...] = ("region", "routing"),
) -> list[Distribution]:
    """The distributions of a histogram over the window, sorted by their labels."""
    found = await source.histograms(metric, window, by=by, match=match)
    lines: list[Distribution] = []
    for labels, counts, sums in zip(
        found.labels, found.counts.sum(axis=1), found.sums.sum(axis=1), strict=True
    ):
        held = [
            (None if isinf(bound) else bound, count)
            for bound, count in zip(found.bounds, counts.tolist(), strict=True)
            if count
        ]
        p50, p95, p99 = (float(quantiles(counts, q, found.bounds)) for q in (0.5, 0.95, 0.99))
        lines.append(
            Distribution(
                labels=dict(labels),
                samples=float(counts.sum()),
                total_s=float(sums),
                p50_s=p50,
                p95_s=p95,
                p99_s=p99,
                buckets=held,
            )
        )
    return sorted(lines, key=lambda line: sorted(line.labels.items()))
