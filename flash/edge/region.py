"""What the connections of one region have in common."""

import asyncio
import random
from collections.abc import Coroutine
from hmac import compare_digest
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from flash.edge.counters import RegionCounters
from flash.edge.delay import Timers
from flash.edge.faults import Faults
from flash.edge.open_files import ConnectionLimit
from flash.edge.request_head import RequestHead, parse_request

if TYPE_CHECKING:
    from flash.edge.client import ClientConnection
    from flash.edge.upstream import UpstreamConnection

__all__ = ["LONGEST_REMEMBERED", "Pool", "RegionalProxy", "Upstream"]

LONGEST_REMEMBERED: Final = 2048
"""Bytes; the head of a request that is longer is taken apart each time it comes."""

# A client's head is mostly the same each time: it is taken apart once.
_MOST_HEADS: Final = 2048
# As clients commonly write it; every other form is found by taking the head apart.
_SESSION: Final = b"\r\nModal-Session-ID: "
_SESSION_LOWER: Final = _SESSION.lower()
_NAME: Final = len(_SESSION) - 2
_VISIBLE: Final = bytes(range(0x21, 0x7F))


class Upstream(Protocol):
    """A live container as the data plane needs it."""

    host: str
    port: int
    in_flight: int
    idle: "list[UpstreamConnection]"
    routed: bytes
    """The field line that names the container in responses."""

    @property
    def task_id(self) -> str: ...


class Pool(Protocol):
    """Who knows the containers."""

    def choose(self, session: str | None) -> Upstream | None: ...

    def saturated(self, container: Upstream) -> bool:
        """Whether it is at its hard limit, so that a request is turned away."""

    def refused(self) -> None:
        """A request found no container."""

    def unreachable(self, container: Upstream) -> None:
        """A connection to it failed; it must not be chosen until it is checked again."""

    def misbehaved(self, container: Upstream, what: str) -> None:
        """It did ``what`` no server should, so that a request failed."""

    def short_of(self, error: OSError) -> None:
        """This machine lacks what a connection to a container needs."""

    def entered(self, container: Upstream) -> None: ...

    def left(self, container: Upstream) -> None: ...


class RegionalProxy:
    """One region: its round trip, faults, counters and credentials, and its open connections.

    ``half_trip_s`` is how late each direction is, ``bytes_per_s`` the most that responses get (0
    for no limit), ``faulty`` whether :meth:`fault` has to be asked, ``guarded`` whether
    :meth:`refusal` has, ``limit`` who may stay connected.

    Not safe to use from several threads; everything happens on one event loop.
    """

    def __init__(
        self,
        region: str,
        pool: Pool,
        timers: Timers,
        *,
        rtt_s: float = 0.0,
        tokens: tuple[tuple[str, str], ...] = (),
        foreign_tokens: tuple[tuple[str, str], ...] = (),
        limit: ConnectionLimit | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.region = region
        self.pool = pool
        self.timers = timers
        self.rtt_s = rtt_s
        self.guarded = bool(tokens)
        self.half_trip_s = 0.0
        self.bytes_per_s = 0.0
        self.faulty = False
        self.faults = Faults()
        self.counters = RegionCounters()
        self.line = b"x-edge-region: " + region.encode() + b"\r\n"
        self.connections: set[ClientConnection] = set()
        self.reading_heads: set[ClientConnection] = set()
        self.paused: set[ClientConnection] = set()
        self.limit = limit or ConnectionLimit(inf, lambda: None)
        self.rng = rng or random.Random()
        self._tokens = _accepted(tokens)
        self._foreign = _accepted(foreign_tokens)
        self._heads: dict[bytes, RequestHead] = {}
        # What was around the session in the last head that had one.
        self._around: tuple[bytes, bytes, RequestHead | None] = (b"", b"", None)
        self._tasks: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        return f"RegionalProxy({self.region!r}, {len(self.connections)} connections)"

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run ``work`` beside everything else; it is kept from being collected until it ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def faults(self) -> Faults:
        """What goes wrong on purpose."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self.half_trip_s = (self.rtt_s + faults.latency_s) / 2
        self.bytes_per_s = faults.body_bytes_per_s
        self.faulty = bool(faults.reset_share or faults.refuse_next or faults.refuse_share)

    def parse(self, head: bytes) -> tuple[RequestHead, str | None, bytes]:
        """A whole request head taken apart, its session, and what to add to ``forward`` for it.

        Heads that come again and again are taken apart once, whatever the session they name.

        Raises:
            RequestError: the head is refused.
        """
        before, after, request = self._around
        if request is not None and head.startswith(before) and head.endswith(after):
            begin, end = len(before), len(head) - len(after)
            session = head[begin:end]
            if _is_plain(session):
                return request, session.decode("latin-1"), head[begin - _NAME : end + 2]
        at = head.find(_SESSION)
        if at < 0:
            at = head.find(_SESSION_LOWER)
        if at > 0:
            begin = at + len(_SESSION)
            end = head.find(b"\r\n", begin)
            session = head[begin:end]
            if _is_plain(session):
                request = self._recall(head[:at] + head[end:])
                if request.session is None:
                    self._around = head[:begin], head[end:], request
                    return request, session.decode("latin-1"), head[begin - _NAME : end + 2]
        request = self._recall(head)
        return request, request.session, b""

    def _recall(self, head: bytes) -> RequestHead:
        request = self._heads.get(head)
        if request is None:
            request = parse_request(head, guarded=self.guarded)
            if len(head) <= LONGEST_REMEMBERED:
                if len(self._heads) >= _MOST_HEADS:
                    self._heads.clear()
                self._heads[head] = request
        return request

    def fault(self) -> int | None:
        """What goes wrong on purpose with this request: a status, 0 for a reset, or nothing."""
        faults = self.faults
        if faults.reset_share and self.rng.random() < faults.reset_share:
            return 0
        if faults.refuse_next:
            self.faults = faults.changed({"refuse_next": faults.refuse_next - 1})
            return 503
        if faults.refuse_share and self.rng.random() < faults.refuse_share:
            return 503
        return None

    def refusal(self, request: RequestHead) -> int:
        """The status that the request's credentials earn, 0 where they let it pass."""
        if not self._tokens:
            return 0
        if request.modal_key or request.modal_secret:
            given = request.modal_key + b"." + request.modal_secret
        else:
            scheme, _, given = request.authorization.partition(b" ")
            given = given.strip() if scheme.lower() == b"bearer" else b""
        # Every one is compared, so that the time tells nothing.
        if any([compare_digest(given, token) for token in self._tokens]):
            return 0
        return 403 if any([compare_digest(given, token) for token in self._foreign]) else 401

    def sweep(self, now: float) -> None:
        """Called each second: refuses clients whose head takes too long, and finds those that went
        while nothing was read from them; ``now`` by ``perf_counter``."""
        for connection in list(self.reading_heads):
            connection.head_overdue(now)
        for connection in list(self.paused):
            connection.abort_if_gone()


def _is_plain(session: bytes) -> bool:
    """Whether it is of visible characters only: no blank around it, and no doubt where it ends."""
    return session != b"" and not session.translate(None, _VISIBLE)


def _accepted(tokens: tuple[tuple[str, str], ...]) -> tuple[bytes, ...]:
    return tuple(f"{token_id}.{secret}".encode() for token_id, secret in tokens)
