"""Request heads: headers checked against injection, and whole requests made ready to send."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from loadgen.errors import UsageError
from loadgen.request_body import NO_BODY, Body, chunk_frames

__all__ = ["IDEMPOTENT", "HeaderMap", "PreparedRequest", "encode_headers", "prepare_request"]

HeaderMap = Mapping[str, str | None]

# RFC 9110 section 9.2.2.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# RFC 9110 section 5.5: visible characters, spaces and tabs between them; nothing that ends a line.
_VALUE: Final = re.compile(
    r"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?"
)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedRequest:
    """One request as bytes, to be sent any number of times by the client that prepared it.

    ``head`` ends after the last header line, ``tail`` is the empty line and the body, ``wire`` is
    both. ``frames`` holds the pieces of a body sent by chunks: such a request can be sent once.
    ``is_plain`` tells that it has none and that its response may have a body.
    """

    method: str
    url: str
    head: bytes
    tail: bytes
    wire: bytes
    is_head: bool
    is_plain: bool
    idempotent: bool
    frames: Iterator[bytes] | None = None


def encode_headers(headers: HeaderMap) -> bytes:
    """``headers`` as lines, each with its line end; what is ``None`` is left out.

    Raises UsageError for a name or value that could not stand in one header line.
    """
    lines = []
    for name, value in headers.items():
        if value is None:
            continue
        if not _TOKEN.fullmatch(name):
            raise UsageError(f"{name[:80]!r} is no header name")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            raise UsageError(
                f"the value of the header {name!r} must be a string of visible Latin-1 "
                "characters without line breaks or space around it"
            )
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode("latin-1")


def prepare_request(
    method: str,
    *,
    url: str,
    target: str,
    host: str,
    defaults: HeaderMap,
    headers: HeaderMap | None = None,
    body: Body = NO_BODY,
) -> PreparedRequest:
    """A request for ``target`` with ``headers`` over ``defaults`` (case does not matter).

    Raises UsageError for a method or header that cannot stand in a request, and for headers that
    contradict the body's framing, which is the client's own to say.
    """
    if not _TOKEN.fullmatch(method):
        raise UsageError(f"{method[:80]!r} is no HTTP method")
    merged = {name.lower(): value for name, value in defaults.items()}
    if headers:
        merged.update((name.lower(), value) for name, value in headers.items())
    framing = _framing(method, merged, body)
    if body.content_type is not None:
        merged.setdefault("content-type", body.content_type)
    lines = encode_headers({"host": merged.pop("host", None) or host, **merged, **framing})
    head = f"{method} {target} HTTP/1.1\r\n".encode("latin-1") + lines
    tail = b"\r\n" + (body.content or b"")
    return PreparedRequest(
        method=method,
        url=url,
        head=head,
        tail=tail,
        wire=head + tail,
        is_head=method == "HEAD",
        is_plain=method != "HEAD" and body.pieces is None,
        idempotent=method in IDEMPOTENT,
        frames=None if body.pieces is None else chunk_frames(body.pieces),
    )


def _framing(method: str, headers: dict[str, str | None], body: Body) -> dict[str, str]:
    if headers.pop("transfer-encoding", None) is not None:
        raise UsageError("transfer-encoding is set by the client; pass an iterator as data")
    declared = headers.pop("content-length", None)
    if body.pieces is not None:
        if declared is not None:
            raise UsageError("content-length cannot go with an iterator, which is sent by chunks")
        return {"transfer-encoding": "chunked"}
    length = len(body.content or b"")
    if declared is not None and declared != str(length):
        raise UsageError(f"content-length says {declared!r} but the body has {length} bytes")
    if body.content is None and method not in _WITH_BODY:
        return {}
    return {"content-length": str(length)}
