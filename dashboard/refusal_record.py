"""What a window tells of refusals and of what was going on around them."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.availability import Availability, Gap, availability_of
from dashboard.container_lives import ContainerLife, Seen, seen_in
from dashboard.refusal_cause import Circumstances
from dashboard.refusal_parts import LATE_S, NO_GAP, Part, Places, Refused, gap_of_steps
from dashboard.source import Match, Scalars, Source
from dashboard.window import Window

__all__ = ["RefusalRecord", "record_of"]

_POLLED_S: Final = 6.0
"""How late containers are seen to come and go where the platform has to be asked for them."""

_BEFORE_S: Final = 5.0

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RefusalRecord:
    """Of one window, by step.

    ``refused`` is by region and routing, ``outcomes`` by region and outcome, ``edge_503s`` by
    region. ``containers_503s`` is ``None`` where no container counts any. ``told`` is whether
    anybody tells of containers, ``vague_s`` how late. ``gap_of`` is the gap of
    ``availability`` in which the 503s of each step can have been met.
    """

    window: Window
    refused: Mapping[str, Mapping[str, Refused]]
    outcomes: Mapping[tuple[str, str], Array]
    edge_503s: Mapping[str, Array]
    containers_503s: Array | None
    load: Array
    target_concurrency: Array
    max_containers: Array
    seen: Seen
    told: bool
    vague_s: float
    availability: Availability
    gap_of: Places

    def whole(self, region: str) -> Refused:
        """A region's 503s, of both routings."""
        return Refused.together(self.refused[region].values(), self.window.steps)

    def circumstances(self, region: str, part: Part) -> Circumstances:
        """All that is known of a part of a region's 503s."""
        start, step = self.window.start, self.window.step
        # Scrapes are on the second, and tell of the one before.
        began, ended = start + part.first * step - 1.0, float(start + part.last * step)
        gap = None if part.gap == NO_GAP else self.availability.gaps[part.gap]
        since = (gap and gap.began) or began - LATE_S
        live = self.availability.live(began, ended)
        all_regions = Refused.together(map(self.whole, self.refused), self.window.steps)
        edge = self.edge_503s.get(region)
        return Circumstances(
            refused=part.count(self.whole(region), self.gap_of),
            began_at=began,
            named=part.named,
            answered=_sum(self.outcomes.get((region, "ok")), part.steps),
            throttled=_sum(self.outcomes.get((region, "throttled")), part.steps),
            told=self.told,
            vague_s=self.vague_s,
            gap=gap,
            first_in_gap_at=None if gap is None else self._first_at(all_regions, part.gap),
            live=live,
            came=tuple(
                life
                for life in self.seen.lives
                if gap is not None and life.live_at is not None and life.live_at == gap.ended
            ),
            starting=sum(_starting_at(life, ended) for life in self.seen.lives),
            failed=sum(
                event.kind == "container_failed" and since <= event.at <= ended + LATE_S
                for event in self.seen.events
            ),
            load=None if gap is None else self._load_before(gap),
            containers_before=None if gap is None else self._live_before(gap),
            in_flight=self._in_flight(part.steps, live[0]),
            target_concurrency=_latest(self.target_concurrency, part.last),
            max_containers=_latest(self.max_containers, part.last),
            edge_503s=None if edge is None else _sum(edge, part.steps),
            containers_503s=self._of_containers(all_regions, part),
            all_503s=_sum(all_regions.of_proxy, part.steps),
        )

    def idlest(self, start: float, end: float, *, without: str | None) -> float | None:
        """What the least busy container but one served, on average, from ``start`` to ``end``."""
        first, last = (self._step_at(at) for at in (start, end))
        means = [
            mean
            for container, values in self.seen.in_flight.items()
            if container != without and (mean := _mean(values[first : last + 1])) is not None
        ]
        return min(means, default=None)

    def target_at(self, at: float) -> float | None:
        """The concurrency that the autoscaler aimed at."""
        return _latest(self.target_concurrency, self._step_at(at) + 1)

    def _step_at(self, at: float) -> int:
        step = int((at - self.window.start) // self.window.step)
        return min(max(0, step), self.window.steps - 1)

    def _first_at(self, refused: Refused, gap: int) -> float:
        """When the first request was refused in a gap."""
        first = np.flatnonzero((self.gap_of == gap) & (refused.of_proxy > 0))
        return self.window.start + int(first[0]) * self.window.step - 1.0

    def _load_before(self, gap: Gap) -> float | None:
        """The most requests under way in the seconds before a gap."""
        if gap.began is None or gap.began < self.window.start:
            return None
        first, last = (self._step_at(at) for at in (gap.began - _BEFORE_S, gap.began))
        known = self.load[first : last + 1]
        return None if np.isnan(known).all() else float(np.nanmax(known))

    def _live_before(self, gap: Gap) -> int | None:
        if not gap.lost:
            return None
        just_before = np.nextafter(gap.lost[0].at, 0.0)
        return self.availability.live(just_before, just_before)[0]

    def _in_flight(self, steps: slice, live: int) -> tuple[float, float] | None:
        """What the least and the most busy container served on average, if all are scraped."""
        means = [
            mean
            for values in self.seen.in_flight.values()
            if (mean := _mean(values[steps])) is not None
        ]
        return (min(means), max(means)) if means and len(means) >= live else None

    def _of_containers(self, refused: Refused, part: Part) -> float | None:
        """503s that containers counted, beyond those that named them."""
        if self.containers_503s is None:
            return None
        later = slice(part.first, part.last + int(LATE_S // self.window.step))
        counted = _sum(self.containers_503s, later)
        return counted if part.named else max(0.0, counted - _sum(refused.named, part.steps))


async def record_of(source: Source, window: Window) -> RefusalRecord:
    """What is told of a window, of all regions: they are refused by the same containers."""
    everything: Match = {}
    by = ("region", "routing")
    of_503: Match = {"code": frozenset({"503"})}
    asked = (
        source.increases("loadgen_requests_total", window, by=(*by, "outcome"), match=everything),
        source.increases("loadgen_container_refusals_total", window, by=by, match=everything),
        source.increases("edge_requests_total", window, by=("region",), match=of_503),
        source.increases("target_requests_total", window, by=(), match=of_503),
        source.gauges("loadgen_in_flight", window, by=(), match=everything),
        source.gauges("edge_containers", window, by=("state",), match=everything),
        source.gauges("edge_target_concurrency", window, by=(), match=everything),
        source.gauges("edge_max_containers", window, by=(), match=everything),
    )
    told = await asyncio.gather(*asked)
    attempts, named, edge, containers, load, states, target, most = told
    seen = await seen_in(source, window)
    refused, outcomes = _by_region(attempts, named, window)
    live = _rows(states, "state").get("live")
    availability = _availability(seen, live, window)
    is_told = live is not None or bool(seen.lives)
    # An edge writes down what happens as it does; of others it is seen by looking now and then.
    vague_s = 0.0 if live is not None else _POLLED_S
    gaps = [_earlier(gap, vague_s) for gap in availability.gaps] if is_told else []
    return RefusalRecord(
        window=window,
        refused=refused,
        outcomes=outcomes,
        edge_503s=_rows(edge, "region"),
        containers_503s=_rows(containers, "").get(""),
        load=_only(load, window),
        target_concurrency=_only(target, window),
        max_containers=_only(most, window),
        seen=seen,
        told=is_told,
        vague_s=vague_s,
        availability=availability,
        gap_of=gap_of_steps(gaps, window),
    )


def _by_region(
    attempts: Scalars, named: Scalars, window: Window
) -> tuple[dict[str, dict[str, Refused]], dict[tuple[str, str], Array]]:
    """503s by region and routing, and attempts by region and outcome."""
    none = np.zeros(window.steps)
    by_container = dict(zip(named.labels, named.values, strict=True))
    refused: dict[str, dict[str, Refused]] = {}
    outcomes: dict[tuple[str, str], Array] = {}
    for labels, values in zip(attempts.labels, attempts.values, strict=True):
        have = dict(labels)
        region, outcome = have.get("region", ""), have.pop("outcome", "")
        before = outcomes.get((region, outcome), none)
        outcomes[region, outcome] = before + np.nan_to_num(values)
        if outcome == "cold_start":
            of_named = by_container.get(tuple(have.items()), none)
            refused.setdefault(region, {})[have.get("routing", "")] = Refused.of(values, of_named)
    return refused, outcomes


def _availability(seen: Seen, live: Array | None, window: Window) -> Availability:
    """When containers took requests; ``live`` is how many an edge counted."""
    availability = availability_of(seen.events, seen.initially)
    if live is None:
        return availability
    first = int(np.flatnonzero(~np.isnan(live))[0])
    at = float(window.start + first * window.step)
    # Containers that came up long ago, and are not scraped themselves, have left no trace.
    unnamed = round(float(live[first])) - availability.live(at - LATE_S, at + LATE_S)[1]
    if unnamed <= 0:
        return availability
    return availability_of(seen.events, seen.initially, unnamed=unnamed)


def _rows(found: Scalars, label: str) -> dict[str, Array]:
    """Rows by a label, of those that have data in the window."""
    return {
        dict(labels).get(label, ""): values
        for labels, values in zip(found.labels, found.values, strict=True)
        if not np.isnan(values).all()
    }


def _earlier(gap: Gap, seconds: float) -> Gap:
    return gap if gap.began is None else replace(gap, began=gap.began - seconds)


def _starting_at(life: ContainerLife, at: float) -> bool:
    ends: Iterable[float | None] = (life.live_at, life.draining_at, life.gone_at)
    asked = life.requested_at is not None and life.requested_at <= at
    return asked and all(end is None or end > at for end in ends)


def _only(found: Scalars, window: Window) -> Array:
    return found.values[0] if found.labels else np.full(window.steps, np.nan)


def _sum(values: Array | None, steps: slice) -> float:
    return 0.0 if values is None else float(np.nansum(values[steps]))


def _mean(values: Array) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _latest(values: Array, before: int) -> float | None:
    """The last number before a step, else the first one after."""
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return None
    earlier = known[known < before]
    return float(values[earlier[-1] if earlier.size else known[0]])
