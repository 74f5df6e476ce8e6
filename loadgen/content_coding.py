"""gzip and deflate, as ``content-encoding`` names them, whole or piece by piece."""

import zlib
from typing import Final, Protocol

from loadgen.errors import ContentDecodingError

__all__ = ["ContentDecoder", "decode_content"]

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


class _Layer(Protocol):
    def feed(self, data: bytes) -> bytes: ...
    def finish(self) -> None: ...


class _Gzip:
    """RFC 1952: one or more members."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_WINDOW)
        self._fed = False

    def feed(self, data: bytes) -> bytes:
        out = []
        while data:
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(_GZIP_WINDOW)
            self._fed = True
            out.append(self._inflate.decompress(data))
            data = self._inflate.unused_data
        return b"".join(out)

    def finish(self) -> None:
        if self._fed and not self._inflate.eof:
            raise ContentDecodingError("the gzip body ends too early")


class _Deflate:
    """RFC 9110 section 8.4.1.2: the zlib format; many servers send the bare one."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj()
        self._start = b""
        self._decided = False

    def feed(self, data: bytes) -> bytes:
        if not self._decided:
            self._start += data
            if len(self._start) < 2:
                return b""
            data, self._decided = self._start, True
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            if not is_zlib:
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._inflate.decompress(data)

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
        names = (name.strip().lower() for name in reversed(coding.split(",")))
        self._layers = [_layer(name) for name in names if name not in ("", "identity")]

    def feed(self, data: bytes) -> bytes:
        """What ``data`` adds to the decoded body, possibly nothing yet."""
        try:
            for layer in self._layers:
                data = layer.feed(data)
        except zlib.error as error:
            raise ContentDecodingError(f"the body is no valid {self._coding}: {error}") from None
        return data

    def finish(self) -> None:
        """The body ended."""
        for layer in self._layers:
            layer.finish()


def decode_content(data: bytes, coding: str) -> bytes:
    """A whole body without its codings; errors as ``ContentDecoder``'s."""
    if not coding:
        return data
    decoder = ContentDecoder(coding)
    decoded = decoder.feed(data)
    decoder.finish()
    return decoded


def _layer(name: str) -> _Layer:
    if name in ("gzip", "x-gzip"):
        return _Gzip()
    if name == "deflate":
        return _Deflate()
    raise ContentDecodingError(f"the body's content-encoding is {name!r}, which was not asked for")
