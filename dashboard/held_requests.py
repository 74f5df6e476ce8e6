"""Requests that waited at the edge and were answered without a 503.

A platform may hold a request through a cold start in place of refusing it. Then the time to the
first byte is long though the server's own time is not, which ``Server-Timing`` tells; without that
header a held request looks like one of a slow server.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dashboard.container_lives import ContainerLife
from dashboard.quantiles import quantiles
from dashboard.refusal_parts import LATE_S, SAME_S, spans
from dashboard.source import Histograms, Match, Source
from dashboard.window import Window

__all__ = ["HELD_S", "HeldRequests", "held_in", "held_requests"]

HELD_S: Final = 1.0
"""Network and proxy take a tenth of this between the farthest regions, and a container a second to
start: who waited longer was held."""

_METRIC: Final = "loadgen_edge_overhead_seconds"
_MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRequests:
    """``held`` attempts of a region that were answered one after the other (Unix seconds).

    ``longest_s`` is how long the longest of them was on the way or at the edge. ``came`` are
    containers that began to take requests meanwhile: without one it was no cold start.
    """

    region: str
    began_at: int
    ended_at: int
    held: float
    longest_s: float
    came: tuple[ContainerLife, ...]


async def held_in(
    source: Source, window: Window, match: Match, lives: Sequence[ContainerLife]
) -> list[HeldRequests] | None:
    """The newest ones of the window, newest first; ``None`` if no server tells its own time."""
    found = await source.histograms(_METRIC, window, by=("region",), match=match)
    return held_requests(found, window, lives) if found.counts.any() else None


def held_requests(
    overheads: Histograms, window: Window, lives: Sequence[ContainerLife]
) -> list[HeldRequests]:
    """From how long attempts were on the way or at the edge."""
    above = np.asarray(overheads.bounds) > HELD_S
    found: list[HeldRequests] = []
    for labels, counts in zip(overheads.labels, overheads.counts, strict=True):
        long = np.where(above, counts, 0.0)
        for first, last in spans(long.sum(axis=1), max(1, SAME_S // window.step)):
            whole = long[first:last].sum(axis=0)
            began, ended = (window.start + step * window.step for step in (first, last))
            longest_s = float(quantiles(whole, 1.0, overheads.bounds))
            sent_from = began - LATE_S - longest_s
            found.append(
                HeldRequests(
                    region=dict(labels).get("region", ""),
                    began_at=began,
                    ended_at=ended,
                    held=float(whole.sum()),
                    longest_s=longest_s,
                    came=tuple(
                        life
                        for life in lives
                        if life.live_at is not None and sent_from <= life.live_at < ended
                    ),
                )
            )
    return sorted(found, key=lambda held: (-held.began_at, held.region))[:_MOST]
