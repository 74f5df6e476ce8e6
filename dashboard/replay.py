"""What the autoscaler would have done with a run's requests, and what that had met and cost.

Nobody waits in a queue at Modal's proxies: while any container is live every request is answered,
and while none is, every request is refused and tried again. So between cold times only the number
of requests in flight matters, which is integrated for all decisions at once; in a cold time, whose
end is known when its container is asked for, each request goes through its retries.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.in_flight import InFlight
from flash.autoscaler import (
    ROUNDING,
    STEP_S,
    Autoscaler,
    AutoscalerSettings,
    Candidate,
    to_stop,
    wanted,
)
from flash.retry import delay_s

__all__ = ["DEADLINE_S", "LONG_AGO", "Conditions", "Outcome", "RequestPlan", "replayed"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

DEADLINE_S: Final = 120.0
"""How long the load generator tries a refused request again, unless it is told otherwise."""

LONG_AGO: Final = -1e9
"""When a container became live of which only is known that it was long before the run."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestPlan:
    """Requests as they would be made if each was answered at its first attempt.

    The arrays have an entry per request. ``at`` is when it is made, in seconds since the run's
    start; ``busy_s`` how long it is in flight at the edge, ``refusal_s`` how long a 503 takes to
    come back. Where a user waits for answers its requests lie next to each other, in order;
    ``next_user`` is the index behind the last of them, and a delay moves all that follow. Elsewhere
    it is the index behind the request itself. From ``until`` on its user makes none. Each stands
    for ``weight`` requests.
    """

    at: Array
    busy_s: Array
    refusal_s: Array
    next_user: Indices
    until: Array
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What is the same under all settings; times in seconds since the run's start.

    A run takes ``seconds``. ``boots_s`` are from a container's request to its being live, taken
    in order and then at random; ``stops_s`` are from the decision to stop one to its end, taken at
    random. ``there`` is when the containers that there were at the start became live, or will, and
    ``kept`` the ``min_containers`` of the run: where more are kept, that many more were live, and
    where there were no more than that, fewer are there if fewer are kept. A request gives up
    ``deadline_s`` after its first refusal.
    """

    seconds: float
    boots_s: tuple[float, ...]
    stops_s: tuple[float, ...] = ()
    there: tuple[float, ...] = ()
    kept: int = 0
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run met and cost, from its start to its end.

    ``refused`` counts attempts that met a 503, ``answered`` requests. ``delayed`` requests met at
    least one 503; those of them that were answered waited ``waited_s`` together, from the first 503
    on, and ``gave_up`` of them were not. ``container_s`` are the seconds of all containers, from
    the decision to start one to its end.
    """

    refused: float
    answered: float
    delayed: float
    waited_s: float
    gave_up: float
    container_s: float

    @property
    def mean_wait_s(self) -> float | None:
        """Of a delayed request that was answered, ``None`` if there was none."""
        waited = self.delayed - self.gave_up
        return self.waited_s / waited if waited > 0 else None

    @property
    def share_503(self) -> float | None:
        """Of all attempts (0 to 1), ``None`` if there were none."""
        attempts = self.refused + self.answered
        return self.refused / attempts if attempts else None


def replayed(
    plan: RequestPlan,
    settings: Sequence[AutoscalerSettings],
    conditions: Conditions,
    rng: np.random.Generator,
) -> list[Outcome]:
    """What ``plan`` would have met and cost under each of ``settings``, with the same chances."""
    in_flight = InFlight(float(rng.uniform(0.0, STEP_S)), conditions.seconds)
    made = plan.at < np.minimum(plan.until, conditions.seconds)
    in_flight.add(plan.at[made], (plan.at + plan.busy_s)[made])
    return [
        _Replay(plan, one, conditions, in_flight.copy(), deepcopy(rng)).outcome()
        for one in settings
    ]


class _Fixed:
    """Not random at all."""

    def __init__(self, value: float) -> None:
        self._value = value

    def random(self) -> float:
        return self._value


# The wait after refusal number n lies evenly between these; it no longer grows after so many.
_GROWING: Final = 32
_SHORTEST_S: Final = np.array([delay_s(n, rng=_Fixed(0.0)) for n in range(_GROWING)])
_LONGEST_S: Final = np.array([delay_s(n, rng=_Fixed(1.0)) for n in range(_GROWING)])


@dataclass(slots=True)
class _Container:
    started: float
    ready: float
    ended: float = inf


class _Replay:
    def __init__(
        self,
        plan: RequestPlan,
        settings: AutoscalerSettings,
        conditions: Conditions,
        in_flight: InFlight,
        rng: np.random.Generator,
    ) -> None:
        self._plan = plan
        self._settings = settings
        self._conditions = conditions
        self._rng = rng
        self._boots = list(reversed(conditions.boots_s))
        self._autoscaler = Autoscaler(settings)
        self._in_flight = in_flight
        self._at = plan.at.copy()
        self._busy = plan.busy_s.copy()
        self._limit = np.minimum(plan.until, conditions.seconds)
        self._tries = np.zeros(len(plan.at), dtype=np.intp)
        self._first = np.full(len(plan.at), np.nan)
        self._gave_up = np.zeros(len(plan.at), dtype=np.bool_)
        self._refused = 0
        self._refusing = np.zeros(len(in_flight.times) + 1, dtype=np.bool_)
        self._live: list[_Container] = []
        self._stopped: list[_Container] = []
        self._woken = inf
        self._foresee()
        self._run()

    def outcome(self) -> Outcome:
        weight, seconds = self._plan.weight, self._conditions.seconds
        answered = (self._at < self._limit) & ~self._gave_up
        delayed = ~np.isnan(self._first)
        waited = answered & delayed
        waits = self._at[waited] + self._busy[waited] - self._first[waited]
        return Outcome(
            refused=weight * self._refused,
            answered=weight * int(answered.sum()),
            delayed=weight * int(delayed.sum()),
            waited_s=weight * float(waits.sum()),
            gave_up=weight * int(self._gave_up.sum()),
            container_s=sum(
                max(0.0, min(one.ended, seconds) - max(one.started, 0.0))
                for one in (*self._live, *self._stopped)
            ),
        )

    # The containers.

    def _run(self) -> None:
        self._begin()
        before: tuple[float, bool] | None = None
        settled = False
        for step, now in enumerate(self._in_flight.times.tolist()):
            if self._woken <= now:
                self._wake()
                before = None
            # What is wanted depends on these two. As long as it is the same, and there are as many
            # containers as that, whatever was wanted before makes no difference.
            seen = (self._needed[step], self._refusals[step])
            if settled and seen == before:
                continue
            before = seen
            target = self._decide(now, self._demand[step], refused=seen[1])
            settled = len(self._live) == target
        if self._woken < self._conditions.seconds:
            self._wake()

    def _begin(self) -> None:
        settings, there, kept = self._settings, self._conditions.there, self._conditions.kept
        count = settings.min_containers
        if len(there) > kept:
            count = max(count, min(len(there), settings.max_containers))
        more = [LONG_AGO] * (settings.min_containers - kept)
        ready = [*more, *there, *[LONG_AGO] * count][:count]
        self._live = [_Container(started=min(0.0, at), ready=at) for at in ready]
        # Until now just these were wanted.
        longest = max(settings.scaleup_window, settings.scaledown_window)
        busy = count - settings.buffer_containers if len(there) > kept else 0
        demand = max(0.0, busy - 0.5) * settings.target_concurrency
        self._autoscaler.step(-longest - STEP_S, demand=demand, refused=False, containers=count)
        if not any(one.ready <= 0.0 for one in self._live):
            self._cool_down(0.0)

    def _decide(self, now: float, demand: float, *, refused: bool) -> int:
        """Start and stop what the autoscaler says; how many are wanted."""
        change = self._autoscaler.step(
            now, demand=demand, refused=refused, containers=len(self._live)
        )
        for _ in range(change):
            self._live.append(_Container(started=now, ready=now + self._boot_s()))
        if change < 0:
            self._scale_down(now, -change)
        return wanted(self._settings, demand=demand, refused=refused)

    def _scale_down(self, now: float, number: int) -> None:
        too_many = len(self._live) > self._settings.max_containers
        candidates = [
            Candidate(str(index), 0, one.started, one.ready if one.ready <= now else None)
            for index, one in enumerate(self._live)
        ]
        ready_by = None if too_many else now - self._settings.scaledown_window
        chosen = {int(name) for name in to_stop(candidates, number, ready_by=ready_by)}
        if not chosen:
            return
        for index in chosen:
            self._live[index].ended = now + self._stop_s()
            self._stopped.append(self._live[index])
        self._live = [one for index, one in enumerate(self._live) if index not in chosen]
        if not any(one.ready <= now for one in self._live):
            self._cool_down(now)

    def _boot_s(self) -> float:
        return self._boots.pop() if self._boots else self._drawn(self._conditions.boots_s)

    def _stop_s(self) -> float:
        return self._drawn(self._conditions.stops_s) if self._conditions.stops_s else 0.0

    def _drawn(self, values: Sequence[float]) -> float:
        return values[int(self._rng.integers(len(values)))]

    # Cold times.

    def _cool_down(self, since: float) -> None:
        """From ``since`` on no container is live, until one that is starting is."""
        ready = min((one.ready for one in self._live), default=inf)
        if ready < inf:
            self._refuse(since, ready)
        else:
            coming = self._at[(self._at >= since) & (self._at < self._limit)]
            self._woken = float(coming.min()) if coming.size else inf

    def _wake(self) -> None:
        """The first refusal of a pool without containers has one started at once."""
        now, self._woken = self._woken, inf
        self._decide(now, 0.0, refused=True)
        self._refuse(now, min(one.ready for one in self._live))

    def _refuse(self, begin: float, end: float) -> None:
        """Refuse what is made from ``begin`` to before ``end``, and when it is tried again."""
        at, plan = self._at, self._plan
        chosen = np.flatnonzero((at >= begin) & (at < end) & (at < self._limit))
        # Of a user that waits for answers only the first: the others follow when that is answered.
        chosen = chosen[np.diff(plan.next_user[chosen], prepend=-1) != 0]
        if not chosen.size:
            return
        moved = self._followed(chosen)
        self._in_flight.remove(*self._spans(moved))
        before = at[chosen]
        made, trying = before.copy(), np.arange(len(chosen))
        while trying.size:
            of = chosen[trying]
            told = made[trying]
            self._refused += len(of)
            self._refusing[self._in_flight.cells(told)] = True
            back = told + plan.refusal_s[of]
            self._first[of] = np.where(np.isnan(self._first[of]), back, self._first[of])
            again = back + self._waits_s(self._tries[of])
            self._tries[of] += 1
            late = again > self._first[of] + self._conditions.deadline_s
            self._gave_up[of[late]] = True
            self._busy[of[late]] = 0.0
            made[trying] = np.where(late, back, again)
            trying = trying[~late & (again < end) & (again < self._limit[of])]
        at[chosen] = made
        self._delay_followers(chosen, made - before)
        self._in_flight.add(*self._spans(moved))
        self._foresee()

    def _waits_s(self, tries: Indices) -> Array:
        n = np.minimum(tries, _GROWING - 1)
        return self._rng.uniform(_SHORTEST_S[n], _LONGEST_S[n])

    def _followed(self, chosen: Indices) -> Indices:
        """The requests and all that their users make after them."""
        edges = np.zeros(len(self._at) + 1, dtype=np.intp)
        edges[chosen] += 1
        np.add.at(edges, self._plan.next_user[chosen], -1)
        return np.flatnonzero(np.cumsum(edges[:-1]))

    def _delay_followers(self, chosen: Indices, by: Array) -> None:
        lengths = self._plan.next_user[chosen] - chosen - 1
        if lengths.any():
            followers = np.concatenate(
                [
                    np.arange(first + 1, end)
                    for first, end in zip(chosen, self._plan.next_user[chosen], strict=True)
                ]
            )
            self._at[followers] += np.repeat(by, lengths)

    # Requests in flight.

    def _spans(self, requests: Indices) -> tuple[Array, Array]:
        """From when to when those of them are in flight that are made at all."""
        made = requests[self._at[requests] < self._limit[requests]]
        return self._at[made], self._at[made] + self._busy[made]

    def _foresee(self) -> None:
        """What each step will see, if nothing more is refused."""
        demand = self._in_flight.means() * self._plan.weight
        self._demand = demand.tolist()
        self._needed = np.ceil(demand / self._settings.target_concurrency - ROUNDING).tolist()
        self._refusals = self._refusing.tolist()
