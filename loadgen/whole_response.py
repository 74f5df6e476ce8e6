"""The quick way to read a response that comes in one piece: llhttp, over all of it at once."""

import re
from typing import Final

import httptools

from loadgen.response_head import Head

__all__ = ["WholeResponseParser"]

_CR_OR_LF: Final = (13, 10)
# llhttp takes other protocols and control characters as well, and of an HTTP/1.0 peer that says
# both that it keeps the connection and that it closes it, it believes the first.
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 [1-9][0-9][0-9](?: [^\x00-\x08\x0a-\x1f\x7f]*+)?\r")


class WholeResponseParser:
    """Recognizes the common response: one piece, ``content-length``, connection kept open.

    Whatever is not just that, malformed responses included, is left to ``ResponseReader``: it is
    slower, and can tell what is wrong. One parser serves any number of connections, because it
    is between responses whenever it is not running.
    """

    def __init__(self) -> None:
        # The last head seen, for connections whose server sends all of them the same.
        self.last: Head | None = None
        self._body_bytes = 0
        self._begun = self._completed = 0
        self._keep_alive = False
        self._status = 0
        self._parser = httptools.HttpResponseParser(self)

    def parse(self, data: bytes) -> Head | None:
        """The head of the one response that ``data`` is, or ``None`` if that is not so simple.

        The body is the rest of ``data`` after the head.
        """
        last = self.last
        if (
            last is not None
            and len(data) == len(last.raw) + (last.length or 0)
            and data.startswith(last.raw)
        ):
            return last
        self._body_bytes = self._begun = self._completed = 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._start_anew()
            return None
        status = self._status
        if (
            self._completed != 1
            or self._begun != 1
            or status < 200
            or status == 204  # these may declare a length that is not their body's
            or status == 304
            or not self._keep_alive
            or not _STATUS_LINE.match(data)
        ):
            self._start_anew()
            return None
        head_bytes = len(data) - self._body_bytes
        # Chunks, and the line ends after a response that llhttp passes over, are no part of
        # what it told of the body: its length would put the end of the head at the wrong place.
        if data[-1] in _CR_OR_LF and data.find(b"\r\n\r\n") + 4 != head_bytes:
            return None
        head = Head(
            data[:head_bytes], status, length=self._body_bytes, chunked=False, keep_alive=True
        )
        self.last = head
        return head

    def _start_anew(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    # What llhttp calls.

    def on_message_begin(self) -> None:
        self._begun += 1

    def on_body(self, piece: bytes) -> None:
        self._body_bytes += len(piece)

    def on_message_complete(self) -> None:
        self._completed += 1
        # Only here: the parser forgets both as soon as it is done.
        self._status = self._parser.get_status_code()
        self._keep_alive = self._parser.should_keep_alive()
