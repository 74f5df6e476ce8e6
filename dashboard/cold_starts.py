"""Cold starts one by one: from the first 503 over the container's start to the first answer."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.container_lives import ContainerLife, container_lives
from dashboard.refusal_parts import SAME_S, spans
from dashboard.source import Match, Source
from dashboard.window import Window

__all__ = ["ColdStart", "cold_starts_of"]

_BEFORE_S: Final = 3.0
_WAITS_AFTER_S: Final = 5
_MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """One run of 503s of a region. Times are Unix seconds, to the length of a step.

    ``first_answer_at`` is the first step from ``began_at`` on in which something was answered.
    ``refused`` counts attempts. ``waits`` and ``waited_s`` are the requests that were answered
    after a 503, and the seconds they waited together. ``containers`` are those that came up
    meanwhile, wherever the platform put them.
    """

    region: str
    began_at: int
    ended_at: int
    first_answer_at: int | None
    refused: float
    waits: float
    waited_s: float
    containers: tuple[ContainerLife, ...]


async def cold_starts_of(source: Source, window: Window, match: Match) -> list[ColdStart]:
    """All cold starts that began in the window, newest first."""
    by = ("region",)
    attempts = await source.increases(
        "loadgen_requests_total", window, by=("region", "outcome"), match=match
    )
    waits = await source.histograms("loadgen_cold_start_wait_seconds", window, by=by, match=match)
    counts = dict(zip(waits.labels, waits.counts.sum(axis=2), strict=True))
    sums = dict(zip(waits.labels, waits.sums, strict=True))
    lives = container_lives(await source.events(window.start - 60.0, window.end + 60.0))
    told = {
        tuple(sorted(labels)): row
        for labels, row in zip(attempts.labels, attempts.values, strict=True)
    }
    found: list[ColdStart] = []
    for region in sorted({dict(labels).get("region", "") for labels in attempts.labels}):
        refused = _row(told, region, "cold_start", window)
        answered = _row(told, region, "ok", window)
        key = (("region", region),) if region else ()
        none = np.zeros(window.steps)
        for begin, end in spans(refused, max(1, SAME_S // window.step)):
            # Those refused last are answered a little later than the last 503.
            after = min(window.steps, end + max(1, _WAITS_AFTER_S // window.step))
            first = np.flatnonzero(answered[begin:] > 0)
            began, ended = (window.start + step * window.step for step in (begin, end))
            answer = began + int(first[0]) * window.step if first.size else None
            found.append(
                ColdStart(
                    region=region,
                    began_at=began,
                    ended_at=ended,
                    first_answer_at=answer,
                    refused=float(np.nansum(refused[begin:end])),
                    waits=float(counts.get(key, none)[begin:after].sum()),
                    waited_s=float(sums.get(key, none)[begin:after].sum()),
                    containers=tuple(
                        life
                        for life in lives
                        if life.requested_at is not None
                        and began - _BEFORE_S <= life.requested_at <= ended
                    ),
                )
            )
    return sorted(found, key=lambda cold: (-cold.began_at, cold.region))[:_MOST]


def _row(
    told: dict[tuple[tuple[str, str], ...], NDArray[np.float64]],
    region: str,
    outcome: str,
    window: Window,
) -> NDArray[np.float64]:
    labels = (("outcome", outcome), ("region", region)) if region else (("outcome", outcome),)
    return np.nan_to_num(told.get(labels, np.zeros(window.steps)))
