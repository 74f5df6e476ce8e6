"""One keep-alive connection: requests out, responses in by the hub's callback.

The watcher of a connection runs from its opening to its end. Receiving and parsing happen in the
hub, inside the watcher's callback, and the greenlet that waits is switched to once per request,
when its response is complete. That is what makes a request cheap: no watcher is started, no timer
set, no ``recv`` tried in vain.
"""

import contextlib
import math
import ssl
from collections import deque
from collections.abc import Iterable, Iterator
from ssl import SSLWantReadError, SSLWantWriteError
from time import perf_counter
from typing import Any, Final

from gevent import get_hub, getcurrent

from loadgen.client_config import Timeouts
from loadgen.dialer import Channel
from loadgen.errors import BodyTooLarge, ClientError, ConnectionLost, FirstByteTimeout, TotalTimeout
from loadgen.response_head import NO_HEADERS, Head
from loadgen.response_reader import ResponseReader
from loadgen.sweeper import sweeper_of
from loadgen.tls import TlsStream
from loadgen.whole_response import WholeResponseParser

__all__ = ["Connection", "TlsConnection", "open_connection"]

_READ, _WRITE = 1, 2  # as gevent's event loops name them
_RECV_BYTES: Final = 16384
_NEVER: Final = math.inf


class _Hot:
    """The attributes that every request touches, close together in memory.

    With hundreds of connections the processor's cache misses cost more than the instructions.
    """

    __slots__ = (
        "_begun",
        "_error",
        "_known_bytes",
        "_known_raw",
        "_recv",
        "_send",
        "_wait_in_hub",
        "_wait_s",
        "_waiter",
        "bytes_received",
        "bytes_sent",
        "closed",
        "deadline",
        "first_at",
        "head",
        "last_at",
        "offset",
        "raw",
        "started",
        "trailers",
    )


class Connection(_Hot):
    """A connection over which one greenlet at a time makes requests.

    When ``exchange`` or ``exchange_slowly`` has returned, ``head`` is the response's,
    ``raw[offset:]`` its body as it came (not of a streamed one: that is ``next_piece``'s),
    ``trailers`` what followed a chunked body. ``started`` is when the first byte of the request
    was sent, ``first_at`` and ``last_at`` when the first and last byte of the response came, by
    ``perf_counter``. ``closed`` tells whether another request can follow.

    Killing the waiting greenlet closes the connection. ``parser`` may be shared.
    """

    __slots__ = (
        "__weakref__",
        "_active",
        "_buffer_bytes",
        "_cut_short",
        "_done",
        "_first_byte_s",
        "_loop",
        "_max_body_bytes",
        "_paused",
        "_queue",
        "_queued_bytes",
        "_reader",
        "_received",
        "_simple",
        "_sock",
        "_streaming",
        "_sweeper",
        "_total_s",
        "_watcher",
        "_whole",
        "_write_watcher",
        "timeouts",
    )

    def __init__(
        self,
        channel: Channel,
        *,
        parser: WholeResponseParser,
        max_head_bytes: int,
        max_body_bytes: int,
        stream_buffer_bytes: int,
    ) -> None:
        # Whether it is of no more use, by either side's doing. Written in one place, _shut.
        self.closed = False
        self.head: Head | None = None
        self.raw = b""
        self.offset = 0
        self.trailers = NO_HEADERS
        self.started = self.first_at = self.last_at = math.nan
        self.bytes_sent = self.bytes_received = 0
        self.deadline = _NEVER

        self._waiter: Any = None  # Any: greenlet has no published type
        self._error: ClientError | None = None
        self._active = False  # a slow exchange is going on
        self._done = False  # ... and its response is complete
        self._streaming = False
        self._cut_short = False  # not all of the request was sent
        self._begun = math.nan  # what the total time-out counts from
        self._received = 0
        self._queue: deque[tuple[bytes, float]] = deque()
        self._queued_bytes = 0
        self._buffer_bytes = stream_buffer_bytes
        self._max_body_bytes = max_body_bytes
        self._paused = False
        self._reader = ResponseReader(max_head_bytes)
        self._whole = parser
        # Whether a response is due of which nothing has come, and that may come in one piece.
        self._simple = True
        # One as long as the last and with the very same head needs no parsing at all. While that
        # cannot be, the length is -1.
        self._known_bytes = -1
        self._known_raw = b""
        self.use_timeouts(Timeouts())

        self._sock = channel.sock
        self._bind(channel)
        hub = get_hub()
        self._wait_in_hub = hub.switch
        self._loop = hub.loop
        # Before the timers that are due in the same turn of the loop: those would send requests of
        # other users, while what has come waits to be timed. It halves the latency seen under load.
        self._watcher: Any = hub.loop.io(channel.sock.fileno(), _READ, priority=hub.loop.MAXPRI)
        self._write_watcher: Any = None
        self._watcher.start(self._on_readable)
        self._sweeper = sweeper_of(hub)
        self._sweeper.add(self)

    def _bind(self, channel: Channel) -> None:
        self._recv = channel.sock.recv
        self._send = channel.sock.send

    # What its owner calls.

    def use_timeouts(self, timeouts: Timeouts) -> None:
        """What the next exchanges may take; the connecting time-out is not for here."""
        self.timeouts = timeouts
        self._first_byte_s = timeouts.first_byte_s or _NEVER
        self._total_s = timeouts.total_s or _NEVER
        self._wait_s = min(self._first_byte_s, self._total_s)

    def exchange(self, wire: bytes) -> None:
        """Send ``wire``, any request but HEAD, and wait until its response is complete.

        Raises ClientError, on which the caller writes the timings.
        """
        self._waiter = getcurrent()
        started = self._begun = self.started = perf_counter()
        self.deadline = started + self._wait_s
        try:
            send = self._send
            try:
                sent = send(wire)
            except OSError:  # _upload tries again, and judges
                sent = 0
            self.bytes_sent = sent
            if sent != len(wire):
                self._begin(is_head=False, stream=False)
                self.bytes_sent = sent
                self._upload(iter((wire[sent:],)))
                self._await_response()
                return
            wait = self._wait_in_hub
            while self._waiter is not None:
                wait()
        except BaseException:  # a kill above all
            self._abandon()
            raise
        if self._error is not None:
            raise self._take_error()

    def exchange_slowly(
        self,
        wire: bytes,
        frames: Iterator[bytes] | None = None,
        *,
        is_head: bool = False,
        stream: bool = False,
        begun: float | None = None,
    ) -> None:
        """As ``exchange``, with all that is unusual.

        ``frames`` are sent after ``wire``. ``is_head`` tells that the response has no body. With
        ``stream`` it returns when the head is there. ``begun`` is what the total time-out counts
        from, if not from now.
        """
        self._begin(is_head=is_head, stream=stream)
        self.started = perf_counter()
        self._begun = self.started if begun is None else begun
        try:
            self._upload(iter((wire,)))
            if frames is not None:
                self._upload(frames)
            self._await_response()
        except BaseException:  # a kill above all
            self._abandon()
            raise

    def next_piece(self) -> tuple[bytes, float] | None:
        """The next piece of a streamed body and when it came; ``None`` at the body's end.

        Raises ClientError once what came before the failure was handed out.
        """
        while not self._queue:
            if self._error is not None:
                raise self._take_error()
            if self._done:
                return None
            if self.closed:  # its reader was interrupted before
                raise ConnectionLost("the connection was closed before the response's end")
            try:
                self._wait(self._begun + self._total_s)
            except BaseException:  # a kill above all
                self._abandon()
                raise
        piece, at = self._queue.popleft()
        self._queued_bytes -= len(piece)
        if self._paused and self._queued_bytes <= self._buffer_bytes // 2:
            self._paused = False
            if not self.closed:
                self._watcher.start(self._on_readable)
        return piece, at

    def end_stream(self) -> None:
        """Drop what is unread of a streamed body; closes the connection if more is to come."""
        if not self._done:
            self.close()
        self._streaming = False
        self._queue.clear()
        self._queued_bytes = 0
        if self._paused and not self.closed:
            self._watcher.start(self._on_readable)
        self._paused = False

    def close(self) -> None:
        """End the connection; whoever waits for a response on it gets ConnectionLost."""
        if self.closed:
            return
        self._shut()
        if self._waiter is not None or self._active:
            self._error = ConnectionLost("the connection was closed by its own client")
        if self._waiter is not None:
            self._loop.run_callback(self._resume)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "busy" if self._waiter or self._active else "idle"
        return f"<{type(self).__name__} {state}, {len(self._queue)} pieces unread>"

    # In the greenlet that waits.

    def _begin(self, *, is_head: bool, stream: bool) -> None:
        self._waiter = None
        self._active, self._done = True, False
        self._streaming = stream
        self._cut_short = False
        self._simple = False
        self._known_bytes = -1
        self._reader.start(is_head=is_head)
        self.head = None
        self.raw, self.offset = b"", 0
        self.trailers = NO_HEADERS
        self.bytes_sent = 0

    def _upload(self, pieces: Iterable[bytes]) -> None:
        """Send ``pieces``, or as many as the peer takes before it answers or goes."""
        for piece in pieces:
            view = memoryview(piece)
            while view:
                if self._done or self._error is not None or self._cut_short:
                    self._give_up_sending()
                    return
                try:
                    sent = self._send(view)
                except (BlockingIOError, SSLWantReadError, SSLWantWriteError):
                    self._wait_writable()
                except OSError:
                    # Perhaps the peer answered before it closed: the reading side will tell.
                    self._give_up_sending()
                    return
                else:
                    self.bytes_sent += sent
                    view = view[sent:]

    def _give_up_sending(self) -> None:
        self._cut_short = True
        if self._done:
            self._shut()

    def _wait_writable(self) -> None:
        if self._write_watcher is None:
            self._write_watcher = self._loop.io(self._sock.fileno(), _WRITE)
        self._write_watcher.start(self._resume)
        self._wait(min(perf_counter() + self._first_byte_s, self._begun + self._total_s))
        if self._write_watcher is not None:
            self._write_watcher.stop()

    def _await_response(self) -> None:
        if self._reader.between_responses:
            deadline = min(perf_counter() + self._first_byte_s, self._begun + self._total_s)
        else:
            deadline = self._begun + self._total_s
        while not self._done and self._error is None and not (self._streaming and self.head):
            self._wait(deadline)
            deadline = self.deadline
        if self._error is not None:
            raise self._take_error()

    def _take_error(self) -> ClientError:
        # Kept, it would make a cycle of connection, error, traceback and frame.
        error, self._error = self._error, None
        assert error is not None
        return error

    def _wait(self, deadline: float) -> None:
        self._waiter = getcurrent()
        self.deadline = deadline
        while self._waiter is not None:
            self._wait_in_hub()

    def _abandon(self) -> None:
        self._waiter = None
        self._active = False
        self._shut()

    def _shut(self) -> None:
        """Let go of everything the system knows of; safe to repeat."""
        if self.closed:
            return
        self.closed = True
        self._sweeper.discard(self)
        # The loop must not watch a descriptor that may soon be somebody else's.
        for watcher in (self._watcher, self._write_watcher):
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self._watcher = self._write_watcher = None
        self._sock.close()

    # In the hub. Nothing here may raise, and nothing may wait.

    def _on_readable(self) -> None:
        recv = self._recv
        try:
            data = recv(_RECV_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(ConnectionLost(f"the connection broke: {error.strerror}"))
            return
        now = perf_counter()
        waiter = self._waiter
        if waiter is None:
            self._on_data(data, now)
        elif (
            len(data) == self._known_bytes and data.startswith(self._known_raw)
        ) or self._is_simple(data):
            self.raw = data
            self.first_at = self.last_at = now
            self._waiter = None
            waiter.switch()
        else:
            self._on_data(data, now)

    def _is_simple(self, data: bytes) -> bool:
        """Whether ``data`` is all of the response that is due; if so, its head is noted."""
        if not self._simple or not data:
            return False
        head = self._whole.parse(data)
        if head is None or len(head.raw) > self._reader.max_head_bytes:
            return False
        self.head = head
        self.offset = len(head.raw)
        self.trailers = NO_HEADERS
        self.bytes_received = self._known_bytes = len(data)
        self._known_raw = head.raw
        return True

    def _on_data(self, data: bytes, now: float) -> None:
        if self._waiter is None and not self._active:
            self._shut()  # closed by the peer while idle, or bytes that answer nothing
            return
        self._simple = False
        self._known_bytes = -1
        reader = self._reader
        interim = reader.interim
        self._received += len(data)
        if reader.between_responses:
            self.first_at = now
        try:
            if data:
                reader.feed(data)
            else:
                reader.feed_eof()
        except ClientError as error:
            self._fail(error)
            return
        if reader.interim != interim:
            self.first_at = now
        self.last_at = now
        if reader.complete:
            self._complete(reader, now)
        elif not reader.between_responses:
            self.deadline = self._begun + self._total_s
            if reader.head is None:
                return
            if self._streaming:
                self.head = reader.head
                self._enqueue(reader.take(), now)
                self._resume()
            elif max(self._received, reader.head.length or 0) > self._max_body_bytes:
                self._fail(
                    BodyTooLarge(
                        f"the body is longer than {self._max_body_bytes:,} bytes; "
                        "read it with stream=True"
                    )
                )

    def _complete(self, reader: ResponseReader, now: float) -> None:
        head = self.head = reader.head
        assert head is not None
        reusable = reader.reusable and not self._cut_short
        pieces = reader.take()
        self.trailers = reader.trailers if head.chunked else NO_HEADERS
        if self._streaming:
            self._enqueue(pieces, now)
        else:
            self.raw, self.offset = b"".join(pieces), 0
        self.bytes_received, self._received = self._received, 0
        reader.start(is_head=False)
        self._active, self._done = False, True
        self._simple = True
        if not reusable:
            self._shut()
        self._resume()

    def _enqueue(self, pieces: list[bytes], now: float) -> None:
        self._queue.extend((piece, now) for piece in pieces)
        self._queued_bytes += sum(map(len, pieces))
        if self._queued_bytes > self._buffer_bytes and not self._paused:
            self._paused = True
            self._watcher.stop()

    def _fail(self, error: ClientError) -> None:
        self._shut()
        error.bytes_received = self._received
        self._error = error
        self._resume()

    def _resume(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.switch()

    def expire(self, now: float) -> None:
        """Called by the sweeper when ``deadline`` has passed."""
        self.deadline = _NEVER
        if self._waiter is None or self.closed:
            return
        if now >= self._begun + self._total_s:
            self._fail(TotalTimeout(f"no complete response within {self._total_s:g} s"))
        else:
            self._fail(FirstByteTimeout(f"no response within {self._first_byte_s:g} s"))


class TlsConnection(Connection):
    """A connection through TLS; ``session`` is there to be resumed once it is closed."""

    __slots__ = ("_tls", "session")

    def _bind(self, channel: Channel) -> None:
        assert channel.tls is not None
        self.session: ssl.SSLSession | None = None
        self._tls: TlsStream = channel.tls
        self._recv = channel.tls.read
        self._send = channel.tls.write

    def _on_readable(self) -> None:
        recv = self._recv
        try:
            # One record, of 16 KiB at most, and so all that OpenSSL took from the socket: what
            # it kept back the event loop could not see.
            data = recv(_RECV_BYTES)
        except (SSLWantReadError, SSLWantWriteError):
            return  # a session ticket, or part of a record
        except ssl.SSLZeroReturnError:
            data = b""
        except OSError as error:
            reason = "without a TLS close" if isinstance(error, ssl.SSLEOFError) else str(error)
            self._fail(ConnectionLost(f"the connection broke: {reason}"))
            return
        now = perf_counter()
        waiter = self._waiter
        if waiter is None:
            self._on_data(data, now)
        elif (
            len(data) == self._known_bytes and data.startswith(self._known_raw)
        ) or self._is_simple(data):
            self.raw = data
            self.first_at = self.last_at = now
            self._waiter = None
            waiter.switch()
        else:
            self._on_data(data, now)

    def _shut(self) -> None:
        if not self.closed:
            # TLS 1.3 sends its tickets after the handshake, so the session is whole only now.
            self.session = self._tls.session
            with contextlib.suppress(OSError):  # says goodbye if the socket has room for it
                self._tls.shutdown()
        super()._shut()


def open_connection(
    channel: Channel,
    *,
    parser: WholeResponseParser,
    max_head_bytes: int,
    max_body_bytes: int,
    stream_buffer_bytes: int,
) -> Connection:
    """The connection over ``channel``, which from now on is its own."""
    kind = Connection if channel.tls is None else TlsConnection
    return kind(
        channel,
        parser=parser,
        max_head_bytes=max_head_bytes,
        max_body_bytes=max_body_bytes,
        stream_buffer_bytes=stream_buffer_bytes,
    )
