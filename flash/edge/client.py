"""A client's connection to a region: reads requests, forwards them, and answers.

Heads are taken apart and written anew; bodies pass as they come, checked for where they end. A
side that is slow to take bytes makes the other side wait. Requests of one connection are served in
their order. Whatever goes away takes its other side with it at once, so that no broken body ever
looks whole.

The client is taken to be where the proxy is. A round trip to the containers is emulated: half of
it before the request's head goes on, half before each part of the response does. Answers of the
edge itself have none.
"""

import asyncio
import select
import socket
import struct
from time import perf_counter
from typing import Final, cast

from flash.edge.chunked import ChunkedBody, ChunkedError
from flash.edge.delivery import Delivery
from flash.edge.open_files import OWN_SHORTAGES
from flash.edge.prompt_writer import prompt_writer
from flash.edge.region import LONGEST_REMEMBERED, RegionalProxy, Upstream
from flash.edge.request_head import (
    LONGEST_HEAD,
    RequestError,
    RequestHead,
    is_hopeless,
)
from flash.edge.response_head import ResponseHead
from flash.edge.upstream import UpstreamConnection

__all__ = ["HEAD_WITHIN_S", "ClientConnection"]

HEAD_WITHIN_S: Final = 10.0
"""A request's head must be whole this long after its first byte; 408 otherwise."""

_CONNECT_WITHIN_S: Final = 5.0
_LINGER_S: Final = 1.0
_MOST_ATTEMPTS: Final = 8
_LONGEST_PENDING: Final = 64 * 1024
_LONGEST_DISCARDED: Final = 1 << 20
# Only Linux tells of an orderly end while bytes are still unread; a reset is told everywhere.
_GONE: Final[int] = getattr(select, "POLLRDHUP", 0)
_NO_LINGERING: Final = struct.pack("ii", 1, 0)
_CLOSING: Final = b"connection: close\r\n\r\n"
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


class ClientConnection(asyncio.Protocol):
    """One connection of a client, and the request that is being served on it."""

    __slots__ = (
        "_attempts",
        "_body_left",
        "_busy",
        "_chunks",
        "_closing",
        "_code",
        "_container",
        "_delivery",
        "_discarded",
        "_forwarded",
        "_forwarding",
        "_head_began",
        "_last_head",
        "_last_request",
        "_lingering",
        "_overhead",
        "_pending",
        "_proxy",
        "_reading_paused",
        "_received",
        "_request",
        "_sent",
        "_session",
        "_session_line",
        "_transport",
        "_tunnel",
        "_upstream",
        "_writable",
        "_write",
    )

    def __init__(self, proxy: RegionalProxy) -> None:
        self._proxy = proxy
        self._transport: asyncio.Transport | None = None
        self._forwarded = b""
        self._pending = b""
        self._busy = False
        self._closing = False
        self._lingering = False
        self._request: RequestHead | None = None
        self._last_head = b""
        self._last_request: RequestHead | None = None
        self._container: Upstream | None = None
        self._upstream: UpstreamConnection | None = None
        self._delivery: Delivery | None = None
        self._code = 0
        self._body_left = 0
        self._chunks: ChunkedBody | None = None
        self._discarded = -1
        self._forwarding = False
        self._session: str | None = None
        self._session_line = b""
        self._tunnel = False
        self._attempts = 0
        self._sent = False
        self._received = 0.0
        self._overhead = 0.0
        self._head_began = 0.0
        self._reading_paused = False
        self._writable = True

    def __repr__(self) -> str:
        return f"ClientConnection({self._proxy.region!r}, busy={self._busy})"

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not self._proxy.limit.enter():
            cast(asyncio.Transport, transport).abort()
            return
        self._transport = cast(asyncio.Transport, transport)
        self._write = prompt_writer(self._transport)
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) and peer else "unknown"
        self._forwarded = address.encode() + b"\r\nx-forwarded-proto: http\r\n"
        self._proxy.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            if data == self._last_head and not self._pending and self._last_request is not None:
                self._received = perf_counter()
                self._serve(self._last_request)
            else:
                self._read_head(self._pending + data if self._pending else data)
        elif self._tunnel:
            if self._upstream is not None:
                self._upstream.write(data)
        elif self._lingering:
            pass
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
        if self._request is not None:
            # A client that closed and one that only finished sending look the same; as other
            # proxies do, take it for gone, so that the container stops working for nobody.
            self._abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self not in self._proxy.connections:
            return  # it was turned away
        self._proxy.limit.leave()
        self._proxy.connections.discard(self)
        self._proxy.reading_heads.discard(self)
        self._proxy.paused.discard(self)
        upstream, self._upstream = self._upstream, None
        if self._request is not None:
            begun = self._code and (self._delivery is None or self._delivery.started)
            self._ended(self._code if begun else _CLIENT_GONE)
        self._transport = None
        self._delivery = None
        if upstream is not None:
            upstream.abort()

    def pause_writing(self) -> None:
        self._writable = False
        if self._upstream is not None:
            self._upstream.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._response_may_flow()

    # Requests.

    def _read_head(self, data: bytes) -> None:
        if data.startswith(b"\r\n"):  # RFC 9112 section 2.2: one empty line is to be ignored
            data = data[2:]
        end = data.find(b"\r\n\r\n")
        if end < 0 or end > LONGEST_HEAD:
            self._pending = data
            if len(data) > LONGEST_HEAD:
                self._refuse(431)
            elif is_hopeless(data):
                self._refuse(400)
            elif data and self not in self._proxy.reading_heads:
                self._head_began = perf_counter()
                self._proxy.reading_heads.add(self)
            return
        self._received = perf_counter()
        if self._pending:
            self._proxy.reading_heads.discard(self)
        end += 4
        self._pending = data[end:]
        head = data[:end]
        try:
            request, self._session, self._session_line = self._proxy.parse(head)
        except RequestError as error:
            self._refuse(error.status)
            return
        # Most clients send the same head again and again, session and all.
        self._last_head = head if end <= LONGEST_REMEMBERED else b""
        self._last_request = request
        self._serve(request)

    def _serve(self, request: RequestHead) -> None:
        proxy = self._proxy
        self._busy = True
        self._request = request
        self._body_left = request.length or 0
        self._chunks = ChunkedBody() if request.length is None else None
        self._attempts = 0
        self._sent = False
        self._overhead = 0.0
        self._code = 0
        if proxy.guarded and (status := proxy.refusal(request)):
            self._answer(status)
            return
        if proxy.faulty and (fault := proxy.fault()) is not None:
            if fault:
                self._answer(fault)
            else:
                self._ended(0)
                self._reset()
            return
        container = self._enter_container(request)
        if container is None:
            return
        half = proxy.half_trip_s
        if half:
            self._overhead -= half
            proxy.timers.call_after(half, self._forward_if_open)
        else:
            self._forward(container)

    def _enter_container(self, request: RequestHead) -> Upstream | None:
        """The container that serves the request from now on; answers where there is none."""
        pool = self._proxy.pool
        container = pool.choose(self._session)
        if container is None:
            pool.refused()
            self._answer(503)
        elif pool.saturated(container):
            self._answer(429)
            return None
        else:
            self._container = container
            pool.entered(container)
        return container

    def _forward_if_open(self) -> None:
        if self._transport is not None and self._container is not None and not self._forwarding:
            self._forward(self._container)

    def _forward(self, container: Upstream) -> None:
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
            async with asyncio.timeout(_CONNECT_WITHIN_S):
                _, upstream = await loop.create_connection(
                    lambda: UpstreamConnection(container), container.host, container.port
                )
        except OSError as error:  # also a time-out
            if self._transport is not None and self._container is container:
                if error.errno in OWN_SHORTAGES:
                    self._proxy.pool.short_of(error)
                    self._answer(502)
                else:
                    self._unreachable(container)
            return
        if self._transport is None or self._container is not container:
            upstream.abort()
        elif not upstream.usable():
            self._unreachable(container)
        else:
            self._attach(upstream)

    def _unreachable(self, container: Upstream) -> None:
        """Another container can take a request without any risk while nothing of it was sent."""
        request, pool = self._request, self._proxy.pool
        assert request is not None
        pool.unreachable(container)
        self._attempts += 1
        if self._sent or self._attempts >= _MOST_ATTEMPTS:
            self._answer(502)
            return
        self._container = None
        pool.left(container)
        other = self._enter_container(request)
        if other is not None:
            self._forward(other)

    def _attach(self, upstream: UpstreamConnection) -> None:
        request = self._request
        assert request is not None
        self._upstream = upstream
        self._forwarding = True
        upstream.begin(
            self, request, request.forward + self._forwarded + self._session_line + b"\r\n"
        )
        self._overhead += perf_counter() - self._received
        if request.length == 0:
            return
        if self._pending:
            pending, self._pending = self._pending, b""
            self._pass_body(pending)
        if self._reading_paused and upstream.writable and self._body_open():
            self._resume_reading()

    def _body_open(self) -> bool:
        return self._body_left > 0 or (self._chunks is not None and not self._chunks.done)

    def _pass_body(self, data: bytes) -> None:
        try:
            body, self._pending = self._take_body(data)
        except ChunkedError:
            upstream, self._upstream = self._upstream, None
            if upstream is not None:
                upstream.abort()
            if self._code:
                self._ended(self._code)
                self._reset()
            else:
                self._ended(400)
                self._refuse(400, counted=True)
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

    def request_may_flow(self, writable: bool) -> None:
        """Whether the container takes more of the request's body at the moment."""
        if not writable:
            self._pause_reading()
        elif self._body_open() or self._tunnel:
            self._resume_reading()

    # Responses.

    def response_head(self, response: ResponseHead, rest: bytes, received: float) -> None:
        """The container's response has begun; ``rest`` is what came with its head."""
        request, container = self._request, self._container
        assert request is not None
        assert container is not None
        if self._must_close(request, response):
            self._closing = True
        self._code = response.status
        head = response.head
        if request.old and response.chunked:  # the chunks are taken out for it
            head = head.replace(b"transfer-encoding: chunked\r\n", b"")
        self.respond(
            b"".join(
                (
                    head,
                    self._proxy.line,
                    container.routed,
                    b"\r\n" if response.status == 101 else _end_of_head(request, self._closing),
                    rest,
                )
            )
        )
        self._overhead += perf_counter() - received

    def interim(self, head: bytes) -> None:
        """A 1xx response of the container; clients of HTTP/1.0 know none."""
        if self._request is not None and not self._request.old:
            self.respond(head + b"\r\n")

    def respond(self, data: bytes) -> None:
        """Bytes of the container's response."""
        if self._transport is None:
            return
        delivery = self._delivery
        if delivery is None:
            proxy = self._proxy
            if not proxy.half_trip_s and not proxy.bytes_per_s:
                self._write(data)
                return
            self._delivery = delivery = Delivery(
                self._transport,
                proxy.timers,
                self._response_may_flow,
                delay_s=proxy.half_trip_s,
                bytes_per_s=proxy.bytes_per_s,
            )
        delivery.write(data)
        if delivery.full and self._upstream is not None:
            self._upstream.pause_reading()

    def _response_may_flow(self) -> None:
        if (
            self._upstream is not None
            and self._writable
            and (self._delivery is None or not self._delivery.full)
        ):
            self._upstream.resume_reading()

    def _must_close(self, request: RequestHead, response: ResponseHead) -> bool:
        if response.status == 101:
            return False
        endless = response.length is None and not response.chunked
        return (
            not request.keep_alive
            or endless
            or (request.old and response.chunked)
            or self._body_open()
        )

    def response_done(self) -> None:
        """The container's response is whole."""
        upstream, self._upstream = self._upstream, None
        assert upstream is not None
        if self._body_left or (self._chunks is not None and not self._chunks.done):
            # The container answered without reading all; what else it would get is nobody's.
            upstream.abort()
        else:
            upstream.release()
        if self._delivery is not None:
            self._leave_container()
            self._delivery.finish(self._delivered)
        else:
            self._delivered()

    def _delivered(self) -> None:
        delivery, self._delivery = self._delivery, None
        late_s = 0.0 if delivery is None else delivery.late_s
        self._proxy.counters.overhead.observe(max(0.0, self._overhead + late_s))
        self._ended(self._code)
        if self._closing:
            self._finish()
        else:
            self._next()

    def tunnel(self) -> None:
        """Both sides agreed to speak another protocol: bytes pass as they are from now on."""
        self._tunnel = True
        pending, self._pending = self._pending, b""
        if pending and self._upstream is not None:
            self._upstream.write(pending)
        self._resume_reading()

    def tunnel_ended(self) -> None:
        """The container finished its side of the tunnel."""
        if self._delivery is not None:
            self._delivery.finish(self._close)
        else:
            self._close()

    def upstream_lost(self, what: str, *, reused: bool) -> None:
        """The container's connection ended before its response was whole; ``what`` it did."""
        request, self._upstream = self._request, None
        if self._transport is None or request is None:
            return
        assert self._container is not None
        if self._tunnel:
            self.tunnel_ended()
        elif self._code:
            self._proxy.pool.misbehaved(self._container, what)
            # Only a reset tells the client that the rest is missing.
            if self._delivery is not None:
                self._delivery.finish(self._reset)
            else:
                self._reset()
        elif reused and request.idempotent and request.length == 0 and not self._sent:
            # The container closed an idle connection as we used it (RFC 9110 section 9.2.2).
            self._sent = True
            self._forwarding = False
            self._proxy.spawn(self._connect(self._container))
        else:
            self._proxy.pool.misbehaved(self._container, what)
            self._answer(502)

    # Answers of the edge itself.

    def _answer(self, status: int) -> None:
        """Answer in the container's place, with no body; the connection stays if it can."""
        request = self._request
        assert request is not None
        self._forwarding = False
        open_body = self._body_open()
        keep = (
            request.keep_alive
            and not self._closing
            # Whoever waits for leave to send a body may or may not send it after a refusal.
            and not (open_body and request.expects)
            and self._body_left <= _LONGEST_DISCARDED
        )
        self._ended(status)
        self._write_answer(status, _end_of_head(request, not keep))
        if not keep:
            self._finish()
        elif open_body:
            self._busy = True  # until the rest of the body has passed by
            self._discarded = 0
            self._resume_reading()
            pending, self._pending = self._pending, b""
            self._discard(pending)
        else:
            self._next()

    def _discard(self, data: bytes) -> None:
        try:
            body, self._pending = self._take_body(data)
        except ChunkedError:
            self._finish()
            return
        self._discarded += len(body)
        if self._discarded > _LONGEST_DISCARDED:
            self._finish()
        elif not self._body_open():
            self._discarded = -1
            self._next()

    def _refuse(self, status: int, *, counted: bool = False) -> None:
        """Answer what is no request, and close: nobody knows where the next would begin."""
        if not counted:
            self._proxy.counters.ended(status)
        self._proxy.reading_heads.discard(self)
        self._write_answer(status, _CLOSING)
        self._busy = True
        self._finish(linger=True)

    def _write_answer(self, status: int, end: bytes) -> None:
        if self._transport is None:
            return
        self._write(
            b"HTTP/1.1 %d %b\r\n%bcontent-length: 0\r\n%b"
            % (
                status,
                _REASONS[status],
                self._proxy.line,
                end,
            )
        )

    def head_overdue(self, now: float) -> None:
        """Refuse a head that is not whole in time; ``now`` by ``perf_counter``."""
        if now - self._head_began > HEAD_WITHIN_S:
            self._refuse(408)

    def abort_if_gone(self) -> None:
        """The loop does not tell of a client's end while nothing is read from it."""
        if self._transport is None or self._tunnel:
            return
        connection = self._transport.get_extra_info("socket")
        if connection is not None and connection.fileno() >= 0:
            poll = select.poll()
            poll.register(connection.fileno(), _GONE)
            if poll.poll(0):
                self._abort()

    # The end of a request, and of the connection.

    def _leave_container(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            self._proxy.pool.left(container)

    def _ended(self, code: int) -> None:
        self._leave_container()
        self._proxy.counters.ended(code)
        self._busy = False
        self._request = None

    def _next(self) -> None:
        """Ready for another request, which may be here already."""
        self._forwarding = False
        self._busy = False
        if self._closing:
            self._close()
            return
        if self._reading_paused:
            self._resume_reading()
        if self._pending and self._transport is not None:
            asyncio.get_running_loop().call_soon(self._read_pending)

    def _read_pending(self) -> None:
        if not self._busy and self._transport is not None and self._pending:
            pending, self._pending = self._pending, b""
            self._read_head(pending)

    def _finish(self, *, linger: bool = False) -> None:
        """Close after the answer; a client that still sends gets time to read it first.

        Closing with bytes unread resets the connection, and with it the answer on its way.
        """
        transport = self._transport
        if transport is None:
            return
        if not (linger or self._body_open() or self._pending) or not transport.can_write_eof():
            transport.close()
            return
        self._busy = self._lingering = True
        self._pending = b""
        self._resume_reading()
        transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_S, self._close)

    def close_when_idle(self) -> None:
        """No further request on this connection; one in progress is served to its end."""
        self._closing = True
        if not self._busy:
            self._close()

    def abort(self) -> None:
        """End the connection now."""
        self._abort()

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _reset(self) -> None:
        """End the connection so that the client cannot take it for a regular end."""
        if self._transport is None:
            return
        connection = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
        self._transport.abort()

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._proxy.paused.add(self)
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None:
            self._reading_paused = False
            self._proxy.paused.discard(self)
            if not self._transport.is_closing():
                self._transport.resume_reading()


def _end_of_head(request: RequestHead, close: bool) -> bytes:
    """What an answer's head ends with; HTTP/1.0 has to be told that a connection stays."""
    if close:
        return _CLOSING
    return b"connection: keep-alive\r\n\r\n" if request.old else b"\r\n"
