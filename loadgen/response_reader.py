"""One response after another out of bytes as they come: no socket, no clock."""

import re
from typing import Final

import httptools

from loadgen.errors import ConnectionLost, HeadTooLarge, MalformedResponse
from loadgen.response_head import NO_HEADERS, Head, Headers, parse_head

__all__ = ["ResponseReader"]

_LONE_LINE_FEED: Final = re.compile(rb"(?<!\r)\n")
_MOST_INTERIM: Final = 64
_CHUNKED_START: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_START: Final = b"HTTP/1."
# The empty line after the last chunk or trailer; llhttp passes over more line ends.
_END_OF_CHUNKS: Final = re.compile(rb"[^\r\n]\r\n\r\n")


class _Chunks:
    """llhttp as the decoder of one chunked body."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.trailers: list[tuple[str, str]] = []
        self.complete = False
        self.excess = False
        self._in_body = False
        self._tail = b""
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._parser.feed_data(_CHUNKED_START)

    def feed(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.complete:
                raise MalformedResponse(f"the chunked body is malformed: {error}") from None
        self._tail = data[-5:] if len(data) >= 5 else (self._tail + data)[-5:]
        if self.complete and not _END_OF_CHUNKS.fullmatch(self._tail):
            self.excess = True

    def finish(self) -> None:
        """No more bytes are fed: break the cycle with the parser, which is freed at once then."""
        self._parser = None

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body and not self.complete:
            self.trailers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, piece: bytes) -> None:
        if not self.complete:
            self.pieces.append(piece)

    def on_message_begin(self) -> None:
        self.excess = self.complete

    def on_message_complete(self) -> None:
        self.complete = True


class ResponseReader:
    """Reads the response to one request at a time; ``start`` begins the next.

    After each ``feed``: ``head`` is the final response's head once it is there, ``pieces`` holds
    what came of the body since they were last taken, ``complete`` tells that the response ended,
    ``interim`` counts the 1xx responses passed over. ``excess`` tells that the peer sent more
    than the response: the connection cannot be trusted with another request.
    """

    def __init__(self, max_head_bytes: int) -> None:
        self.max_head_bytes = max_head_bytes
        self.start(is_head=False)

    def start(self, *, is_head: bool) -> None:
        """Expect the response to a new request; to a HEAD request if ``is_head``."""
        self._is_head = is_head
        self._buffer = b""
        self._left: int | None = None
        self._chunks: _Chunks | None = None
        self._quiet_bytes = 0
        self.head: Head | None = None
        self.pieces: list[bytes] = []
        self.complete = False
        self.excess = False
        self.interim = 0

    @property
    def between_responses(self) -> bool:
        """Whether no byte of the final response was fed yet."""
        return self.head is None and not self._buffer

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request."""
        return (
            self.complete
            and not self.excess
            and self.head is not None
            and self.head.keep_alive
            and self.head.status != 101
        )

    @property
    def trailers(self) -> Headers:
        """The trailers of a chunked body; empty before its end."""
        if self._chunks is None or not self._chunks.trailers:
            return NO_HEADERS
        return Headers(self._chunks.trailers)

    def take(self) -> list[bytes]:
        """What came of the body since the last call."""
        pieces, self.pieces = self.pieces, []
        return pieces

    def feed(self, data: bytes) -> None:
        """``data``, not empty, came.

        Raises MalformedResponse or HeadTooLarge; the connection is then of no more use.
        """
        if self.complete:
            self.excess = True
        elif self.head is None:
            self._feed_head(self._buffer + data if self._buffer else data)
        else:
            self._feed_body(data)

    def feed_eof(self) -> None:
        """The peer closed. Raises ConnectionLost unless that is how the response ends."""
        if self.complete:
            return
        if self.head is None:
            raise ConnectionLost(
                "the peer closed the connection within the response head"
                if self._buffer
                else "the peer closed the connection without a response"
            )
        if self._chunks is not None:
            raise ConnectionLost("the peer closed the connection within a chunked body")
        if self._left is not None:
            raise ConnectionLost(
                "the peer closed the connection before the response's end: "
                f"{self._left} of {self.head.length} bytes are missing"
            )
        self.complete = True
        self.excess = True  # nothing more can come

    def _feed_head(self, data: bytes) -> None:
        while True:
            end = data.find(b"\r\n\r\n") + 4
            if end < 4 or end > self.max_head_bytes:
                self._keep_partial(data)
                return
            head = parse_head(data[:end])
            data = data[end:]
            self._buffer = b""
            if head.status >= 200 or head.status == 101:
                break
            self.interim += 1
            if self.interim > _MOST_INTERIM:
                raise MalformedResponse(f"more than {_MOST_INTERIM} interim responses")
            if not data:
                return
        self.head = head
        self._begin_body(head)
        if data:
            self.feed(data)

    def _keep_partial(self, data: bytes) -> None:
        if len(data) > self.max_head_bytes:
            raise HeadTooLarge(f"the response head is longer than {self.max_head_bytes} bytes")
        # Refuse early what would otherwise be waited for until a time-out.
        if not (data.startswith(_START) or _START.startswith(data)):
            raise MalformedResponse(f"expected an HTTP/1.1 response, got {data[:40]!r}")
        if _LONE_LINE_FEED.search(data):
            raise MalformedResponse("a line of the response head ends without a carriage return")
        self._buffer = data

    def _begin_body(self, head: Head) -> None:
        # RFC 9112 section 6.3, in its order.
        if self._is_head or head.status in (101, 204, 304) or head.length == 0:
            self.complete = True
        elif head.chunked:
            self._chunks = _Chunks()
        else:
            self._left = head.length

    def _feed_body(self, data: bytes) -> None:
        if self._chunks is not None:
            self._feed_chunks(self._chunks, data)
        elif self._left is None:
            self.pieces.append(data)
        elif len(data) < self._left:
            self._left -= len(data)
            self.pieces.append(data)
        else:
            self.pieces.append(data[: self._left])
            self.excess = len(data) > self._left
            self._left = 0
            self.complete = True

    def _feed_chunks(self, chunks: _Chunks, data: bytes) -> None:
        chunks.feed(data)
        if chunks.pieces:
            self.pieces.extend(chunks.pieces)
            chunks.pieces.clear()
            self._quiet_bytes = 0
        elif (quiet := self._quiet_bytes + len(data)) > self.max_head_bytes:
            raise HeadTooLarge(f"trailers are longer than {self.max_head_bytes} bytes")
        else:
            self._quiet_bytes = quiet
        self.complete, self.excess = chunks.complete, chunks.excess
        if chunks.complete:
            chunks.finish()
