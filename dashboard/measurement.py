"""Whether a run measured the server at all, or its own generator, or a closed door."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from dashboard.generator_evidence import generator_evidence, grown
from dashboard.source import Source
from dashboard.window import Window
from flash.generator_limit import reasons

__all__ = ["LATEST_LOOK_S", "measurement_problems"]

_CLOSED: Final = frozenset({"401", "403"})

LATEST_LOOK_S: Final = 10.0
"""Seconds after a run's start by which its load generator has to have been scraped; its cold starts
are in them."""


async def measurement_problems(source: Source, window: Window, *, start: float) -> list[str]:
    """Why the figures of a run say little of the server, a phrase each; none if there is no reason.

    ``window`` is the run's, which began at ``start`` (Unix seconds).
    """
    evidence = await generator_evidence(source, window)
    limits = [f"the load generator was the limit: {reason.text}" for reason in reasons(evidence)]
    codes = await grown(source, window, "loadgen_responses_total", "code")
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
