"""Latency from where generators run to each routing region, and which region is best from there."""

from dataclasses import dataclass
from typing import Final

from dashboard.quantiles import quantiles
from dashboard.source import Match, Source
from dashboard.window import Window

__all__ = ["Cell", "matrix_of"]

METRIC: Final = "loadgen_request_duration_seconds"
CLIENT_REGION: Final = "client_region"

_FEWEST: Final = 20
"""Samples below which a cell is not called best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Answered attempts from one client region to one routing region, in seconds.

    ``best`` is the routing region with the least median for its client region.
    """

    client_region: str
    region: str
    samples: float
    p50_s: float
    p99_s: float
    best: bool


async def matrix_of(source: Source, window: Window, match: Match) -> list[Cell]:
    """All cells that hold a sample, sorted; none where no generator tells its region."""
    if not await source.label_values(METRIC, CLIENT_REGION):
        return []
    found = await source.histograms(METRIC, window, by=(CLIENT_REGION, "region"), match=match)
    rows: dict[tuple[str, str], tuple[float, float, float]] = {}
    for labels, counts in zip(found.labels, found.counts.sum(axis=1), strict=True):
        told = dict(labels)
        if CLIENT_REGION in told and counts.sum():
            p50, p99 = (float(quantiles(counts, q, found.bounds)) for q in (0.5, 0.99))
            rows[told[CLIENT_REGION], told.get("region", "")] = (float(counts.sum()), p50, p99)
    best: dict[str, tuple[float, float, str]] = {}
    for (client, region), (samples, p50, p99) in rows.items():
        if samples >= _FEWEST:
            best[client] = min(best.get(client, (p50, p99, region)), (p50, p99, region))
    return [
        Cell(
            client_region=client,
            region=region,
            samples=samples,
            p50_s=p50,
            p99_s=p99,
            best=client in best and best[client][2] == region,
        )
        for (client, region), (samples, p50, p99) in sorted(rows.items())
    ]
