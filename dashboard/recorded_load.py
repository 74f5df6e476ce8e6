"""A run's requests, made again from what was counted of them second by second.

What is tried again is no new request. Those that were answered at their first attempt began their
latency before their answer was counted; those that were refused were counted as they met their
first 503. In the open model these are the requests. In the closed model it is the users that are
made again, with their number, their pauses and the server's latencies: with fewer refusals they
would have asked more.
"""

from dataclasses import dataclass
from enum import IntEnum
from math import ceil, sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dashboard.replay import RequestPlan

__all__ = ["ColdTime", "PlaceLoad", "RecordedLoad", "closed_plan", "open_plan", "think_time_s"]

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

_MOST_REQUESTS: Final = 200_000
"""Of more only a part is replayed, each for several."""

_FEWEST_USERS: Final = 10
"""Of a region and routing that are replayed where not all are."""

_DENSE: Final = 4
"""Requests in a step, of which chance alone leaves the one before it seldom empty."""

_MOST_DRAWS: Final = 30
_SHORTEST_S: Final = 1e-4
# Adjacent bounds of a bucket differ by this factor; see flash.buckets.
_BUCKET: Final = 2.0 ** (1 / 8)


class ColdTime(NamedTuple):
    """From ``begin`` to ``end`` no container was live, and from ``asked`` on there were requests,
    in seconds since the run's start."""

    begin: float
    asked: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlaceLoad:
    """What one region and routing counted. Arrays have an entry per step.

    ``latencies`` is (steps, buckets), not cumulative, and ``latency_s`` their sum. ``delayed``
    requests met their first 503 in a step, and ``waited`` ones were answered after one.
    ``unanswered`` attempts had no response. ``users`` is at a step's end. ``responses`` requests
    took ``response_s`` together, refusals and back-off included. ``transit_s`` is the part of a
    latency before the request is at the proxy, ``refusal_s`` how long a 503 takes to come back.
    """

    latencies: Array
    latency_s: float
    delayed: Array
    waited: Array
    unanswered: Array
    users: Array
    responses: float
    response_s: float
    transit_s: float = 0.0
    refusal_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedLoad:
    """A run of ``seconds``, by region and routing.

    A step is ``step_s`` long; the first one began ``first_s`` after the run's start, mostly below
    zero. ``bounds`` are the latencies' buckets. ``evenly`` tells that open arrivals were evenly
    spaced and not at random. ``cold`` are the times without a live container, in order; none where
    that is not told.
    """

    seconds: float
    first_s: float
    step_s: float
    bounds: tuple[float, ...]
    places: tuple[PlaceLoad, ...]
    evenly: bool = False
    cold: tuple[ColdTime, ...] = ()


def open_plan(load: RecordedLoad, rng: np.random.Generator) -> RequestPlan:
    """The requests of a run in which they begin whether the earlier ones are answered or not."""
    parts = [_arrivals(load, place, rng) for place in load.places]
    at, busy, refusal = (np.concatenate(values) for values in zip(*parts, strict=True))
    weight = max(1, ceil(len(at) / _MOST_REQUESTS))
    kept = rng.permutation(len(at))[: len(at) // weight]
    order = kept[np.argsort(at[kept], kind="stable")]
    at, busy, refusal = _placed(at[order], load), busy[order], refusal[order]
    return RequestPlan(
        at=at,
        busy_s=busy,
        refusal_s=refusal,
        next_user=np.arange(1, len(at) + 1),
        until=np.full(len(at), load.seconds),
        weight=float(weight),
    )


def closed_plan(load: RecordedLoad, rng: np.random.Generator) -> RequestPlan:
    """The requests of a run in which each user waits for its answer, pauses, and asks again."""
    expected = sum(place.responses for place in load.places)
    fewest = min(float(_known(place.users).max(initial=0.0)) for place in load.places)
    weight = max(1, min(ceil(expected / _MOST_REQUESTS), int(fewest / _FEWEST_USERS)))
    parts = [_of_users(load, place, weight, rng) for place in load.places]
    at, busy, refusal, lengths, until = (
        np.concatenate(values) for values in zip(*parts, strict=True)
    )
    return RequestPlan(
        at=at,
        busy_s=busy,
        refusal_s=refusal,
        next_user=np.repeat(np.cumsum(lengths), lengths),
        until=until,
        weight=float(weight),
    )


def think_time_s(load: RecordedLoad, place: PlaceLoad) -> float:
    """How long a user paused between requests on average, by Little's law.

    Users were there for so many seconds together; what of that they did not wait they paused. Where
    nobody got an answer nobody asked again: that is longer than the run.
    """
    if not place.responses:
        return 2 * load.seconds
    users = np.concatenate([[0.0], _known(place.users)])
    there_s = float((users[1:] + users[:-1]).sum()) / 2 * load.step_s
    return max(0.0, (there_s - place.response_s) / place.responses)


def _arrivals(
    load: RecordedLoad, place: PlaceLoad, rng: np.random.Generator
) -> tuple[Array, Array, Array]:
    """When the place's requests were made, how long they were busy, and how long a 503 takes."""
    step, latency = _samples(load, place, rng)
    # Which of a step's answers were to requests that had been refused is not told: any.
    order = np.lexsort((rng.random(len(step)), step))
    step, latency = step[order], latency[order]
    waited = _rank(step, 0.0) < np.rint(place.waited)[step]
    # What was refused was made in a cold time, and what was not was not.
    answered = _within(load, step[~waited], rng, _State.WARM, before=latency[~waited])
    direct = np.maximum(0.0, answered - latency[~waited])
    delayed = _within(load, _repeated(place.delayed), rng, _State.REFUSING)
    unanswered = _within(load, _repeated(place.unanswered), rng, _State.WARM)
    at = np.concatenate([direct, delayed, unanswered])
    pool = latency[waited] if waited.any() else latency
    took = np.concatenate([latency[~waited], _picked(pool, len(at) - len(direct), rng)])
    return at, _busy(took, place), np.full(len(at), place.refusal_s)


def _of_users(
    load: RecordedLoad, place: PlaceLoad, weight: int, rng: np.random.Generator
) -> tuple[Array, Array, Array, Indices, Array]:
    """The requests of the place's users, one user after the other, and how many each has."""
    step, latency = _samples(load, place, rng)
    came, left = _stays(load, place.users)
    came, left = came[::weight], left[::weight]
    think_s = think_time_s(load, place)
    # Which latency is that of its time is told by how many turns a user has had by then.
    edges, turns = _turns(load, place, step, latency, think_s)
    begun = np.interp(came, edges, turns)
    most = float((np.interp(left, edges, turns) - begun).max(initial=0.0))
    numbers = np.arange(ceil(1.1 * most + 6 * sqrt(most) + 3))
    at = np.interp(begun[:, None] + numbers, turns, edges)
    chance = rng.random(at.shape)
    pauses = think_s * rng.uniform(0.5, 1.5, size=at.shape)
    for _ in range(2):  # with the pauses that each had instead of usual ones it is known better
        took = _at_the_time(load, at, step, latency, chance)
        turn = took + pauses
        at = came[:, None] + (np.cumsum(turn, axis=1) - turn)
    made = at < left[:, None]
    lengths = made.sum(axis=1)
    count = int(lengths.sum())
    until = np.repeat(left, lengths)
    return at[made], _busy(took[made], place), np.full(count, place.refusal_s), lengths, until


def _turns(
    load: RecordedLoad, place: PlaceLoad, step: Indices, latency: Array, think_s: float
) -> tuple[Array, Array]:
    """The steps' ends in order, and how many turns a user had by each: requests with pauses."""
    steps = len(place.users)
    count = np.bincount(step, minlength=steps)
    total = np.bincount(step, weights=latency, minlength=steps)
    usual_s = float(latency.mean()) if len(latency) else 0.0
    mean_s = np.where(count > 0, total / np.maximum(count, 1), usual_s)
    turns = np.cumsum(load.step_s / np.maximum(think_s + mean_s, _SHORTEST_S))
    edges = load.first_s + load.step_s * np.arange(steps + 1.0)
    return edges, np.concatenate([[0.0], turns])


def _stays(load: RecordedLoad, users: Array) -> tuple[Array, Array]:
    """When users came and left; whoever came last leaves first.

    Locust starts and stops users once a second, counted from the run's start.
    """
    here: list[float] = []
    stays: list[tuple[float, float]] = []
    changes = np.diff(np.rint(_known(users)), prepend=0.0).astype(int)
    for step in np.flatnonzero(changes).tolist():
        change = int(changes[step])
        moment = min(load.seconds, max(0.0, ceil(load.first_s + load.step_s * step)))
        if change > 0:
            here += [moment] * change
        else:
            stays += [(here.pop(), moment) for _ in range(-change)]
    stays += [(moment, load.seconds) for moment in here]
    came, left = np.array(sorted(stays)).reshape(-1, 2).T
    return came, left


def _samples(
    load: RecordedLoad, place: PlaceLoad, rng: np.random.Generator
) -> tuple[Indices, Array]:
    """Every latency, and the step in which it was counted, in order of these.

    Within its bucket each is anywhere; their sum is the exact one.
    """
    counts = np.rint(place.latencies).astype(np.intp)
    step, bucket = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), counts.shape[1])
    upper = np.array([*load.bounds[:-1], load.bounds[-2] * _BUCKET])
    latency = upper[bucket] * _BUCKET ** -rng.random(len(bucket))
    total = float(latency.sum())
    return step, latency * (place.latency_s / total) if total else latency


def _at_the_time(
    load: RecordedLoad, moments: Array, step: Indices, latency: Array, chance: Array
) -> Array:
    """A latency of the step of each moment, of any step where that has none; ``chance`` (0 to 1)
    says which."""
    if not len(latency):
        return np.zeros(moments.shape)
    at = np.maximum(0, (moments - load.first_s) // load.step_s)
    low = np.searchsorted(step, at, side="left")
    high = np.searchsorted(step, at, side="right")
    low, high = np.where(high > low, low, 0), np.where(high > low, high, len(latency))
    drawn: Array = latency[low + (chance * (high - low)).astype(np.intp)]
    return drawn


class _State(IntEnum):
    """What the server does with a request at a time; in its ``QUIET`` times it gets none."""

    WARM = 0
    QUIET = 1
    REFUSING = 2


def _within(
    load: RecordedLoad,
    steps: Indices,
    rng: np.random.Generator,
    state: _State,
    *,
    before: Array | float = 0.0,
) -> Array:
    """A moment in each of the steps, which are in order; within the run.

    ``before`` it by so many seconds the server was in ``state``, if there is such a moment.
    """
    begin = load.first_s + load.step_s * steps
    low, high = (np.clip(edge, 0.0, load.seconds) for edge in (begin, begin + load.step_s))
    part = rng.random(len(steps))
    if load.evenly:
        part = _rank(steps, 0.5) / np.maximum(np.bincount(steps), 1)[steps]
    moments: Array = low + part * (high - low)
    edges = np.array(load.cold).ravel()
    for _ in range(_MOST_DRAWS if load.cold else 0):
        states = np.searchsorted(edges, moments - before, side="right") % len(_State)
        wrong = np.flatnonzero(states != state)
        if not wrong.size:
            break
        moments[wrong] = rng.uniform(low[wrong], high[wrong])
    return moments


def _rank(steps: Indices, first: float) -> Array:
    """How many of the same come before each, counted from ``first``; they are in order."""
    return np.arange(first, first + len(steps)) - np.searchsorted(steps, steps, side="left")


def _placed(at: Array, load: RecordedLoad) -> Array:
    """Moments in order, each moved within its step.

    Where they begin all at once that is not at the beginning of a step: there are fewer in that
    step than in the next, and they lie at its end, as dense as there. So with an end. Where they
    begin in a cold time it is known when.
    """
    if not len(at):
        return at
    step = np.maximum(0, (at - load.first_s) // load.step_s).astype(np.intp)
    counts = np.bincount(step).astype(float)
    before, after = np.concatenate([[0.0], counts[:-1]]), np.concatenate([counts[1:], [0.0]])
    rises = (before == 0) & (after >= _DENSE) & (counts < after)
    falls = (after == 0) & (before >= _DENSE) & (counts < before)
    low = np.where(rises, 1 - counts / np.maximum(after, 1), 0.0)
    high = np.where(falls, counts / np.maximum(before, 1), 1.0)
    for cold in load.cold:
        of, passed = divmod((cold.asked - load.first_s) / load.step_s, 1.0)
        if of < len(low):
            low[int(of)] = passed if load.evenly else 0.0
    begin = load.first_s + load.step_s * step
    low, high = low[step], high[step]
    part = (at - begin) / load.step_s
    if load.evenly:
        part = _rank(step, 0.5) / counts[step]
        # Before and after the run there are none.
        low = np.maximum(low, -begin / load.step_s)
        high = np.minimum(high, (load.seconds - begin) / load.step_s)
    moved: Array = begin + load.step_s * (low + part * (high - low))
    return np.minimum(np.maximum(moved, 0.0), load.seconds)


def _busy(latency: Array, place: PlaceLoad) -> Array:
    return np.maximum(latency - place.transit_s, _SHORTEST_S)


def _picked(values: Array, count: int, rng: np.random.Generator) -> Array:
    return rng.choice(values, count) if len(values) else np.full(count, _SHORTEST_S)


def _repeated(counts: Array) -> Indices:
    return np.repeat(np.arange(len(counts)), np.rint(counts).astype(np.intp))


def _known(users: Array) -> Array:
    """What is not told is as it was before, and nobody at the beginning."""
    told = ~np.isnan(users)
    last = np.maximum.accumulate(np.where(told, np.arange(len(users)), -1))
    return np.where(last >= 0, users[last], 0.0)
