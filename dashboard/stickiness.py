"""What sticky routing is worth: who stays on its container, who had to move, and what it saves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.confidence import Interval, blocks_of, difference_of, wilson_interval
from dashboard.container_lives import LiveChange
from dashboard.exposition import Labels
from dashboard.quantiles import quantiles
from dashboard.source import Histograms, Match, Scalars, Source
from dashboard.window import Window
from flash.rendezvous import moving_share

__all__ = [
    "Comparison",
    "SessionMoves",
    "ShareOf",
    "affinities_of",
    "cache_hits_of",
    "comparisons_of",
    "first_byte_metric",
    "moves_of",
]

_FIRST_TOKEN: Final = "loadgen_time_to_first_token_seconds"
_FIRST_BYTE: Final = "loadgen_time_to_first_byte_seconds"
_QUANTILES: Final = {"p50": 0.5, "p95": 0.95}
_SEEN_WITHIN_S: Final = 30.0
"""A session moves with its next request; one that sends none for this long is not seen to."""

Array = NDArray[np.float64]
Figure = Callable[[Array], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareOf:
    """``hits`` of ``trials``, and the 95 % interval of their share; ``None`` without a trial."""

    labels: dict[str, str]
    hits: float
    trials: float

    @property
    def share(self) -> float | None:
        return self.hits / self.trials if self.trials else None

    @property
    def interval(self) -> Interval | None:
        return wilson_interval(self.hits, self.trials)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure of one region, sticky against non-sticky, in seconds.

    ``interval`` is the 95 % interval of sticky less non-sticky; ``None`` where the window is too
    short to tell.
    """

    region: str
    figure: str
    sticky_s: float
    non_sticky_s: float
    sticky_samples: float
    non_sticky_samples: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionMoves:
    """What a change of the live containers did to ``sessions``, those that were active then.

    ``moved`` are responses of sticky sessions from another container than before, until the next
    change, 30 s at most. ``least_share`` is the share that rendezvous hashing must move.
    """

    at: float
    before: int
    after: int
    sessions: float | None
    moved: float
    least_share: float

    @property
    def least(self) -> float | None:
        """How many sessions had to move, on average over which ones they are."""
        return None if self.sessions is None else self.sessions * self.least_share


async def affinities_of(source: Source, window: Window, match: Match) -> list[ShareOf]:
    """Responses from the same container as the one before, per region and routing."""
    found = await source.increases(
        "loadgen_session_requests_total",
        window,
        by=("region", "routing", "container"),
        match=match,
    )
    return _shares(found, "container", "same")


async def cache_hits_of(source: Source, window: Window) -> ShareOf | None:
    """Requests with a session whose prefix was in their container's cache, over all containers."""
    found = await source.increases("target_session_cache_total", window, by=("result",), match={})
    return next(iter(_shares(found, "result", "hit")), None)


async def first_byte_metric(source: Source) -> str:
    """The time to the first token where it is measured, else to the first byte."""
    measured = await source.label_values(_FIRST_TOKEN, "routing")
    return _FIRST_TOKEN if measured else _FIRST_BYTE


async def comparisons_of(
    source: Source, metric: str, window: Window, match: Match
) -> list[Comparison]:
    """Mean, median and 95th percentile of a histogram, sticky against non-sticky, per region."""
    found = await source.histograms(metric, window, by=("region", "routing"), match=match)
    rows = {labels: row for row, labels in enumerate(found.labels)}
    regions = sorted({dict(labels).get("region", "") for labels in found.labels})
    comparisons: list[Comparison] = []
    for region in regions:
        pair = [rows.get(_key(region, routing)) for routing in ("sticky", "non_sticky")]
        sticky, non_sticky = pair
        if sticky is not None and non_sticky is not None:
            comparisons += _compared(region, found, sticky, non_sticky)
    return comparisons


async def moves_of(
    source: Source, changes: Sequence[LiveChange], window: Window, match: Match
) -> list[SessionMoves]:
    """What each change did to sticky sessions, newest first."""
    sticky = {**match, "routing": frozenset({"sticky"})}
    found = await source.increases(
        "loadgen_session_requests_total",
        window,
        by=("container",),
        match={**sticky, "container": frozenset({"moved"})},
    )
    users = await source.gauges("loadgen_users", window, by=(), match=sticky)
    moved = np.nansum(found.values, axis=0) if found.labels else np.zeros(window.steps)
    sessions = users.values[0] if users.labels else np.full(window.steps, np.nan)
    return [
        SessionMoves(
            at=change.at,
            before=len(change.before),
            after=len(change.after),
            sessions=_latest(sessions, int((change.at - window.start) // window.step)),
            moved=float(moved[steps].sum()),
            least_share=moving_share(change.before, change.after),
        )
        for change, steps in zip(changes, _steps_of(changes, window), strict=True)
    ][::-1]


def _steps_of(changes: Sequence[LiveChange], window: Window) -> list[slice]:
    """The steps that tell of each change: from its own on, to before that of the next."""
    first = [int((change.at - window.start) // window.step) for change in changes]
    longest = max(1, int(_SEEN_WITHIN_S // window.step))
    following = [*first[1:], window.steps][: len(first)]
    return [
        slice(begin, min(until, begin + longest))
        for begin, until in zip(first, following, strict=True)
    ]


def _latest(values: Array, step: int) -> float | None:
    """The last number up to and including ``step``."""
    known = values[: step + 1]
    known = known[~np.isnan(known)]
    return float(known[-1]) if known.size else None


def _shares(found: Scalars, label: str, value: str) -> list[ShareOf]:
    counted: dict[Labels, dict[str, float]] = {}
    for labels, values in zip(found.labels, found.values, strict=True):
        rest = tuple(pair for pair in labels if pair[0] != label)
        counted.setdefault(rest, {})[dict(labels).get(label, "")] = float(np.nansum(values))
    return [
        ShareOf(
            labels=dict(labels), hits=counts.get(value, 0.0), trials=float(sum(counts.values()))
        )
        for labels, counts in sorted(counted.items())
    ]


def _key(region: str, routing: str) -> Labels:
    return (("region", region), ("routing", routing)) if region else (("routing", routing),)


def _compared(region: str, found: Histograms, sticky: int, non_sticky: int) -> list[Comparison]:
    # The sum stands beside the buckets, so that both are drawn together.
    sides = [
        blocks_of(np.column_stack((found.counts[row], found.sums[row])))
        for row in (sticky, non_sticky)
    ]
    totals = [side.sum(axis=0) for side in sides]
    samples = [float(total[:-1].sum()) for total in totals]
    if not all(samples):
        return []

    def mean(drawn: Array) -> Array:
        found: Array = drawn[..., -1] / drawn[..., :-1].sum(axis=-1)
        return found

    def quantile(q: float) -> Figure:
        return lambda drawn: quantiles(drawn[..., :-1], q, found.bounds)

    figures: dict[str, Figure] = {name: quantile(q) for name, q in _QUANTILES.items()}
    if all(np.isfinite(total[-1]) for total in totals):  # both sides tell a sum
        figures = {"mean": mean, **figures}
    return [
        Comparison(
            region=region,
            figure=name,
            sticky_s=float(figure(totals[0])),
            non_sticky_s=float(figure(totals[1])),
            sticky_samples=samples[0],
            non_sticky_samples=samples[1],
            interval=None if difference is None else difference.interval,
        )
        for name, figure in figures.items()
        for difference in (difference_of(sides[1], sides[0], figure),)
    ]
