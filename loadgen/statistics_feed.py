"""Locust's own statistics, fed in bulk.

Locust tells every request to every listener of its ``request`` event, and its own statistics are
one of them; that alone costs several times what a request does here. So finished requests are
gathered and added to Locust's entries a few hundred at a time, at least ten times a second and at
each turn of a second, with the same result. The event is fired per request only while somebody
besides Locust's statistics listens.
"""

import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from locust import stats as locust_stats
from locust.env import Environment
from locust.event import EventHook
from locust.stats import RequestStats, StatsEntry, StatsError

__all__ = ["FLUSH_EVERY_S", "FLUSH_SOONEST_S", "MOST_ERRORS", "StatisticsFeed", "next_flush_s"]

# Locust lets people put their own in its place.
_BUCKET_OF: Final = locust_stats.bucket_response_time
MOST_ERRORS: Final = 500
"""Locust keeps a row for each text of an error, and what broken servers send can be in it."""
FLUSH_EVERY_S: Final = 0.1
FLUSH_SOONEST_S: Final = 0.005
# To count a thousand takes half a millisecond, in which no response is read.
_FLUSH_REQUESTS: Final = 300
_MANY: Final = 32  # from here on numpy is the quicker one


def next_flush_s(last_s: float, pending: int) -> float:
    """In how many seconds to flush next, where the ``last_s`` seconds brought ``pending`` requests.

    That is when there are a few hundred again, but ``FLUSH_SOONEST_S`` at least and
    ``FLUSH_EVERY_S`` at most.
    """
    return min(FLUSH_EVERY_S, max(FLUSH_SOONEST_S, last_s * _FLUSH_REQUESTS / (pending + 1)))


class _Pending:
    """Requests of one name and method that are not yet in Locust's statistics."""

    __slots__ = ("failed", "length", "times", "untimed")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.untimed = 0
        self.length = 0
        self.failed = 0


class StatisticsFeed:
    """Adds finished requests to the statistics of ``environment``.

    ``clock`` gives Unix seconds, ``ticks`` the clock that requests are timed by.
    """

    def __init__(
        self,
        environment: Environment,
        *,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._environment = environment
        self._clock = clock
        self._ticks = ticks
        self._pending: defaultdict[tuple[str, str], _Pending] = defaultdict(_Pending)
        self._errors: dict[tuple[str, str, str], tuple[Any, int]] = {}
        self._handlers: list[Any] = environment.events.request._handlers
        self._known: list[Any] = []
        self._foreign: EventHook | None = None
        self._second = int(clock())
        self.turn = self._next_turn()
        """When, by ``ticks``, the second changes: :meth:`turned` is due with the next request."""

    def __repr__(self) -> str:
        return f"StatisticsFeed({len(self._pending)} names pending)"

    @property
    def pending(self) -> int:
        """How many timed requests were gathered since the last flush."""
        return sum(len(one.times) for one in self._pending.values())

    def listened(self) -> EventHook | None:
        """The event for those who listen besides Locust's statistics; ``None`` without any."""
        if self._handlers != self._known:
            self._known = list(self._handlers)
            others = [one for one in self._known if not _is_locusts_own(one)]
            self._foreign = _hook(others) if others else None
        return self._foreign

    def add(
        self, method: str, name: str, response_time_ms: float | None, length: int, error: Any
    ) -> EventHook | None:
        """One finished request; returns :meth:`listened`.

        ``response_time_ms`` is ``None`` where no time is to be counted.
        """
        pending = self._pending[name, method]
        if response_time_ms is None:
            pending.untimed += 1
        else:
            pending.times.append(response_time_ms)
        pending.length += length
        if error is not None:
            pending.failed += 1
            key = (method, name, StatsError.parse_error(error))
            _, count = self._errors.get(key, (error, 0))
            self._errors[key] = (error, count + 1)
        return self._foreign if self._handlers == self._known else self.listened()

    def turned(self) -> None:
        """The second has changed: what was gathered belongs to the one before."""
        self.flush()
        self.turn = self._next_turn()

    def flush(self) -> None:
        """Add everything gathered to Locust's statistics now."""
        if self._pending:
            now = min(self._clock(), self._second + 0.999999)
            stats = self._environment.stats
            pending, self._pending = self._pending, defaultdict(_Pending)
            for (name, method), requests in pending.items():
                buckets = _buckets(requests.times)
                for entry in (stats.total, _entry(stats, name, method, now)):
                    _add(entry, requests, buckets, now)
            self._add_errors(stats, now)
        self._second = int(self._clock())

    def _add_errors(self, stats: RequestStats, now: float) -> None:
        errors, self._errors = self._errors, {}
        for (method, name, _), (error, count) in errors.items():
            key = StatsError.create_key(method, name, error)
            known = stats.errors.get(key)
            if known is None and len(stats.errors) >= MOST_ERRORS:
                method, name, error = "", "(other)", f"more than {MOST_ERRORS} kinds of errors"
                key = StatsError.create_key(method, name, error)
                known = stats.errors.get(key)
            if known is None:
                known = stats.errors[key] = StatsError(method, name, error)
            known.occurrences += count
            known.first_seen = known.first_seen or now
            known.last_seen = now

    def _next_turn(self) -> float:
        now = self._clock()
        return self._ticks() + (int(now) + 1 - now)


def _buckets(times_ms: list[float]) -> dict[int, int]:
    """How many there are in each bucket of Locust's."""
    if locust_stats.bucket_response_time is not _BUCKET_OF or len(times_ms) < _MANY:
        return Counter(map(locust_stats.bucket_response_time, times_ms))
    times = np.frombuffer(array("d", times_ms))
    # Below 100 ms Locust rounds to whole milliseconds, half to even as numpy does.
    short = times[times < 100]
    counts = np.bincount(np.rint(short).astype(np.intp))
    buckets = {bucket: int(counts[bucket]) for bucket in np.flatnonzero(counts).tolist()}
    for bucket in map(_BUCKET_OF, times[times >= 100].tolist()):
        buckets[bucket] = buckets.get(bucket, 0) + 1
    return buckets


def _entry(stats: RequestStats, name: str, method: str, now: float) -> StatsEntry:
    known = stats.entries.get((name, method))
    if known is not None:
        return known
    # A new entry notes that it was empty in the second of its making; ours is made late.
    entry = stats.entries[name, method]
    entry.start_time = min(entry.start_time, now)
    if entry.response_times_cache is not None:
        entry.response_times_cache.clear()
        entry._cache_response_times(int(now))
    return entry


def _add(entry: StatsEntry, requests: _Pending, buckets: dict[int, int], now: float) -> None:
    """What ``StatsEntry.log`` and ``log_error`` do for each request, for many of one second."""
    second = int(now)
    last = entry.last_request_timestamp
    if entry.use_response_times_cache and last and second > int(last):
        entry._cache_response_times(second - 1)
    times = requests.times
    count = len(times) + requests.untimed
    entry.num_requests += count
    entry.num_none_requests += requests.untimed
    entry.num_reqs_per_sec[second] += count
    entry.last_request_timestamp = now
    entry.total_content_length += requests.length
    if times:
        entry.total_response_time += sum(times)  # type: ignore[assignment] # Locust adds floats too
        lowest, highest = min(times), max(times)
        known = entry.min_response_time
        entry.min_response_time = lowest if known is None else min(known, lowest)  # type: ignore[assignment] # likewise
        entry.max_response_time = max(entry.max_response_time, highest)  # type: ignore[assignment] # likewise
        for bucket, number in buckets.items():
            entry.response_times[bucket] += number
    if requests.failed:
        entry.num_failures += requests.failed
        entry.num_fail_per_sec[second] += requests.failed


def _hook(handlers: list[Any]) -> EventHook:
    hook = EventHook()
    for handler in handlers:
        hook.add_listener(handler)
    return hook


def _is_locusts_own(handler: Any) -> bool:
    return (
        getattr(handler, "__module__", "") == "locust.runners"
        and getattr(handler, "__name__", "") == "on_request"
    )
