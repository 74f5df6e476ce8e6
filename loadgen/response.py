"""The response to one request: its head, its body whole or streamed, its timings."""

import json as json_module
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from email.message import Message
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from loadgen.charset import TextDecoder, decode_text
from loadgen.connection import Connection
from loadgen.content_coding import ContentDecoder, decode_content, join_pieces
from loadgen.errors import ClientError, HttpStatusError, UsageError
from loadgen.event_stream import LineSplitter, ServerSentEvent, parse_events
from loadgen.request_head import PreparedRequest
from loadgen.response_head import NO_HEADERS, Headers

__all__ = ["Response", "StreamedBody"]


class StreamedBody:
    """A body that is still coming; ``release`` gets its connection when that is free again.

    Dropped unread, it closes the connection. ``last_at``, ``bytes_received`` and ``trailers``
    are known at its end.
    """

    last_at: float | None = None
    bytes_received = 0
    trailers = NO_HEADERS

    def __init__(self, connection: Connection, release: Callable[[Connection], None]) -> None:
        self._connection: Connection | None = connection
        self._release = release

    def next_piece(self) -> tuple[bytes, float] | None:
        """As ``Connection.next_piece``."""
        connection = self._connection
        if connection is None:
            return None
        item = connection.next_piece()
        if item is None:
            self.last_at = connection.last_at
            self.bytes_received = connection.bytes_received
            self.trailers = connection.trailers
            self.close()
        return item

    def close(self) -> None:
        """Give up what is unread; the connection is kept if the response has come to its end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.end_stream()
            self._release(connection)

    def __del__(self) -> None:
        self.close()


class _Rare:
    """What is set on few responses."""

    __slots__ = (
        "connect_s",
        "consumed",
        "content",
        "encoding",
        "event_times",
        "history",
        "resent",
        "reused",
        "stream",
        "trailers",
    )

    def __init__(self) -> None:
        self.connect_s: float | None = None
        self.reused = True
        self.resent = False
        self.history: tuple[Response, ...] = ()
        self.trailers = NO_HEADERS
        self.stream: StreamedBody | None = None
        self.consumed = False
        self.content: bytes | None = None
        self.encoding: str | None = None
        self.event_times: list[float] = []


class Response:
    """One response; also a context manager that closes it, which matters for streamed ones.

    ``started`` is when the first byte of the request was sent, ``first_at`` and ``last_at`` when
    the first and last byte of the response came, by ``time.perf_counter``; ``last_at`` is ``None``
    while some of a streamed body is unread.
    ``connect_s`` is what name look-up, TCP and TLS took, ``None`` on a kept connection.
    ``resent`` tells that the peer had closed the kept connection under the first sending of this
    request; the timings are those of the second. ``bytes_sent`` and ``bytes_received`` count
    heads and bodies as they travelled, without TLS; a streamed body is counted once it has been
    read, and so are its ``trailers``. ``history`` holds the responses that redirected here.
    ``event_times`` are the arrivals of what ``iter_content``, ``iter_lines`` or ``iter_events``
    yielded of a streamed body so far, in seconds after ``started``.
    """

    __slots__ = (
        "_offset",
        "_rare",
        "_raw",
        "bytes_received",
        "bytes_sent",
        "first_at",
        "head",
        "last_at",
        "request",
        "started",
        "status_code",
    )

    def __init__(self, request: PreparedRequest, connection: Connection) -> None:
        head = connection.head
        assert head is not None
        self.request = request
        self.head = head
        self.status_code = head.status
        self.started = connection.started
        self.bytes_sent = connection.bytes_sent
        self.bytes_received = connection.bytes_received
        self._raw = connection.raw
        self._offset = connection.offset
        self.first_at = connection.first_at
        self.last_at: float | None = connection.last_at
        self._rare: _Rare | None = None

    @property
    def rare(self) -> "_Rare":
        """What most responses are without; made on the first use."""
        if self._rare is None:
            self._rare = _Rare()
        return self._rare

    def stream_from(self, body: StreamedBody) -> None:
        """The body is still coming, from ``body``."""
        self.rare.stream = body
        self.last_at = None
        self.bytes_received = 0

    # What came.

    @property
    def method(self) -> str:
        return self.request.method

    @property
    def url(self) -> str:
        return self.request.url

    @property
    def reason(self) -> str:
        return self.head.reason

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400

    @property
    def headers(self) -> Headers:
        return self.head.headers

    def header(self, name: str) -> str | None:
        """The first value of one header: far cheaper than ``headers`` for a look at one or two."""
        return self.head.header(name)

    @property
    def trailers(self) -> Headers:
        return NO_HEADERS if self._rare is None else self._rare.trailers

    @property
    def from_reused_connection(self) -> bool:
        return self._rare is None or self._rare.reused

    @property
    def resent(self) -> bool:
        return self._rare is not None and self._rare.resent

    @property
    def history(self) -> "tuple[Response, ...]":
        return () if self._rare is None else self._rare.history

    def raise_for_status(self) -> None:
        """Raise HttpStatusError for a status of 400 or above."""
        if not self.ok:
            raise HttpStatusError(f"{self.status_code} {self.reason} for {self.method} {self.url}")

    @property
    def body_bytes(self) -> int:
        """Length of the body as it came; of a streamed one, what is known once it was read."""
        if self._rare is not None and self._rare.stream is not None:
            return max(0, self.bytes_received - len(self.head.raw))
        return len(self._raw) - self._offset

    # When.

    @property
    def connect_s(self) -> float | None:
        return None if self._rare is None else self._rare.connect_s

    @property
    def ttfb_s(self) -> float:
        """Seconds from the first byte sent to the first byte of the (not interim) response."""
        return self.first_at - self.started

    @property
    def total_s(self) -> float | None:
        """Seconds from the first byte sent to the last received; ``None`` while some is unread."""
        return None if self.last_at is None else self.last_at - self.started

    @property
    def elapsed(self) -> timedelta:
        """Time to first byte, which is what ``requests`` means by this name."""
        return timedelta(seconds=self.ttfb_s)

    @property
    def event_times(self) -> list[float]:
        return [] if self._rare is None else self._rare.event_times

    # The body.

    @property
    def content(self) -> bytes:
        """The whole body without its content coding; a streamed one is read to its end first.

        Raises ClientError when reading or decoding fails.
        """
        rare = self.rare
        if rare.content is None:
            if rare.stream is None:
                with self._failing():
                    coding = self.header("content-encoding") or ""
                    rare.content = decode_content(self._raw[self._offset :], coding)
            else:
                with self._failing():
                    rare.content = join_pieces(piece for piece, _ in self._pieces([]))
        return rare.content

    @property
    def encoding(self) -> str:
        """The charset of ``content-type``, else UTF-8; may be set."""
        if self.rare.encoding is None:
            message = Message()
            message["content-type"] = self.header("content-type") or ""
            self.rare.encoding = message.get_content_charset() or "utf-8"
        return self.rare.encoding

    @encoding.setter
    def encoding(self, name: str) -> None:
        self.rare.encoding = name

    @property
    def text(self) -> str:
        """``content`` as text; what does not decode becomes U+FFFD."""
        return decode_text(self.content, self.encoding)

    def json(self, **options: Any) -> Any:
        """``content`` as JSON, by ``json.loads`` with its ``options``; raises ValueError."""
        return json_module.loads(self.content, **options)

    def iter_content(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body without its content coding, as it comes, or in pieces of ``chunk_size``."""
        pieces = (piece for piece, _ in self._pieces(self.rare.event_times))
        if chunk_size is None:
            yield from pieces
            return
        if chunk_size < 1:
            raise UsageError(f"chunk_size must be at least 1, not {chunk_size}")
        waiting = bytearray()
        for piece in pieces:
            waiting += piece
            whole = len(waiting) - len(waiting) % chunk_size
            for start in range(0, whole, chunk_size):
                yield bytes(waiting[start : start + chunk_size])
            del waiting[:whole]
        if waiting:
            yield bytes(waiting)

    def iter_lines(self) -> Iterator[str]:
        """The body's lines as text, each once its end has come; line ends are CR LF, LF or CR."""
        decoder = TextDecoder(self.encoding)
        splitter = LineSplitter()
        with self._failing():
            for piece in self.iter_content():
                yield from splitter.feed(decoder.feed(piece))
            yield from splitter.feed(decoder.feed(b"", final=True))
        if rest := splitter.rest():
            yield rest

    def iter_events(self) -> Iterator[ServerSentEvent]:
        """The body as server-sent events, each with the time its last byte came."""
        with self._failing():
            for event in parse_events(self._pieces([])):
                self.rare.event_times.append(event.received - self.started)
                yield event

    def close(self) -> None:
        """Done with it; what a streamed body has left is given up."""
        if self._rare is not None and self._rare.stream is not None:
            self._rare.stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _pieces(self, times: list[float]) -> Iterator[tuple[bytes, float]]:
        """Decoded pieces with their arrivals, which go to ``times``; the body is then used up."""
        rare = self.rare
        stream = rare.stream
        if stream is None:
            yield self.content, self.first_at if self.last_at is None else self.last_at
            return
        if rare.consumed:
            raise UsageError("the streamed body was already read; keep what was read, or content")
        rare.consumed = True
        with self._failing():
            decoder = ContentDecoder(self.header("content-encoding") or "")
            while (item := stream.next_piece()) is not None:
                piece, at = item
                for decoded in decoder.feed(piece):
                    times.append(at - self.started)
                    yield decoded, at
            self.last_at = stream.last_at
            self.bytes_received = stream.bytes_received
            rare.trailers = stream.trailers
            decoder.finish()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Write the timings on an error that ends the reading of the body."""
        try:
            yield
        except ClientError as error:
            error.started, error.elapsed_s = self.started, perf_counter() - self.started
            error.connect_s, error.resent = self.connect_s, self.resent
            error.bytes_sent = self.bytes_sent
            raise

    def __repr__(self) -> str:
        return f"<Response {self.status_code} for {self.method} {self.url}>"
