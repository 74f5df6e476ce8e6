"""What the load generator counts: plain integers and lists, cheap enough for every request.

Of an answered request only its moments are noted; they are put into the histograms in bulk, at
least ten times a second and before anybody reads. A worker takes what it counted since its last
report away from its recorder and sends it; the master adds it to its own, once. Not for several
threads: greenlets of one hub only.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from math import isnan
from time import perf_counter
from typing import Any, Final, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from flash.buckets import BOUNDS_S, BUCKETS, quantile
from loadgen.cold_start_window import ColdStartWindow
from loadgen.cold_starts import ColdStarts, ColdStartsDelta
from loadgen.outcome import COLD_START, OUTCOMES, Outcome, outcome_of_status
from loadgen.refused_sessions import RefusedSession, RefusedSessions, RegionWatch

__all__ = [
    "CHANNEL_COUNTS",
    "CHANNEL_HISTOGRAMS",
    "Channel",
    "ChannelDelta",
    "Delta",
    "Gauges",
    "Histogram",
    "HistogramDelta",
    "Recorder",
]

_BOUNDS: Final = np.array(BOUNDS_S)

HistogramDelta = tuple[list[tuple[int, int]], float]
"""Buckets with their growth, and the growth of the sum in seconds."""

CHANNEL_HISTOGRAMS: Final = (
    "request_duration",
    "time_to_first_byte",
    "response_time",
    "edge_overhead",
    "cold_start_wait",
    "schedule_lag",
    "time_to_first_token",
    "time_between_tokens",
    "session_start",
)
CHANNEL_COUNTS: Final = (
    "giveups",
    "same",
    "moved",
    "affected",
    "requests",
    "container_refusals",
    "refused_sessions",
)


class ChannelDelta(TypedDict):
    """Growth of one channel, in types that any serialization keeps."""

    region: str
    routing: str
    outcomes: list[tuple[str, int]]
    codes: list[tuple[int, int]]
    counts: list[tuple[str, int]]
    histograms: list[tuple[str, HistogramDelta]]


class Delta(TypedDict):
    """Growth of a recorder of its own ``client_region``, and its gauges as they are."""

    client_region: str | None
    channels: list[ChannelDelta]
    connects: list[tuple[str, HistogramDelta]]
    cold_starts: ColdStartsDelta
    refused_sessions: list[RefusedSession]
    gauges: list[tuple[str, str, int, int]]


class Histogram:
    """Counts per bucket of ``flash.buckets``, and the sum in seconds."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sum = 0.0

    def record(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.sum += seconds

    def record_many(self, seconds: npt.NDArray[np.float64]) -> None:
        """The same as :meth:`record` of each."""
        counts = np.bincount(np.searchsorted(_BOUNDS, seconds, side="left"))
        for bucket in np.flatnonzero(counts).tolist():
            self.counts[bucket] += int(counts[bucket])
        self.sum += float(seconds.sum())

    @property
    def total(self) -> int:
        """How many were recorded."""
        return sum(self.counts)

    def quantile(self, q: float) -> float | None:
        """The ``q`` quantile (0 to 1) in seconds, as its bucket tells it; ``None`` when empty."""
        value = quantile(self.counts, q)
        return None if isnan(value) else value

    def since(self, earlier: "Histogram") -> HistogramDelta | None:
        """What was recorded since it was as ``earlier``, ``None`` for nothing."""
        grown = [
            (bucket, now - before)
            for bucket, (now, before) in enumerate(zip(self.counts, earlier.counts, strict=True))
            if now != before
        ]
        return (grown, self.sum - earlier.sum) if grown else None

    def take(self) -> HistogramDelta | None:
        """What was recorded since the last taking, ``None`` for nothing; it is empty afterwards."""
        taken = self.since(_EMPTY)
        if taken is not None:
            self.counts = [0] * BUCKETS
            self.sum = 0.0
        return taken

    def add(self, delta: HistogramDelta) -> None:
        """Add what another histogram took."""
        grown, total = delta
        for bucket, count in grown:
            self.counts[bucket] += count
        self.sum += total


_EMPTY: Final = Histogram()


class Gauges:
    """Users and requests in flight of one channel in one process."""

    __slots__ = ("in_flight", "users")

    def __init__(self) -> None:
        self.users = 0
        self.in_flight = 0


class Channel:
    """Everything counted for one region and one kind of routing, as ``client_region`` sees it.

    ``requests`` ended, each after one or more attempts, of which ``affected`` met at least one
    503 and ``giveups`` met the deadline on it. ``same`` and ``moved`` compare the container of a
    session's response with that of the one before. ``container_refusals`` are those that named a
    container, and ``refused_sessions`` counts sessions that met 503s beside others' answers.
    ``window`` and ``watch`` are told of the region's 503s and answers. What was answered since the
    last :meth:`settle` is not in any of these yet; a recorder settles its channels before it gives
    them out.
    """

    __slots__ = (
        "_answers",
        "_moments",
        "_overheads",
        "affected",
        "client_region",
        "codes",
        "cold_start_wait",
        "container_refusals",
        "edge_overhead",
        "gauges",
        "giveups",
        "moved",
        "outcomes",
        "refused_sessions",
        "region",
        "request_duration",
        "requests",
        "response_time",
        "routing",
        "same",
        "schedule_lag",
        "session_start",
        "time_between_tokens",
        "time_to_first_byte",
        "time_to_first_token",
        "watch",
        "window",
    )

    def __init__(
        self,
        region: str,
        routing: str,
        client_region: str | None = None,
        *,
        window: ColdStartWindow | None = None,
        watch: RegionWatch | None = None,
    ) -> None:
        self.region = region
        self.routing = routing
        self.client_region = client_region
        self.window = window or ColdStartWindow(Histogram().record)
        self.watch = watch or RefusedSessions().watch(region)
        self.outcomes: dict[Outcome, int] = dict.fromkeys(OUTCOMES, 0)
        self.codes: dict[int, int] = {}
        self.giveups = 0
        self.same = 0
        self.moved = 0
        self.affected = 0
        self.requests = 0
        self.container_refusals = 0
        self.refused_sessions = 0
        self.request_duration = Histogram()
        self.time_to_first_byte = Histogram()
        self.response_time = Histogram()
        self.edge_overhead = Histogram()
        self.cold_start_wait = Histogram()
        self.schedule_lag = Histogram()
        self.time_to_first_token = Histogram()
        self.time_between_tokens = Histogram()
        self.session_start = Histogram()
        self.gauges = Gauges()
        self._answers: defaultdict[int, int] = defaultdict(int)
        self._moments: list[float] = []
        self._overheads: list[float] = []

    def __repr__(self) -> str:
        return f"Channel({self.region!r}, {self.routing!r}, {self.client_region!r})"

    def answered(
        self, status: int, called: float, started: float, first_at: float, last_at: float
    ) -> None:
        """A request has ended with a response of ``status``.

        It was called, or meant to begin, at ``called``; its last attempt's first byte was sent at
        ``started``, and the response's first and last byte came at ``first_at`` and ``last_at``:
        all by ``time.perf_counter``.
        """
        # Most are 200, and as many as there are moments of nothing else.
        if status != 200:
            self._answers[status] += 1
        self._moments += called, started, first_at, last_at

    def overhead(self, seconds: float) -> None:
        """Time to first byte of an answered request, less what the server says that it took."""
        self._overheads.append(seconds)

    def refused(self, status: int, sent: float, at: float, *, container: str | None = None) -> None:
        """An attempt, sent at ``sent``, was refused at ``at``; it has not ended its request.

        ``container`` is the one that the response names: the proxy's own 503 names none.
        """
        self.outcomes[outcome_of_status(status)] += 1
        self.codes[status] = self.codes.get(status, 0) + 1
        if status == COLD_START:
            self.window.refused(sent, at)
            self.watch.refusals += 1
            if container is not None:
                self.container_refusals += 1
        else:
            self.window.answered(sent, at)

    def settle(self) -> None:
        """Put what was answered into the counters and histograms."""
        if self._moments:
            moments, self._moments = self._moments, []
            answers, self._answers = self._answers, defaultdict(int)
            answers[200] = len(moments) // 4 - sum(answers.values())
            for status, count in answers.items():
                if count:
                    self.outcomes[outcome_of_status(status)] += count
                    self.codes[status] = self.codes.get(status, 0) + count
                    self.requests += count
            called, started, first_at, last_at = _array(moments).reshape(-1, 4).T
            self.request_duration.record_many(last_at - started)
            self.time_to_first_byte.record_many(first_at - started)
            self.response_time.record_many(last_at - called)
            self._end_window(started, first_at)
            self.watch.answers += len(called)
        if self._overheads:
            overheads, self._overheads = self._overheads, []
            self.edge_overhead.record_many(_array(overheads))

    def _end_window(
        self, started: npt.NDArray[np.float64], first_at: npt.NDArray[np.float64]
    ) -> None:
        opened = self.window.opened
        if opened is not None and (since := started >= opened).any():
            first = int(np.where(since, first_at, np.inf).argmin())
            self.window.answered(float(started[first]), float(first_at[first]))

    def since(self, earlier: "Channel") -> ChannelDelta:
        """What was counted since it was as ``earlier``."""
        return ChannelDelta(
            region=self.region,
            routing=self.routing,
            outcomes=[
                (str(name), count - earlier.outcomes[name])
                for name, count in self.outcomes.items()
                if count != earlier.outcomes[name]
            ],
            codes=[
                (code, count - earlier.codes.get(code, 0))
                for code, count in self.codes.items()
                if count != earlier.codes.get(code, 0)
            ],
            counts=[
                (name, getattr(self, name) - getattr(earlier, name))
                for name in CHANNEL_COUNTS
                if getattr(self, name) != getattr(earlier, name)
            ],
            histograms=[
                (name, grown)
                for name in CHANNEL_HISTOGRAMS
                if (grown := getattr(self, name).since(getattr(earlier, name))) is not None
            ],
        )

    def take(self) -> ChannelDelta | None:
        """What was counted since the last taking, ``None`` for nothing."""
        taken = self.since(_UNUSED)
        if not (taken["outcomes"] or taken["counts"] or taken["histograms"]):
            return None
        self.outcomes = dict.fromkeys(OUTCOMES, 0)
        self.codes = {}
        for name in CHANNEL_COUNTS:
            setattr(self, name, 0)
        for name in CHANNEL_HISTOGRAMS:
            getattr(self, name).take()
        return taken

    def add(self, delta: ChannelDelta) -> None:
        """Add what another channel took."""
        outcomes: dict[Any, int] = self.outcomes
        for outcome, count in delta["outcomes"]:
            outcomes[outcome] += count
        for code, count in delta["codes"]:
            self.codes[code] = self.codes.get(code, 0) + count
        for name, count in delta["counts"]:
            if name in CHANNEL_COUNTS:
                setattr(self, name, getattr(self, name) + count)
        for name, histogram in delta["histograms"]:
            if name in CHANNEL_HISTOGRAMS:
                getattr(self, name).add(histogram)


_UNUSED: Final = Channel("", "")
_Key = tuple[str | None, str, str]  # client region, region, routing


class Recorder:
    """The channels of a process and, on a master, the gauges of its workers.

    ``client_region`` is where this process runs, ``None`` if nobody said; workers have theirs.
    ``clock`` is that of all moments. ``windows`` has how long each region's cold starts took,
    wherever that was seen from. ``refused_sessions`` tells of sessions that met 503s beside others'
    answers.
    """

    def __init__(
        self, client_region: str | None = None, *, clock: Callable[[], float] = perf_counter
    ) -> None:
        self.client_region = client_region
        self.windows: dict[str, Histogram] = {}
        self.cold_starts = ColdStarts(clock)
        self.refused_sessions = RefusedSessions()
        self._channels: dict[_Key, Channel] = {}
        self._connects: dict[tuple[str | None, str], Histogram] = {}
        self._of_workers: dict[str, dict[_Key, tuple[int, int]]] = {}

    def __repr__(self) -> str:
        return f"Recorder({', '.join(map(repr, self))})"

    def __iter__(self) -> Iterator[Channel]:
        self.settle()
        return iter(
            sorted(
                self._channels.values(),
                key=lambda c: (c.client_region or "", c.region, c.routing),
            )
        )

    def channel(self, region: str, routing: str) -> Channel:
        """The channel of a region and routing, seen from here; made on the first use."""
        return self._channel((self.client_region, region, routing))

    def connects(self, region: str) -> Histogram:
        """How long new connections to a region took, from here; made on the first use."""
        return self._connects.setdefault((self.client_region, region), Histogram())

    def all_connects(self) -> list[tuple[str | None, str, Histogram]]:
        """Client region, region, and how long new connections took, in their order."""
        return sorted(
            ((client, region, made) for (client, region), made in self._connects.items()),
            key=lambda one: (one[0] or "", one[1]),
        )

    def settle(self) -> None:
        """Bring all channels up to date; to be called often, for what is not settled takes room."""
        for channel in self._channels.values():
            channel.settle()
        self.cold_starts.settle()

    def run_ended(self) -> None:
        """Nobody asks any more: of what goes on there will be no end."""
        self.settle()
        self.cold_starts.run_ended()

    def users(self, channel: Channel) -> int:
        """Users of a channel, in this process and in all workers."""
        return channel.gauges.users + sum(self._told(channel, 0))

    def in_flight(self, channel: Channel) -> int:
        """Requests in flight of a channel, in this process and in all workers."""
        return channel.gauges.in_flight + sum(self._told(channel, 1))

    def since(self, earlier: "Recorder") -> "Recorder":
        """What was counted since it was as ``earlier``, of an empty one everything, without gauges.

        It is made of copies, which what is counted later does not change.
        """
        grown = Recorder(self.client_region)
        self.settle()
        for key, channel in self._channels.items():
            grown._channel(key).add(channel.since(earlier._channels.get(key, _UNUSED)))
        _add_grown(grown._connects, self._connects, earlier._connects)
        _add_grown(grown.windows, self.windows, earlier.windows)
        return grown

    def total(self) -> Channel:
        """All channels added up, without gauges."""
        total = Channel("", "")
        for channel in self:
            total.add(channel.since(_UNUSED))
        return total

    def take(self) -> Delta:
        """What was counted since the last taking; counters start from zero again."""
        channels = [taken for channel in self if (taken := channel.take()) is not None]
        connects = [
            (region, made)
            for (_, region), histogram in self._connects.items()
            if (made := histogram.take()) is not None
        ]
        gauges = [
            (channel.region, channel.routing, channel.gauges.users, channel.gauges.in_flight)
            for channel in self
        ]
        return Delta(
            client_region=self.client_region,
            channels=channels,
            connects=connects,
            cold_starts=self.cold_starts.take(),
            refused_sessions=self.refused_sessions.take(),
            gauges=gauges,
        )

    def merge(self, worker: str, delta: Delta, *, gauges: bool = True) -> None:
        """Add what ``worker`` took from its own recorder.

        Its gauges replace its last ones, unless it is not ``gauges``: a report that comes late.
        """
        client_region = delta["client_region"]
        for of_channel in delta["channels"]:
            key = (client_region, of_channel["region"], of_channel["routing"])
            self._channel(key).add(of_channel)
        for region, histogram in delta["connects"]:
            self._connects.setdefault((client_region, region), Histogram()).add(histogram)
        if gauges:
            self._of_workers[worker] = {
                (client_region, region, routing): (users, in_flight)
                for region, routing, users, in_flight in delta["gauges"]
            }
        for region, routing, _, _ in delta["gauges"]:
            self._channel((client_region, region, routing))
        self.cold_starts.merge(worker, delta["cold_starts"])
        self.refused_sessions.merge(delta["refused_sessions"])

    def keep_workers(self, present: set[str]) -> None:
        """Forget the gauges of workers that are gone; what they counted stays."""
        for worker in self._of_workers.keys() - present:
            del self._of_workers[worker]
        self.cold_starts.keep_workers(present)

    def _channel(self, key: _Key) -> Channel:
        if key not in self._channels:
            client_region, region, routing = key
            durations = self.windows.setdefault(region, Histogram())
            window = self.cold_starts.window(region, durations.record)
            watch = self.refused_sessions.watch(region)
            self._channels[key] = Channel(
                region, routing, client_region, window=window, watch=watch
            )
            self._connects.setdefault((client_region, region), Histogram())
        return self._channels[key]

    def _told(self, channel: Channel, which: int) -> list[int]:
        key = (channel.client_region, channel.region, channel.routing)
        return [told[key][which] for told in self._of_workers.values() if key in told]


_K = TypeVar("_K")


def _add_grown(
    grown: dict[_K, Histogram], now: dict[_K, Histogram], earlier: dict[_K, Histogram]
) -> None:
    for key, histogram in now.items():
        delta = histogram.since(earlier.get(key, _EMPTY))
        mine = grown.setdefault(key, Histogram())
        if delta is not None:
            mine.add(delta)


def _array(seconds: list[float]) -> npt.NDArray[np.float64]:
    # Several times as fast as numpy's own way from a list.
    return np.frombuffer(array("d", seconds))
