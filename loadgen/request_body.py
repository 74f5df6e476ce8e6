"""Request bodies: bytes, text, JSON, forms, and iterators that are sent in chunks."""

import json as json_module
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable
from urllib.parse import urlencode

from loadgen.errors import UsageError

__all__ = ["NO_BODY", "Body", "BodyData", "chunk_frames", "encode_body"]

_FILE_PIECE_BYTES: Final = 64 * 1024


@runtime_checkable
class _Readable(Protocol):
    def read(self, size: int, /) -> bytes | str: ...


@dataclass(frozen=True, slots=True)
class Body:
    """An encoded body: either ``content`` whole, or ``pieces`` of a length not known yet.

    Both ``None`` is no body. ``content_type`` is the header to send unless the caller has one.
    """

    content: bytes | None = None
    pieces: Iterator[bytes] | None = None
    content_type: str | None = None


NO_BODY: Final = Body()

BodyData = (
    Body
    | bytes
    | bytearray
    | memoryview
    | str
    | Mapping[str, object]
    | Iterable[bytes | str]
    | Iterable[tuple[str, object]]
    | _Readable
)


def encode_body(data: BodyData | None, json: object = None) -> Body:
    """``data`` or ``json`` as a body, which ``data`` may be already; text is sent as UTF-8.

    A mapping or a list of pairs becomes a form; any other iterable of bytes or text, or a file
    opened for reading, is sent piece by piece. Raises UsageError for both at once, for JSON that
    cannot be encoded, and for anything else.
    """
    if json is not None:
        if data is not None:
            raise UsageError("give data or json, not both")
        return Body(_json_bytes(json), content_type="application/json")
    match data:
        case None:
            return NO_BODY
        case Body():
            return data
        case bytes():
            return Body(data)
        case bytearray() | memoryview():
            return Body(bytes(data))
        case str():
            return Body(data.encode())
        case Mapping():
            return _form(list(data.items()))
        case list() | tuple() if all(isinstance(item, tuple) and len(item) == 2 for item in data):
            return _form(data)
    if isinstance(data, _Readable):
        return Body(pieces=_encoded(_file_pieces(data)))
    if isinstance(data, Iterable):
        return Body(pieces=_encoded(data))
    raise UsageError(
        "data must be bytes, text, a mapping, pairs, a file or an iterable of bytes, "
        f"not {type(data).__name__}"
    )


def chunk_frames(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """``pieces`` as the chunked transfer coding frames them (RFC 9112 section 7.1)."""
    for piece in pieces:
        if piece:  # an empty chunk would end the body
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _json_bytes(value: object) -> bytes:
    try:
        text = json_module.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.encode()
    except (TypeError, ValueError) as error:
        raise UsageError(f"the json argument cannot be encoded: {error}") from error


def _form(pairs: Iterable[tuple[str, object]]) -> Body:
    content = urlencode(list(pairs), doseq=True).encode()
    return Body(content, content_type="application/x-www-form-urlencoded")


def _file_pieces(file: _Readable) -> Iterator[bytes | str]:
    while piece := file.read(_FILE_PIECE_BYTES):
        yield piece


def _encoded(pieces: Iterable[object]) -> Iterator[bytes]:
    for piece in pieces:
        if isinstance(piece, str):
            yield piece.encode()
        elif isinstance(piece, bytes | bytearray | memoryview):
            yield bytes(piece)
        else:
            raise UsageError(f"a body's pieces must be bytes or text, not {type(piece).__name__}")
