"""Why a region refused: rules over what is known of a streak of 503s, each with its evidence."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dashboard.availability import Gap, Leaving
from dashboard.container_lives import ContainerLife

__all__ = ["Cause", "Circumstances", "Fact", "Verdict", "verdict_of"]

_UNDER_TRAFFIC_S: Final = 3.0
"""Requests that are refused so soon after the last container left came while it was serving."""

_PART: Final = 0.9
"""Counters of two pages that are scraped at two moments agree if they do so to this part."""


_HOW: Final = {
    Leaving.DRAINED: "was drained",
    Leaving.KILLED: "was killed",
    Leaving.EXITED: "exited",
    Leaving.UNHEALTHY: "stopped taking connections",
    Leaving.GONE: "was gone",
}


class Cause(StrEnum):
    """What a streak of 503s came from."""

    SCALE_FROM_ZERO = "scale_from_zero"
    NO_CONTAINER = "no_container"
    SATURATION = "saturation"
    DRAINING = "draining"
    APPLICATION = "application"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known of a streak of ``refused`` 503s; ``None`` for what nobody tells.

    Its first 503 was met at about ``began_at``, in the second before it was counted (Unix seconds).
    ``named`` tells that the 503s named a container. ``answered`` and ``throttled`` are the region's
    good responses and 429s meanwhile.

    ``told`` is whether anybody tells of containers, and ``vague_s`` how late they are seen to come
    and go. ``gap`` is the time without a container in which the 503s lie, ``first_in_gap_at`` when
    the first request of any region was refused in it; without a gap ``live`` is the fewest and
    most containers that took requests. ``came`` took requests after it, ``starting`` were asked
    for by the end of the streak and not there yet, ``failed`` never came up.

    ``load`` is how many requests were under way just before the gap, on ``containers_before``.
    ``in_flight`` is what the least and the most busy container served, ``target_concurrency`` what
    the autoscaler aims at, ``max_containers`` its bound. ``edge_503s`` are those that the edge
    passed on or answered in the region, ``containers_503s`` those that containers counted as
    theirs, in all regions; ``all_503s`` are those of all regions that named no container.
    """

    refused: float
    began_at: float
    named: bool = False
    answered: float = 0.0
    throttled: float = 0.0
    told: bool = False
    vague_s: float = 0.0
    gap: Gap | None = None
    first_in_gap_at: float | None = None
    live: tuple[int, int] | None = None
    came: tuple[ContainerLife, ...] = ()
    starting: int = 0
    failed: int = 0
    load: float | None = None
    containers_before: int | None = None
    in_flight: tuple[float, float] | None = None
    target_concurrency: float | None = None
    max_containers: float | None = None
    edge_503s: float | None = None
    containers_503s: float | None = None
    all_503s: float = 0.0


@dataclass(frozen=True, slots=True)
class Fact:
    """A piece of evidence: a number by name, and a sentence that has it."""

    name: str
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A cause and what speaks for it; of an unknown one, what is known."""

    cause: Cause
    facts: tuple[Fact, ...]


def verdict_of(known: Circumstances) -> Verdict:
    """The cause of a streak, by the first rule that fits."""
    if known.named:
        cause, facts = Cause.APPLICATION, _of_named(known)
    elif known.gap is not None:
        cause, facts = _gap_cause(known, known.gap), _of_gap(known, known.gap)
    else:
        cause, facts = _live_cause(known), _of_live(known)
    return Verdict(cause, tuple(facts))


# Rules.


def _gap_cause(known: Circumstances, gap: Gap) -> Cause:
    if known.failed and gap.ended is None and not known.starting:
        return Cause.NO_CONTAINER
    if gap.began is None or not gap.lost:
        came = gap.ended is not None or known.starting
        return Cause.SCALE_FROM_ZERO if came else Cause.UNKNOWN
    if _idle_s(known, gap) > _UNDER_TRAFFIC_S + known.vague_s:
        return Cause.SCALE_FROM_ZERO
    how = gap.lost[-1].how
    if how is Leaving.DRAINED:
        return Cause.DRAINING
    return Cause.SATURATION if how is Leaving.UNHEALTHY and _overrun(known) else Cause.NO_CONTAINER


def _live_cause(known: Circumstances) -> Cause:
    if known.containers_503s and known.containers_503s >= _PART * known.all_503s:
        return Cause.APPLICATION
    if not known.told:
        return Cause.UNKNOWN
    full = _full(known)
    if full or (full is None and known.throttled):
        return Cause.SATURATION
    return Cause.UNKNOWN


def _idle_s(known: Circumstances, gap: Gap) -> float:
    """How long there was no container before anybody was refused."""
    first = known.began_at if known.first_in_gap_at is None else known.first_in_gap_at
    return first - (first if gap.began is None else gap.began)


def _overrun(known: Circumstances) -> bool:
    """Whether the containers had all that they were to have, and no more could come."""
    load, target, there = known.load, known.target_concurrency, known.containers_before
    if load is None or target is None or not there or load < target * there:
        return False
    return not known.starting and (known.max_containers is None or there >= known.max_containers)


def _full(known: Circumstances) -> bool | None:
    """Whether every container had what it was to have; ``None`` where that is not known."""
    if known.in_flight is None or known.target_concurrency is None:
        return None
    return known.in_flight[0] >= known.target_concurrency


# Evidence.


def _of_named(known: Circumstances) -> Iterator[Fact]:
    number = known.refused
    yield Fact("named_container", number, f"all {_n(number)} named the container that answered")
    yield from _of_counters(known)
    yield from _of_fullness(known)


def _of_gap(known: Circumstances, gap: Gap) -> Iterator[Fact]:
    if gap.began is None or not gap.lost:
        yield Fact("containers_live", 0, "no container had been there before")
    else:
        last = gap.lost[-1]
        idle_s = max(0.0, _idle_s(known, gap))
        others = "" if len(gap.lost) == 1 else f", as {len(gap.lost) - 1} just before it"
        when = f"{idle_s:.1f} s before the first 503" if idle_s else "as the first 503s were met"
        yield Fact(
            "since_last_container_s",
            idle_s,
            f"the last container, {last.container}, {_HOW[last.how]} {when}{others}",
        )
        if gap.lost[-1].how is Leaving.UNHEALTHY:
            yield from _of_load(known)
    yield from _of_starts(known, gap)


def _of_starts(known: Circumstances, gap: Gap) -> Iterator[Fact]:
    if known.failed:
        yield Fact("failed_starts", known.failed, f"{_many(known.failed, 'start')} failed")
    if gap.ended is None:
        if known.starting:
            yield Fact(
                "containers_starting",
                known.starting,
                f"{_many(known.starting, 'container')} asked for, and not there yet",
            )
        return
    for life in known.came[:1]:
        if life.requested_at is not None and life.live_at is not None:
            boot_s = life.live_at - life.requested_at
            yield Fact("boot_s", boot_s, f"{life.task_id} took {boot_s:.1f} s to come up")
            return
    cold_s = gap.ended - max(known.began_at, gap.began or known.began_at)
    yield Fact("without_container_s", cold_s, f"a container came after {cold_s:.1f} s")


def _of_live(known: Circumstances) -> Iterator[Fact]:
    if known.live is not None and known.told:
        low, high = known.live
        span = _many(low, "container") if low == high else f"{low} to {high} containers"
        yield Fact("containers_live", low, f"{span} took requests")
    else:
        yield Fact("containers_told", 0, "nobody tells which containers there were")
    if known.answered:
        yield Fact(
            "answered", known.answered, f"{_many(known.answered, 'attempt')} answered meanwhile"
        )
    yield from _of_counters(known)
    yield from _of_fullness(known)


def _of_fullness(known: Circumstances) -> Iterator[Fact]:
    if known.in_flight is not None:
        low, high = known.in_flight
        served = f"{low:.1f}" if low == high else f"{low:.1f} to {high:.1f}"
        target = known.target_concurrency
        aim = "" if target is None else f", {target:g} aimed at"
        yield Fact("in_flight", low, f"each container served {served} at once{aim}")
    if known.throttled:
        number = known.throttled
        yield Fact("throttled", number, f"{_many(number, 'attempt')} met 429, the hard limit")
    most = known.max_containers
    if _full(known) and most is not None and known.live is not None and known.live[1] >= most:
        yield Fact("max_containers", most, "no more containers are allowed")


def _of_load(known: Circumstances) -> Iterator[Fact]:
    if known.load is not None and known.containers_before:
        there, target = known.containers_before, known.target_concurrency
        aim = "" if target is None else f", {target:g} aimed at for each"
        yield Fact(
            "load",
            known.load,
            f"{_many(known.load, 'request')} under way before on {_many(there, 'container')}{aim}",
        )
        if known.max_containers is not None and there >= known.max_containers:
            yield Fact("max_containers", known.max_containers, "no more containers are allowed")


def _of_counters(known: Circumstances) -> Iterator[Fact]:
    if known.containers_503s is not None:
        number = known.containers_503s
        yield Fact("containers_503s", number, f"containers counted {_n(number)} as theirs")
    if known.edge_503s is not None:
        yield Fact("edge_503s", known.edge_503s, f"the edge counted {_n(known.edge_503s)} there")


def _n(number: float) -> str:
    return f"{number:,.0f}"


def _many(number: float, noun: str) -> str:
    return f"{_n(number)} {noun}" if round(number) == 1 else f"{_n(number)} {noun}s"
