"""gzip and deflate, as ``content-encoding`` names them, whole or piece by piece."""

import zlib
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from loadgen.errors import BodyTooLarge, ContentDecodingError

__all__ = ["LARGEST_BODY", "ContentDecoder", "decode_content", "join_pieces"]

LARGEST_BODY: Final = 256 * 1024 * 1024
"""Bytes of a body that is kept whole; what is longer can be read piece by piece."""

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS
# A few bytes may stand for gigabytes: no more of them than this exist at once, and as long as
# nobody asks for the next piece, it is not made.
_PIECE_BYTES: Final = 1 << 20
# As curl has it; each costs memory, and a head has room for thousands.
_MOST_CODINGS: Final = 5


class _Layer(Protocol):
    def feed(self, data: bytes) -> Iterator[bytes]: ...
    def finish(self) -> None: ...


class _Gzip:
    """RFC 1952: one or more members."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self._fed = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(_GZIP_WINDOW)
            self._fed = True
            yield from _inflated(self._inflate, data)
            data = self._inflate.unused_data

    def finish(self) -> None:
        if self._fed and not self._inflate.eof:
            raise ContentDecodingError("the gzip body ends too early")


class _Deflate:
    """RFC 9110 section 8.4.1.2: the zlib format; many servers send the bare one."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj()
        self._start = b""
        self._decided = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if not self._decided:
            self._start += data
            if len(self._start) < 2:
                return
            data, self._decided = self._start, True
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            if not is_zlib:
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        if not self._inflate.eof:
            yield from _inflated(self._inflate, data)

    def finish(self) -> None:
        if self._start and not self._inflate.eof:
            raise ContentDecodingError("the deflate body ends too early")


class ContentDecoder:
    """Takes the codings of a body off, piece by piece; ``coding`` is its ``content-encoding``.

    Raises ContentDecodingError for a coding that was not asked for and for data that is no such
    coding or ends too early.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        names = [name.strip().lower() for name in reversed(coding.split(","))]
        names = [name for name in names if name not in ("", "identity")]
        if len(names) > _MOST_CODINGS:
            raise ContentDecodingError(
                f"the body has {len(names)} content codings, at most {_MOST_CODINGS} are decoded"
            )
        self._layers = [_layer(name) for name in names]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What ``data`` adds to the decoded body, possibly nothing yet: pieces of 1 MiB at most,
        each decoded when it is asked for."""
        pieces: Iterable[bytes] = (data,)
        for layer in self._layers:
            pieces = _through(layer, pieces)
        try:
            for piece in pieces:
                if piece:
                    yield piece
        except zlib.error as error:
            raise ContentDecodingError(f"the body is no valid {self._coding}: {error}") from None

    def finish(self) -> None:
        """The body ended."""
        for layer in self._layers:
            layer.finish()


def decode_content(data: bytes, coding: str) -> bytes:
    """A whole body without its codings; errors as ``ContentDecoder``'s."""
    if not coding:
        return data
    decoder = ContentDecoder(coding)
    decoded = join_pieces(decoder.feed(data))
    decoder.finish()
    return decoded


def join_pieces(pieces: Iterable[bytes], *, most_bytes: int = LARGEST_BODY) -> bytes:
    """A body out of its pieces. Raises BodyTooLarge, and takes no more of them then."""
    kept, size = [], 0
    for piece in pieces:
        size += len(piece)
        if size > most_bytes:
            raise BodyTooLarge(
                f"the decoded body is longer than {most_bytes:,} bytes; read it piece by piece"
            )
        kept.append(piece)
    return b"".join(kept)


def _layer(name: str) -> _Layer:
    if name in ("gzip", "x-gzip"):
        return _Gzip()
    if name == "deflate":
        return _Deflate()
    raise ContentDecodingError(f"the body's content-encoding is {name!r}, which was not asked for")


def _through(layer: _Layer, pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        yield from layer.feed(piece)


def _inflated(inflate: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
    while True:
        piece = inflate.decompress(data, _PIECE_BYTES)
        data = inflate.unconsumed_tail
        yield piece
        # A full piece may have left more behind in zlib than what it did not consume.
        if inflate.eof or (not data and len(piece) < _PIECE_BYTES):
            return
