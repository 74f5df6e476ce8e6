"""Whether a region held the objectives in a time, or missed them, or the generator was the limit.

What the generator cannot do must not be taken for what the server cannot. The latency of a request
counts from when it was sent, so it tells of the server, unless the generator's process is too busy
to send and read in time; then its requests start late, too. An arrival that finds no user free
starts late however idle the process is: if the requests that were sent are too slow, the users are
busy because the server is.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import isnan
from typing import Final

from flash.buckets import quantile
from flash.generator_limit import CPU_LIMIT, WAITED_SHARE
from loadgen.capacity_search import Verdict
from loadgen.dispatcher import Arrived
from loadgen.objective import Objective
from loadgen.region_figures import RegionFigures

__all__ = ["CapacityStep", "Look", "Measured", "judge"]

LATE_LIMIT_S: Final = 0.1
"""Lateness at the 99th percentile from which on the rate was not the one that was meant."""

LATE_SHARE: Final = 0.5
"""Lateness as a share of an objective's bound, at its quantile, that may have made it missed."""

_BACKLOG_SHARE: Final = 0.05
_BACKLOG_REQUESTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the generator had counted at one moment, ``at_s`` by its clock.

    ``regions`` and ``in_flight`` are by region. ``cpu_s`` has for each process of the generator the
    seconds of CPU that it has used, and the seconds by its own clock. ``present`` are the workers
    that answered.
    """

    at_s: float
    arrived: Arrived
    regions: Mapping[str, RegionFigures]
    in_flight: Mapping[str, int]
    cpu_s: Mapping[str, tuple[float, float]]
    present: Set[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Measured:
    """An objective, and its figure: seconds or a share, ``None`` without data."""

    objective: Objective
    value: float | None

    @property
    def is_held(self) -> bool:
        return self.objective.is_held_by(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityStep:
    """The evidence of one judged time: rates per second, ``reason`` empty where it was held.

    ``rate`` was asked for, ``offered_per_s`` came due, ``answered_per_s`` got a good response.
    ``samples`` are the requests that ended. ``cpu_ratio`` is that of the busiest process.
    """

    rate: float
    seconds: float
    offered_per_s: float
    answered_per_s: float
    samples: int
    measured: tuple[Measured, ...]
    verdict: Verdict
    reason: str = ""
    waited: int = 0
    schedule_lag_p99_s: float | None = None
    cpu_ratio: Mapping[str, float] = field(default_factory=dict)


def judge(
    objectives: Sequence[Objective],
    region: str,
    *,
    rate: float,
    before: Look,
    after: Look,
    told: Set[str] = frozenset(),
) -> CapacityStep:
    """What came of offering ``rate`` between two looks; ``told`` are the workers that made it."""
    figures = after.regions[region].since(before.regions[region])
    arrived, seconds = _arrived_since(after.arrived, before.arrived), after.at_s - before.at_s
    cpu = {
        process: (used - before.cpu_s[process][0]) / max(wall - before.cpu_s[process][1], 1e-9)
        for process, (used, wall) in after.cpu_s.items()
        if process in before.cpu_s
    }
    measured = tuple(Measured(one, one.measure(figures)) for one in objectives)
    verdict, reason = _verdict(measured, figures, arrived, cpu, told - after.present)
    return CapacityStep(
        rate=rate,
        seconds=seconds,
        offered_per_s=arrived.intended / seconds,
        answered_per_s=figures.ok / seconds,
        samples=figures.requests,
        measured=measured,
        verdict=verdict,
        reason=reason,
        waited=arrived.waited,
        schedule_lag_p99_s=_lateness(figures, 0.99),
        cpu_ratio=cpu,
    )


def _verdict(
    measured: Sequence[Measured],
    figures: RegionFigures,
    arrived: Arrived,
    cpu: Mapping[str, float],
    lost: Set[str],
) -> tuple[Verdict, str]:
    if lost:
        return Verdict.LIMITED, f"lost {', '.join(sorted(lost))}"
    missed = [one for one in measured if not one.is_held]
    backlog = arrived.started - figures.requests
    behind = backlog > _BACKLOG_SHARE * arrived.intended + _BACKLOG_REQUESTS
    too_few_users = 0 < arrived.waited >= WAITED_SHARE * arrived.intended
    if missed or behind:
        for process, ratio in cpu.items():
            if ratio >= CPU_LIMIT:
                return Verdict.LIMITED, f"{process} used {ratio:.0%} of a core"
    if too_few_users:
        of_server = [one for one in missed if one.objective.is_of_attempts]
        if not (of_server or behind):
            told = f"{arrived.waited} of {arrived.intended} arrivals found no user free"
            return Verdict.LIMITED, f"{told}; have more --users"
    else:
        for late in _too_late(missed, figures):
            return Verdict.LIMITED, late
    if missed:
        return Verdict.MISSED, ", ".join(one.objective.text for one in missed)
    if behind:
        return Verdict.MISSED, f"{backlog} more requests were sent than ended"
    return Verdict.HELD, ""


def _too_late(missed: Sequence[Measured], figures: RegionFigures) -> Iterator[str]:
    late_s = _lateness(figures, 0.99)
    if late_s is not None and late_s > LATE_LIMIT_S:
        yield f"requests started up to {late_s * 1e3:.0f} ms late (p99)"
    for one in missed:
        q = one.objective.quantile
        late_s = None if q is None else _lateness(figures, q)
        if late_s is not None and late_s > LATE_SHARE * one.objective.bound:
            yield f"requests started {late_s * 1e3:.3g} ms late at {one.objective.name}"


def _lateness(figures: RegionFigures, q: float) -> float | None:
    value = quantile(figures.schedule_lag, q)
    return None if isnan(value) else value


def _arrived_since(after: Arrived, before: Arrived) -> Arrived:
    return Arrived(
        intended=after.intended - before.intended,
        started=after.started - before.started,
        dropped=after.dropped - before.dropped,
        waiting=after.waiting,
        waited=after.waited - before.waited,
    )
