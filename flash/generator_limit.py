"""Whether the load generator itself was the limit of a run, and not the server.

The same rules and bounds hold wherever it is asked, but for what each place has to look at:

- Of a run, at its end and for its verdict, CPU is the mean over the run: all of it is load, and a
  few busy seconds of many say little of its figures.
- Of any window on the dashboard's page, CPU is the mean over the busiest ten seconds: most of a
  window may be without load, and a minute of it that is the generator's own should be told.
- Of a rate that is tried in the search for the highest one (:mod:`loadgen.capacity_judgement`), CPU
  counts only where an objective was missed or requests were left over: what was held was held.
  Lateness is held against a bound of its own, and against the objective that was missed, not
  against latency: what is asked is whether the rate was the one that was meant, and whether
  lateness alone may have made the miss.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from flash.number_text import milliseconds, percent

__all__ = ["CpuUse", "Evidence", "Limit", "Reason", "reasons", "verdict"]

CPU_LIMIT: Final = 0.9
"""Mean CPU of a process over the run, 1 is one core, from which on requests wait for it. At nine
tenths of its only core a queue is 4.5 requests long on average (M/D/1)."""

LAG_SHARE: Final = 0.1
"""Lateness at the 99th percentile, as a share of the latency there, from which on it matters."""

LAG_FLOOR_S: Final = 0.001
"""Lateness in seconds that never matters, however quick the server is."""

WAITED_SHARE: Final = 0.01
"""Share of the arrivals that waited for a user from which on the users are too few."""


class Limit(Enum):
    """What of the generator was the limit."""

    CPU = "cpu"
    SCHEDULE_LAG = "schedule_lag"
    USERS = "users"
    WORKERS = "workers"


@dataclass(frozen=True, slots=True)
class CpuUse:
    """CPU of one process over a run, 1 is one core; ``highest`` is that of a second."""

    mean: float
    highest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of the generator in one run or a part of one.

    ``cpu`` is by process. The 99th percentiles in seconds are ``None`` without data, as schedule
    lag is in the closed model. Of ``arrivals`` of the open model ``arrivals_waited`` found no user
    free. ``workers_lost`` counts those that went missing or left before the end.
    """

    cpu: Mapping[str, CpuUse] = field(default_factory=dict)
    schedule_lag_p99_s: float | None = None
    latency_p99_s: float | None = None
    arrivals: int = 0
    arrivals_waited: int = 0
    workers_lost: int = 0


@dataclass(frozen=True, slots=True)
class Reason:
    """One way in which the generator was the limit, and a phrase that tells the figures."""

    limit: Limit
    text: str


def reasons(evidence: Evidence) -> tuple[Reason, ...]:
    """Every way in which the generator was the limit; none if it kept up."""
    return tuple(_reasons(evidence))


def verdict(evidence: Evidence) -> str:
    """One sentence on whether the generator kept up, with the figures that say so."""
    found = reasons(evidence)
    if found:
        return f"the load generator was the limit: {'; '.join(one.text for one in found)}"
    good = "; ".join(_good(evidence))
    return f"the load generator kept up: {good}" if good else "the load generator kept up"


def _reasons(evidence: Evidence) -> Iterator[Reason]:
    for process, use in evidence.cpu.items():
        if use.mean >= CPU_LIMIT:
            text = f"{process} used {_cpu(use)}, so add processes"
            yield Reason(Limit.CPU, text)
    lag_s, latency_s = evidence.schedule_lag_p99_s, evidence.latency_p99_s
    if lag_s is not None and lag_s > max(LAG_FLOOR_S, LAG_SHARE * (latency_s or 0.0)):
        against = "" if latency_s is None else f", at a latency of {milliseconds(latency_s)} ms"
        text = f"requests started up to {milliseconds(lag_s)} ms late (p99){against}"
        yield Reason(Limit.SCHEDULE_LAG, text)
    waited, arrivals = evidence.arrivals_waited, evidence.arrivals
    if waited and waited >= WAITED_SHARE * arrivals:
        text = f"{waited} of {arrivals} arrivals waited for a free user, so have more users"
        yield Reason(Limit.USERS, text)
    if evidence.workers_lost:
        workers = "worker was" if evidence.workers_lost == 1 else "workers were"
        yield Reason(Limit.WORKERS, f"{evidence.workers_lost} {workers} lost during the run")


def _good(evidence: Evidence) -> Iterator[str]:
    if evidence.cpu:
        process, use = max(evidence.cpu.items(), key=lambda item: item[1].mean)
        yield f"{process} used {_cpu(use)}"
    if evidence.schedule_lag_p99_s is not None:
        yield f"requests started at most {milliseconds(evidence.schedule_lag_p99_s)} ms late (p99)"


def _cpu(use: CpuUse) -> str:
    return f"{percent(use.mean)} of a core (at most {percent(use.highest)} in a second)"
