"""Response heads of containers: taken apart strictly, and written anew for the client."""

import re
from typing import Final, NamedTuple

__all__ = ["ResponseError", "ResponseHead", "parse_response", "recall_response"]

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?\r\n((?:"
    + _TOKEN
    + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*)\r\n"
)
_FIELD: Final = re.compile(
    rb"^(connection|keep-alive|proxy-connection|transfer-encoding|content-length|upgrade|x-edge-[^:]*)"
    rb":[ \t]*(.*?)[ \t]*\r\n",
    re.IGNORECASE | re.MULTILINE,
)
_CONNECTION_ONLY: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_LENGTH: Final = frozenset({b"content-length"})
_LONGEST_NUMBER: Final = 18
_MOST_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 1024
_remembered: dict[bytes, "ResponseHead"] = {}


class ResponseError(Exception):
    """A container answered with what is no HTTP/1 response."""


class ResponseHead(NamedTuple):
    """One response's head.

    ``length`` is that of the body; ``None`` with ``chunked`` false means that it ends with the
    connection. ``head`` is as the client gets it, up to where the edge's own fields go.
    ``keep_alive`` tells whether the container takes another request on this connection.
    """

    status: int
    head: bytes
    length: int | None
    chunked: bool
    keep_alive: bool


def recall_response(head: bytes, *, no_body: bool) -> ResponseHead:
    """As :func:`parse_response`; heads that come again and again are taken apart once."""
    if no_body:
        return parse_response(head, no_body=True)
    response = _remembered.get(head)
    if response is None:
        response = parse_response(head)
        if len(head) <= _LONGEST_REMEMBERED:
            if len(_remembered) >= _MOST_REMEMBERED:
                _remembered.clear()
            _remembered[head] = response
    return response


def parse_response(head: bytes, *, no_body: bool = False) -> ResponseHead:
    """Take a whole head apart; ``no_body`` tells that it answers a HEAD request.

    Raises:
        ResponseError: it is malformed, or in doubt about where the body ends.
    """
    match = _HEAD.fullmatch(head)
    if match is None:
        raise ResponseError("malformed response head")
    minor, code, fields = match.groups()
    status = int(code)
    lengths: list[bytes] = []
    codings: list[bytes] = []
    connection: set[bytes] = set()
    upgrade = b""
    rewrite = False
    for name, value in _FIELD.findall(fields):
        name = name.lower()
        if name == b"content-length":
            lengths.append(value)
            continue
        rewrite = True
        if name == b"transfer-encoding":
            codings.append(value.lower())
        elif name == b"connection":
            connection |= {part.strip().lower() for part in value.split(b",")}
        elif name == b"upgrade":
            upgrade = value
    chunked = bool(codings)
    keep_alive = b"close" not in connection and (
        minor == b"1" or (b"keep-alive" in connection and not chunked)
    )
    # These have neither body nor length (RFC 9110 section 8.6); some clients believe the length.
    no_length = status < 200 or status == 204
    no_body = no_body or no_length or status == 304
    if codings and (codings != [b"chunked"] or lengths):
        raise ResponseError("a transfer coding other than chunked, or beside a length")
    if any(not value.isdigit() or len(value) > _LONGEST_NUMBER for value in lengths):
        raise ResponseError("malformed Content-Length")
    if len(lengths) > 1:
        raise ResponseError("repeated Content-Length")
    length = 0 if no_body else int(lengths[0]) if lengths else None
    written = head[:-2] if minor == b"1" else b"HTTP/1.1" + head[8:-2]
    if rewrite or (lengths and no_length):
        dropped = _CONNECTION_ONLY | connection
        dropped = dropped | _LENGTH if no_length else dropped - _LENGTH
        written = written[: len(written) - len(fields)] + _without(dropped, fields)
        if chunked and not no_body:
            written += b"transfer-encoding: chunked\r\n"
        if status == 101:
            written += b"connection: upgrade\r\nupgrade: " + upgrade + b"\r\n"
    return ResponseHead(status, written, length, chunked and not no_body, keep_alive)


def _without(dropped: frozenset[bytes], fields: bytes) -> bytes:
    """The field lines but for those of such names, and of names that are the edge's own."""
    kept = []
    for line in fields.split(b"\r\n")[:-1]:
        name = line.partition(b":")[0].lower()
        if name not in dropped and not name.startswith(b"x-edge-"):
            kept.append(line + b"\r\n")
    return b"".join(kept)
