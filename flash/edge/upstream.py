"""A connection to a container: serves one request at a time, and idles between them."""

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Final, cast

from flash.edge.chunked import ChunkedBody, ChunkedError
from flash.edge.prompt_writer import prompt_writer
from flash.edge.region import Upstream
from flash.edge.request_head import LONGEST_HEAD, RequestHead
from flash.edge.response_head import ResponseError, recall_response

if TYPE_CHECKING:
    from flash.edge.client import ClientConnection

__all__ = ["IDLE_SWEEPS", "UpstreamConnection"]

IDLE_SWEEPS: Final = 4
"""Sweeps, one a second, that a connection idles for: common servers close theirs after 5 s."""

_MOST_IDLE: Final = 1024
_MOST_INTERIM: Final = 64


class UpstreamConnection(asyncio.Protocol):
    """One connection to one container. ``writable`` tells whether it takes more at the moment."""

    __slots__ = (
        "_buffer",
        "_chunks",
        "_client",
        "_container",
        "_idled",
        "_interim",
        "_keep_alive",
        "_left",
        "_paused",
        "_request",
        "_reused",
        "_status",
        "_touched",
        "_transport",
        "_used",
        "_write",
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
        self._used = False
        self._reused = False
        self._touched = False
        self._status = 0
        self._paused = False
        self._idled = 0
        self._interim = 0
        self.writable = True

    def __repr__(self) -> str:
        return f"UpstreamConnection({self._container.task_id}, busy={self._client is not None})"

    # What the client's side asks.

    def begin(self, client: "ClientConnection", request: RequestHead, head: bytes) -> None:
        """Send a request's head; the response goes to ``client``."""
        self._reused, self._used = self._used, True
        self._client = client
        self._request = request
        self._touched = False
        self._status = 0
        self._idled = 0
        self._interim = 0
        self._write(head)

    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._write(data)

    def write_eof(self) -> None:
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def release(self) -> None:
        """The response is whole: wait for another request, or close."""
        self._client = None
        self._request = None
        idle = self._container.idle
        if self._keep_alive and len(idle) < _MOST_IDLE and self.usable():
            if self._paused:
                self.resume_reading()  # so that its closing is noticed
            idle.append(self)
        else:
            self.abort()

    def grows_old(self) -> bool:
        """Called each second while idle; whether it has idled long enough to be closed."""
        self._idled += 1
        return self._idled > IDLE_SWEEPS

    def abort(self) -> None:
        """Close at once, whatever was still to be sent."""
        self._client = None
        if self._transport is not None:
            self._transport.abort()

    def pause_reading(self) -> None:
        if not self._paused and self.usable():
            assert self._transport is not None
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            if self.usable():
                assert self._transport is not None
                self._transport.resume_reading()

    # What the loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # On one machine a connection to a port that nobody listens on can meet itself.
        if transport.get_extra_info("sockname") == transport.get_extra_info("peername"):
            cast(asyncio.Transport, transport).abort()
            return
        self._transport = cast(asyncio.Transport, transport)
        self._write = prompt_writer(self._transport)

    def pause_writing(self) -> None:
        self.writable = False
        if self._client is not None:
            self._client.request_may_flow(False)

    def resume_writing(self) -> None:
        self.writable = True
        if self._client is not None:
            self._client.request_may_flow(True)

    def eof_received(self) -> bool:
        if self._status == 101 and self._client is not None:
            self._client.tunnel_ended()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        client, self._client = self._client, None
        if client is None:
            if self in self._container.idle:
                self._container.idle.remove(self)
        elif self._status >= 200 and self._left is None and self._chunks is None and exc is None:
            client.response_done()
        else:
            reused = self._reused and not self._touched
            what = "broke off within a response" if self._status else "closed without an answer"
            client.upstream_lost(what, reused=reused)

    def data_received(self, data: bytes) -> None:
        client = self._client
        if client is None:
            self.abort()  # nobody asked for it
        elif not self._status:
            self._head(client, data)
        elif self._chunks is not None:
            self._chunked_body(client, self._chunks, data)
        elif self._left is None:
            client.respond(data)  # up to the end of the connection
        else:
            self._counted_body(client, self._left, data)

    # Responses.

    def _head(self, client: "ClientConnection", data: bytes) -> None:
        received = perf_counter()
        self._touched = True
        request = self._request
        assert request is not None
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0 or end > LONGEST_HEAD:
                self._buffer = data
                if len(data) > LONGEST_HEAD:
                    self._broken(client, "a head that is too long")
                return
            end += 4
            try:
                response = recall_response(data[:end], no_body=request.method == b"HEAD")
            except ResponseError as error:
                self._broken(client, str(error))
                return
            status = response.status
            if status >= 200 or status == 101:
                break
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                self._broken(client, f"more than {_MOST_INTERIM} interim responses")
                return
            client.interim(response.head)
            data = data[end:]
            if not data:
                return
        rest = data[end:]
        if status == 101 and not request.upgrade:
            self._broken(client, "a switch of protocols that nobody asked for")
            return
        self._status = status
        self._keep_alive = response.keep_alive
        if response.chunked:
            self._chunks = chunks = ChunkedBody()
            self._left = None
            try:
                rest = self._checked(chunks, rest)
            except ChunkedError as error:
                self._broken(client, str(error))
                return
            client.response_head(response, rest, received)
            if chunks.done:
                client.response_done()
            return
        self._chunks = None
        self._left = left = None if status == 101 else response.length
        if left is None:
            self._keep_alive = False
            client.response_head(response, rest, received)
            if status == 101:
                client.tunnel()
            return
        if len(rest) > left:
            # More than was announced: the rest is no part of this response, nor of any other.
            rest = rest[:left]
            self._keep_alive = False
        self._left = left - len(rest)
        client.response_head(response, rest, received)
        if not self._left:
            client.response_done()

    def _counted_body(self, client: "ClientConnection", left: int, data: bytes) -> None:
        if len(data) > left:
            data = data[:left]
            self._keep_alive = False
        self._left = left = left - len(data)
        client.respond(data)
        if not left:
            client.response_done()

    def _chunked_body(self, client: "ClientConnection", chunks: ChunkedBody, data: bytes) -> None:
        try:
            data = self._checked(chunks, data)
        except ChunkedError as error:
            self._broken(client, str(error))
            return
        client.respond(data)
        if chunks.done:
            client.response_done()

    def _checked(self, chunks: ChunkedBody, data: bytes) -> bytes:
        """What the client gets of some bytes of a chunked body.

        Raises:
            ChunkedError: they break the coding.
        """
        request = self._request
        assert request is not None
        payload: list[bytes] | None = [] if request.old else None
        taken = chunks.feed(data, payload)
        if taken < len(data):
            self._keep_alive = False
            data = data[:taken]
        return data if payload is None else b"".join(payload)

    def _broken(self, client: "ClientConnection", why: str) -> None:
        """What came is no HTTP response."""
        self.abort()
        client.upstream_lost(f"answered with what is no HTTP response: {why}", reused=False)
