"""The chunked transfer coding, checked byte by byte while it passes (RFC 9112 section 7.1)."""

import re
from enum import Enum, auto
from typing import Final

__all__ = ["ChunkedBody", "ChunkedError"]

# Blanks behind the size would have to be taken out (RFC 9112 section 7.1.1); not all readers do so.
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
# Where the message ends, whom it is for and who sends it is told before the body, or not at all
# (RFC 9110 section 6.5.1): a reader that adds trailers to the head would believe them.
_FORBIDDEN: Final = re.compile(
    rb"(?:content-length|transfer-encoding|te|host|connection|upgrade|expect|authorization"
    rb"|modal-[^:]*|x-forwarded-[^:]*|x-edge-[^:]*):",
    re.IGNORECASE,
)
_LONGEST_LINE: Final = 4096
_LONGEST_TRAILERS: Final = 16384


class ChunkedError(Exception):
    """Bytes that are no chunked body."""


class _Expect(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    NOTHING = auto()


class ChunkedBody:
    """Follows one body; ``done`` once its last byte was seen."""

    __slots__ = ("_expect", "_left", "_line", "_trailers")

    def __init__(self) -> None:
        self._expect = _Expect.SIZE
        self._left = 0
        self._line = b""
        self._trailers = 0

    @property
    def done(self) -> bool:
        return self._expect is _Expect.NOTHING

    def feed(self, data: bytes, payload: list[bytes] | None = None) -> int:
        """How many of the bytes belong to the body; fewer than given only when it is done.

        With ``payload`` the chunks' contents are appended to it.

        Raises:
            ChunkedError: the bytes break the coding.
        """
        at = 0
        while at < len(data) and self._expect is not _Expect.NOTHING:
            if self._expect is _Expect.DATA:
                step = min(self._left, len(data) - at)
                if payload is not None:
                    payload.append(data[at : at + step])
                at += step
                self._left -= step
                if not self._left:
                    self._expect = _Expect.DATA_END
                continue
            newline = data.find(b"\n", at)
            if newline < 0:
                self._line += data[at:]
                at = len(data)
                if len(self._line) > _LONGEST_LINE:
                    raise ChunkedError("a line is too long")
                # What can no longer become right is refused at once.
                if self._expect is _Expect.DATA_END and self._line not in (b"", b"\r"):
                    raise ChunkedError("a chunk is longer than its size")
                continue
            line = self._line + data[at : newline + 1]
            self._line = b""
            at = newline + 1
            if not line.endswith(b"\r\n") or len(line) > _LONGEST_LINE:
                raise ChunkedError("a line does not end with CR LF, or is too long")
            self._whole_line(line[:-2])
        return at

    def _whole_line(self, line: bytes) -> None:
        if self._expect is _Expect.DATA_END:
            if line:
                raise ChunkedError("a chunk is longer than its size")
            self._expect = _Expect.SIZE
        elif self._expect is _Expect.SIZE:
            match = _SIZE.fullmatch(line)
            if match is None:
                raise ChunkedError("malformed chunk size")
            self._left = int(match[1], 16)
            self._expect = _Expect.DATA if self._left else _Expect.TRAILER
        elif not line:
            self._expect = _Expect.NOTHING
        else:
            self._trailers += len(line)
            if self._trailers > _LONGEST_TRAILERS or _TRAILER.fullmatch(line) is None:
                raise ChunkedError("malformed or oversized trailers")
            if _FORBIDDEN.match(line):
                raise ChunkedError("a trailer that belongs into the head")
