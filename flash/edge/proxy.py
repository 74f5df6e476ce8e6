"""The data plane of one region: a client's connection, and a container's.

Heads are taken apart and written anew; bodies pass as they come, checked for where they end. A
side that is slow to take bytes makes the other side wait. Requests of one connection are served in
their order. Whatever goes away takes its other side with it at once, so that no broken body ever
looks whole.

The client is taken to be where the proxy is. A round trip to the containers is emulated half before
the request's head goes on and half before the response's; answers of the edge itself have none.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from hmac import compare_digest
from time import perf_counter
from typing import Final, Protocol, cast

from flash.edge.chunked import ChunkedBody, ChunkedError
from flash.edge.counters import RegionCounters
from flash.edge.delay import Timers
from flash.edge.faults import Faults
from flash.edge.request_head import LONGEST_HEAD, RequestError, RequestHead, parse_request
from flash.edge.response_head import ResponseError, ResponseHead, parse_response

__all__ = ["ClientConnection", "Pool", "RegionalProxy", "Upstream", "UpstreamConnection"]

HEAD_WITHIN_S: Final = 10.0
"""A request's head must be whole this long after its first byte; 408 otherwise."""

_LONGEST_PENDING: Final = 64 * 1024
_LONGEST_DISCARDED: Final = 1 << 20
_MOST_HEADS: Final = 2048
_MOST_IDLE: Final = 1024
_CLIENT_GONE: Final = 499  # as nginx writes it

_REASONS: Final = {
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    408: b"Request Timeout",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    505: b"HTTP Version Not Supported",
}


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

    def saturated(self, container: Upstream) -> bool: ...

    def refused(self) -> None:
        """A request found no container."""

    def entered(self, container: Upstream) -> None: ...

    def left(self, container: Upstream) -> None: ...


class RegionalProxy:
    """What the connections of one region have in common."""

    def __init__(
        self,
        region: str,
        pool: Pool,
        timers: Timers,
        *,
        rtt_s: float = 0.0,
        tokens: tuple[tuple[str, str], ...] = (),
        foreign_tokens: tuple[tuple[str, str], ...] = (),
        rng: random.Random | None = None,
    ) -> None:
        self.region = region
        self.pool = pool
        self.timers = timers
        self.rtt_s = rtt_s
        self.faults = Faults()
        self.counters = RegionCounters()
        self.line = b"x-edge-region: " + region.encode() + b"\r\n"
        self.connections: set[ClientConnection] = set()
        self.reading_heads: set[ClientConnection] = set()
        self.rng = rng or random.Random()
        self._tokens = _accepted(tokens)
        self._foreign = _accepted(foreign_tokens)
        self._heads: dict[bytes, RequestHead] = {}
        self._tasks: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        return f"RegionalProxy({self.region!r}, {len(self.connections)} connections)"

    def spawn(self, work: Coroutine[None, None, None]) -> None:
        """Run ``work`` beside everything else; it is kept from being collected until it ends."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def half_trip_s(self) -> float:
        return (self.rtt_s + self.faults.latency_s) / 2

    def parse(self, head: bytes) -> RequestHead:
        """As :func:`parse_request`; heads that come again and again are taken apart once."""
        request = self._heads.get(head)
        if request is None:
            request = parse_request(head)
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[head] = request
        return request

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
        """Refuse clients whose head takes too long; ``now`` by ``perf_counter``."""
        for connection in list(self.reading_heads):
            connection.head_overdue(now)


class ClientConnection(asyncio.Protocol):
    """One connection of a client, and the request that is being served on it."""

    __slots__ = (
        "_attempts",
        "_body_left",
        "_busy",
        "_chunks",
        "_closing",
        "_container",
        "_discarded",
        "_eof",
        "_forwarded",
        "_forwarding",
        "_head_began",
        "_overhead",
        "_pending",
        "_proxy",
        "_reading_paused",
        "_received",
        "_request",
        "_slow",
        "_transport",
        "_tunnel",
        "_upstream",
        "_writable",
    )

    def __init__(self, proxy: RegionalProxy) -> None:
        self._proxy = proxy
        self._transport: asyncio.Transport | None = None
        self._forwarded = b""
        self._pending = b""
        self._busy = False
        self._closing = False
        self._eof = False
        self._request: RequestHead | None = None
        self._container: Upstream | None = None
        self._upstream: UpstreamConnection | None = None
        self._body_left = 0
        self._chunks: ChunkedBody | None = None
        self._discarded = -1
        self._forwarding = False
        self._tunnel = False
        self._attempts = 0
        self._received = 0.0
        self._overhead = 0.0
        self._head_began = 0.0
        self._reading_paused = False
        self._writable = True
        self._slow: SlowBody | None = None

    def __repr__(self) -> str:
        return f"ClientConnection({self._proxy.region!r}, busy={self._busy})"

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
        self._forwarded = b"x-forwarded-for: " + address.encode() + b"\r\n"
        self._proxy.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self._read_head(self._pending + data if self._pending else data)
        elif self._tunnel:
            if self._upstream is not None:
                self._upstream.write(data)
        elif self._discarded >= 0:
            self._discard(data)
        elif self._forwarding and self._body_open():
            self._pass_body(data)
        else:
            self._pending += data
            if len(self._pending) > _LONGEST_PENDING:
                self._pause_reading()

    def eof_received(self) -> bool:
        if self._tunnel and self._upstream is not None:
            self._upstream.write_eof()
            return True
        # A half-closed client still reads the answers to whole requests.
        self._eof = True
        return self._request is not None and not self._body_open()

    def connection_lost(self, exc: Exception | None) -> None:
        self._proxy.connections.discard(self)
        self._proxy.reading_heads.discard(self)
        self._transport = None
        upstream = self._upstream
        if self._request is not None:
            self._end_exchange(_CLIENT_GONE if upstream is None else upstream.code or _CLIENT_GONE)
        if upstream is not None:
            upstream.abort()

    def pause_writing(self) -> None:
        self._writable = False
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        if self._upstream is not None and self._slow is None:
            self._upstream.resume_reading()

    # Requests.

    def _read_head(self, data: bytes) -> None:
        if data.startswith(b"\r\n"):  # RFC 9112 section 2.2: one empty line is to be ignored
            data = data[2:]
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > LONGEST_HEAD:
            self._pending = data
            if len(data) > LONGEST_HEAD:
                self._refuse(431)
            elif self._eof:
                self._close()
            elif data and self not in self._proxy.reading_heads:
                self._head_began = perf_counter()
                self._proxy.reading_heads.add(self)
            return
        self._proxy.reading_heads.discard(self)
        self._received = perf_counter()
        self._pending = data[end + 4 :]
        try:
            request = self._proxy.parse(data[: end + 4])
        except RequestError as error:
            self._refuse(error.status)
            return
        self._serve(request)

    def _serve(self, request: RequestHead) -> None:
        proxy = self._proxy
        self._busy = True
        self._request = request
        self._body_left = request.length or 0
        self._chunks = ChunkedBody() if request.length is None else None
        self._attempts = 0
        self._overhead = 0.0
        if status := proxy.refusal(request):
            self._answer(status)
            return
        faults = proxy.faults
        if faults.reset_share and proxy.rng.random() < faults.reset_share:
            self._end_exchange(0)
            self._abort()
            return
        if faults.refuse_next:
            proxy.faults = faults.changed({"refuse_next": faults.refuse_next - 1})
            self._answer(503)
            return
        if faults.refuse_share and proxy.rng.random() < faults.refuse_share:
            self._answer(503)
            return
        container = proxy.pool.choose(request.session)
        if container is None:
            proxy.pool.refused()
            self._answer(503)
            return
        if proxy.pool.saturated(container):
            self._answer(429)
            return
        self._container = container
        proxy.pool.entered(container)
        half = proxy.half_trip_s()
        if half:
            self._overhead -= half
            proxy.timers.call_after(half, self._forward_if_open)
        else:
            self._forward()

    def _forward_if_open(self) -> None:
        if self._transport is not None and self._container is not None and not self._forwarding:
            self._forward()

    def _forward(self) -> None:
        container = self._container
        assert container is not None
        idle = container.idle
        while idle:
            upstream = idle.pop()
            if upstream.usable():
                self._attach(upstream)
                return
        self._proxy.spawn(self._connect(container))

    async def _connect(self, container: Upstream) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, upstream = await loop.create_connection(
                lambda: UpstreamConnection(container), container.host, container.port
            )
        except OSError:
            if self._transport is not None and self._container is container:
                self._answer(502)
            return
        if self._transport is None or self._container is not container:
            upstream.abort()
            return
        self._attach(upstream)

    def _attach(self, upstream: "UpstreamConnection") -> None:
        request = self._request
        assert request is not None
        self._upstream = upstream
        self._forwarding = True
        forwarded = self._forwarded
        if request.forwarded_for:
            forwarded = b"x-forwarded-for: %b, %b" % (request.forwarded_for, forwarded[17:])
        upstream.begin(
            self, request, request.forward + forwarded + b"x-forwarded-proto: http\r\n\r\n"
        )
        self._overhead += perf_counter() - self._received
        if self._body_open() and self._pending:
            pending, self._pending = self._pending, b""
            self._pass_body(pending)
        if not upstream.writable:
            self._pause_reading()
        elif self._reading_paused and self._body_open():
            self._resume_reading()

    def _body_open(self) -> bool:
        return self._body_left > 0 or (self._chunks is not None and not self._chunks.done)

    def _pass_body(self, data: bytes) -> None:
        try:
            body, self._pending = self._take_body(data)
        except ChunkedError:
            upstream = self._upstream
            if upstream is not None and upstream.code:
                self._end_exchange(upstream.code)
                self._abort()
            else:
                self._end_exchange(400)
                self._refuse(400, counted=True)
            if upstream is not None:
                upstream.abort()
            return
        if self._upstream is not None and body:
            self._upstream.write(body)

    def _take_body(self, data: bytes) -> tuple[bytes, bytes]:
        """The part of the bytes that is of the open body, and what follows it."""
        if self._chunks is not None:
            taken = self._chunks.feed(data)
        else:
            taken = min(self._body_left, len(data))
            self._body_left -= taken
        return (data, b"") if taken == len(data) else (data[:taken], data[taken:])

    # Responses.

    def respond(self, data: bytes) -> None:
        """Bytes of the container's response."""
        if self._transport is None:
            return
        if self._slow is not None:
            self._slow.write(data)
        else:
            self._transport.write(data)

    def response_head(self, response: ResponseHead, rest: bytes, received: float) -> None:
        """The container's response has begun; ``rest`` is what came with its head."""
        request, container = self._request, self._container
        assert request is not None
        assert container is not None
        close = self._must_close(request, response)
        head = b"".join(
            (
                response.head,
                self._proxy.line,
                container.routed,
                b"connection: close\r\n\r\n" if close else b"\r\n",
                rest,
            )
        )
        self._closing = self._closing or close
        if self._proxy.faults.body_bytes_per_s and self._transport is not None:
            self._slow = SlowBody(self._transport, self._proxy)
        self._overhead += perf_counter() - received
        self.respond(head)

    def interim(self, head: bytes) -> None:
        """A 1xx response of the container; clients of HTTP/1.0 know none."""
        if self._request is not None and not self._request.old:
            self.respond(head + b"\r\n")

    def _must_close(self, request: RequestHead, response: ResponseHead) -> bool:
        if response.status == 101:
            return False
        endless = response.length is None and not response.chunked
        return not request.keep_alive or request.old or endless or self._body_open()

    def response_done(self) -> None:
        """The container's response is whole."""
        upstream = self._upstream
        self._upstream = None
        assert upstream is not None
        self._proxy.counters.overhead.observe(max(0.0, self._overhead))
        if self._body_open():
            # The container answered without reading all; what else it would get is nobody's.
            upstream.abort()
        else:
            upstream.release(_MOST_IDLE)
        self._end_exchange(upstream.code)
        if self._slow is not None:
            slow, self._slow = self._slow, None
            slow.finish(self._next if not self._closing else self._close)
        else:
            self._close() if self._closing else self._next()

    def tunnel(self) -> None:
        """Both sides agreed to speak another protocol: bytes pass as they are from now on."""
        self._tunnel = True
        pending, self._pending = self._pending, b""
        if pending and self._upstream is not None:
            self._upstream.write(pending)
        self._resume_reading()

    def upstream_lost(self, *, begun: bool, reused: bool) -> None:
        """The container's connection ended before its response was whole."""
        request, upstream = self._request, self._upstream
        self._upstream = None
        if self._transport is None or request is None or upstream is None:
            return
        if self._tunnel:
            self._end_exchange(101)
            self._close()
        elif begun:
            self._end_exchange(upstream.code)
            self._abort()
        elif reused and request.idempotent and not request.has_body and not self._attempts:
            # The container closed an idle connection as we used it (RFC 9110 section 9.2.2).
            self._attempts += 1
            container = self._container
            assert container is not None
            self._proxy.spawn(self._connect(container))
        else:
            self._answer(502)

    def upstream_broken(self) -> None:
        """The container sent what is no HTTP response."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.abort()
        self._answer(502)

    def pause_reading_for(self) -> None:
        """The container is slow to take the request's body."""
        self._pause_reading()

    def resume_reading_for(self) -> None:
        self._resume_reading()

    # Answers of the edge itself.

    def _answer(self, status: int) -> None:
        """Answer in the container's place, with no body; the connection stays if it can."""
        request = self._request
        assert request is not None
        self._end_exchange(status)
        self._forwarding = False
        keep = (
            request.keep_alive
            and not request.old
            and not self._closing
            and self._body_left <= _LONGEST_DISCARDED
        )
        self._write_answer(status, close=not keep)
        if not keep:
            self._close()
        elif self._body_open():
            self._busy = True  # until the rest of the body has passed by
            self._discarded = 0
            if self._reading_paused:
                self._resume_reading()
            pending, self._pending = self._pending, b""
            self._discard(pending)
        else:
            self._next()

    def _discard(self, data: bytes) -> None:
        try:
            body, self._pending = self._take_body(data)
        except ChunkedError:
            self._close()
            return
        self._discarded += len(body)
        if self._discarded > _LONGEST_DISCARDED:
            self._close()
        elif not self._body_open():
            self._discarded = -1
            self._next()

    def _refuse(self, status: int, *, counted: bool = False) -> None:
        """Answer what is no request, and close: nobody knows where the next would begin."""
        if not counted:
            self._proxy.counters.ended(status)
        self._proxy.reading_heads.discard(self)
        self._write_answer(status, close=True)
        self._busy = True  # whatever else comes is not read
        self._body_left = 0
        self._chunks = None
        self._close()

    def _write_answer(self, status: int, *, close: bool) -> None:
        if self._transport is None:
            return
        self._transport.write(
            b"HTTP/1.1 %d %b\r\n%bcontent-length: 0\r\n%b\r\n"
            % (
                status,
                _REASONS[status],
                self._proxy.line,
                b"connection: close\r\n" if close else b"",
            )
        )

    def head_overdue(self, now: float) -> None:
        if now - self._head_began > HEAD_WITHIN_S:
            self._refuse(408)

    # The end of a request, and of the connection.

    def _end_exchange(self, code: int) -> None:
        container, self._container = self._container, None
        if container is not None:
            self._proxy.pool.left(container)
        self._proxy.counters.ended(code)
        self._busy = False
        self._request = None

    def _next(self) -> None:
        """Ready for another request, which may be here already."""
        self._forwarding = False
        self._busy = False
        if self._reading_paused:
            self._resume_reading()
        if self._pending and self._transport is not None:
            asyncio.get_running_loop().call_soon(self._read_pending)
        elif self._eof:
            self._close()

    def _read_pending(self) -> None:
        if not self._busy and self._transport is not None and self._pending:
            pending, self._pending = self._pending, b""
            self._read_head(pending)

    def close_when_idle(self) -> None:
        """No further request on this connection; one in progress is served to its end."""
        self._closing = True
        if not self._busy:
            self._close()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def abort(self) -> None:
        """End the connection now."""
        self._abort()

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()


class UpstreamConnection(asyncio.Protocol):
    """One connection to a container; serves one request at a time, and idles between them."""

    __slots__ = (
        "_buffer",
        "_chunks",
        "_client",
        "_container",
        "_delayed",
        "_keep_alive",
        "_left",
        "_paused",
        "_request",
        "_reused",
        "_transport",
        "_waiting_for_trip",
        "code",
        "writable",
    )

    def __init__(self, container: Upstream) -> None:
        self._container = container
        self._transport: asyncio.Transport | None = None
        self._client: ClientConnection | None = None
        self._request: RequestHead | None = None
        self._buffer = b""
        self._left: int | None = 0
        self._chunks: ChunkedBody | None = None
        self._keep_alive = True
        self._reused = False
        self._delayed = False
        self._waiting_for_trip = False
        self._paused = False
        self.code = 0
        self.writable = True

    def begin(self, client: ClientConnection, request: RequestHead, head: bytes) -> None:
        """Send a request's head; the response goes to ``client``."""
        self._reused = self._client is None and self.code != 0
        self._client = client
        self._request = request
        self._buffer = b""
        self._left = 0
        self._chunks = None
        self._delayed = False
        self.code = 0
        self.write(head)

    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def write_eof(self) -> None:
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def release(self, most_idle: int) -> None:
        """The response is whole: wait for another request, or close."""
        self._client = None
        self._request = None
        idle = self._container.idle
        if self._keep_alive and self.usable() and len(idle) < most_idle:
            # Read on, so that its closing is noticed.
            self.resume_reading()
            idle.append(self)
        else:
            self.abort()

    def abort(self) -> None:
        self._client = None
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._paused or self._waiting_for_trip:
            return
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        self.writable = False
        if self._client is not None:
            self._client.pause_reading_for()

    def resume_writing(self) -> None:
        self.writable = True
        if self._client is not None:
            self._client.resume_reading_for()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        client, self._client = self._client, None
        if client is None:
            if self in self._container.idle:
                self._container.idle.remove(self)
        elif self.code and self._left is None and self._chunks is None and exc is None:
            client.response_done()
        else:
            client.upstream_lost(begun=self.code != 0, reused=self._reused)

    def data_received(self, data: bytes) -> None:
        client = self._client
        if client is None:
            self.abort()  # nobody asked for it
        elif self.code == 101:
            client.respond(data)
        elif self.code:
            self._body(client, data)
        else:
            half = client._proxy.half_trip_s()
            if half and not self._delayed:
                self._delayed = self._waiting_for_trip = True
                client._overhead -= half
                self.pause_reading()
                received = perf_counter()
                client._proxy.timers.call_after(half, lambda: self._after_trip(data, received))
            else:
                self._head(client, data, perf_counter())

    def _after_trip(self, data: bytes, received: float) -> None:
        self._waiting_for_trip = False
        client = self._client
        if client is None or self._transport is None:
            return
        if client._writable:
            self.resume_reading()
        self._head(client, data, received)

    def _head(self, client: ClientConnection, data: bytes, received: float) -> None:
        request = self._request
        assert request is not None
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = data
            if len(data) > LONGEST_HEAD:
                client.upstream_broken()
            return
        rest = data[end + 4 :]
        try:
            response = parse_response(data[: end + 4], request.method)
        except ResponseError:
            client.upstream_broken()
            return
        if response.status < 200 and response.status != 101:
            client.interim(response.head)
            self._delayed = False
            if rest:
                self.data_received(rest)
            return
        if response.status == 101 and not request.upgrade:
            client.upstream_broken()
            return
        self.code = response.status
        self._keep_alive = response.keep_alive
        if response.status == 101:
            client.response_head(response, rest, received)
            client.tunnel()
            return
        if response.chunked:
            self._chunks = ChunkedBody()
            self._left = None
            client.response_head(response, b"", received)
            if rest:
                self._body(client, rest)
            return
        self._left = response.length
        if self._left is None:
            self._keep_alive = False
            client.response_head(response, rest, received)
            return
        if len(rest) > self._left:
            # More than was announced: the rest is no part of this response, nor of any other.
            rest = rest[: self._left]
            self._keep_alive = False
        self._left -= len(rest)
        client.response_head(response, rest, received)
        if not self._left:
            client.response_done()

    def _body(self, client: ClientConnection, data: bytes) -> None:
        if self._chunks is not None:
            self._chunked_body(client, self._chunks, data)
        elif self._left is None:
            client.respond(data)
        else:
            if len(data) > self._left:
                data = data[: self._left]
                self._keep_alive = False
            self._left -= len(data)
            client.respond(data)
            if not self._left:
                client.response_done()

    def _chunked_body(self, client: ClientConnection, chunks: ChunkedBody, data: bytes) -> None:
        request = self._request
        assert request is not None
        payload: list[bytes] | None = [] if request.old else None
        try:
            taken = chunks.feed(data, payload)
        except ChunkedError:
            # Half of it is with the client: only a reset tells that the rest is missing.
            self.abort()
            client.upstream_lost(begun=True, reused=False)
            return
        if taken < len(data):
            self._keep_alive = False
            data = data[:taken]
        client.respond(data if payload is None else b"".join(payload))
        if chunks.done:
            client.response_done()


class SlowBody:
    """A fault: hands a response on at so many bytes a second."""

    _EVERY_S: Final = 0.02

    def __init__(self, transport: asyncio.Transport, proxy: RegionalProxy) -> None:
        self._transport = transport
        self._proxy = proxy
        self._waiting = bytearray()
        self._ticking = False
        self._finish: Callable[[], None] | None = None

    def write(self, data: bytes) -> None:
        self._waiting += data
        if not self._ticking:
            self._ticking = True
            self._tick()

    def finish(self, then: Callable[[], None]) -> None:
        """Call ``then`` once everything was handed on."""
        self._finish = then
        if not self._waiting:
            then()

    def _tick(self) -> None:
        if self._transport.is_closing():
            return
        rate = self._proxy.faults.body_bytes_per_s or float("inf")
        step = max(1, int(min(rate * self._EVERY_S, len(self._waiting))))
        self._transport.write(bytes(self._waiting[:step]))
        del self._waiting[:step]
        if self._waiting:
            self._proxy.timers.call_after(max(self._EVERY_S, step / rate), self._tick)
        else:
            self._ticking = False
            if self._finish is not None:
                self._finish()


def _accepted(tokens: tuple[tuple[str, str], ...]) -> tuple[bytes, ...]:
    return tuple(f"{token_id}.{secret}".encode() for token_id, secret in tokens)
