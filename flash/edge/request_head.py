"""Request heads: taken apart strictly, and written anew for a container.

What is refused is what leaves two readers of the same bytes in doubt about where a message ends
(RFC 9112 sections 2.2, 5, 6.3 and 11.2): bare CR or LF, folded lines, blanks before a colon,
control characters, several or malformed lengths, a length beside a transfer coding, a coding other
than ``chunked``.
"""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["LONGEST_HEAD", "RequestError", "RequestHead", "is_hopeless", "parse_request"]

LONGEST_HEAD: Final = 32 * 1024
"""Bytes; a longer head is refused with 431."""

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELDS: Final = rb"((?:" + _TOKEN + rb":[\t\x20-\x7e\x80-\xff]*\r\n)*)"
_HEAD: Final = re.compile(
    rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/(\d)\.(\d)\r\n" + _FIELDS + rb"\r\n"
)
_TARGET: Final = re.compile(rb"(/[^#]*)|(\*)|https?://([^/?#@]+)([/?][^#]*)?", re.IGNORECASE)
_HOST: Final = re.compile(rb"[0-9A-Za-z.\-_~%!$&'()*+;=]+(?::\d*)?|\[[0-9A-Fa-f:.]+\](?::\d*)?")
# A line end of one character only, or a character that no head has.
_HOPELESS: Final = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
_LONGEST_NUMBER: Final = 18

# Fields that concern one connection only (RFC 9110 section 7.6.1).
_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"transfer-encoding"}
)


class RequestError(Exception):
    """A head that is refused with ``status``."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class RequestHead:
    """One request's head. ``length`` is ``None`` where the body is chunked, 0 where there is none.

    ``forward`` is the head as the container gets it, up to where the client's address goes into
    the value of X-Forwarded-For.
    ``upgrade`` tells that the connection may become a tunnel; ``keep_alive`` that another
    request may follow; ``old`` that the client speaks HTTP/1.0; ``expects`` that it waits for
    leave to send the body.
    """

    method: bytes
    forward: bytes
    length: int | None
    session: str | None
    keep_alive: bool
    upgrade: bool
    old: bool
    expects: bool
    idempotent: bool
    modal_key: bytes
    modal_secret: bytes
    authorization: bytes


def is_hopeless(beginning: bytes) -> bool:
    """Whether this can be no beginning of a head, whatever may still follow."""
    return _HOPELESS.search(beginning) is not None


def parse_request(head: bytes, *, guarded: bool = False) -> RequestHead:
    """Take a whole head apart, from the request line to the empty line.

    With ``guarded`` the proxy tokens in it are meant for the edge and do not go on.

    Raises:
        RequestError: the head is refused.
    """
    match = _HEAD.fullmatch(head)
    if match is None:
        raise RequestError(400, "malformed head")
    method, target, major, minor, fields = match.groups()
    if major != b"1":
        raise RequestError(505, "only HTTP/1 is spoken here")
    form = _TARGET.fullmatch(target)
    if method == b"CONNECT" or form is None or (form[2] and method != b"OPTIONS"):
        raise RequestError(400, "malformed request target")
    values = _values(fields)
    old = minor == b"0"
    hosts = values.get(b"host", ())
    if len(hosts) > 1 or (not hosts and not old):
        raise RequestError(400, "expected one Host field")
    if any(_HOST.fullmatch(host) is None for host in (*hosts, form[3] or b"x")):
        raise RequestError(400, "malformed host")
    if form[3] and hosts and form[3].lower() != hosts[0].lower():
        raise RequestError(400, "a request target of another host than the Host field")
    length = _length(values, old=old)
    connection = _members(values.get(b"connection", ()))
    protocols = values.get(b"upgrade", [])
    # A body before the switch, or HTTP/2 in the clear, would pass unseen.
    upgrade = (
        b"upgrade" in connection
        and len(protocols) == 1
        and not protocols[0].lower().startswith(b"h2c")
        and length == 0
        and not old
    )
    sessions = values.get(b"modal-session-id", ())
    if form[3]:
        # RFC 9112 section 3.2.2: the target's host goes before the Host field, which is the same
        # but for its case, as HAProxy wants it: whoever reads only one of them is not misled.
        path = form[4] or b"/"
        target = path if path.startswith(b"/") else b"/" + path
    start = method + b" " + target + b" HTTP/1.1\r\n"
    if form[3] or not hosts:
        start += b"host: " + (form[3] or b"localhost") + b"\r\n"
        values[b"host"] = []  # left out below
    return RequestHead(
        method=method,
        forward=start
        + _kept(
            fields,
            connection | (_credentials(values) if guarded else frozenset()),
            length=length,
            upgrade=upgrade,
            values=values,
        ),
        length=length,
        session=str(sessions[0], "latin-1") if sessions and sessions[0] else None,
        keep_alive=b"close" not in connection and (not old or b"keep-alive" in connection),
        upgrade=upgrade,
        old=old,
        expects=b"expect" in values,
        idempotent=method in _IDEMPOTENT,
        modal_key=_only(values, b"modal-key"),
        modal_secret=_only(values, b"modal-secret"),
        authorization=_only(values, b"authorization"),
    )


def _values(fields: bytes) -> dict[bytes, list[bytes]]:
    values: dict[bytes, list[bytes]] = {}
    for line in fields.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        values.setdefault(name.lower(), []).append(value.strip(b" \t"))
    return values


def _length(values: dict[bytes, list[bytes]], *, old: bool) -> int | None:
    lengths, codings = values.get(b"content-length"), values.get(b"transfer-encoding")
    if codings is not None:
        if lengths is not None or old:
            raise RequestError(400, "a transfer coding beside a length, or from HTTP/1.0")
        if len(codings) != 1 or codings[0].lower() != b"chunked":
            raise RequestError(501, "the one transfer coding known is chunked")
        return None
    if lengths is None:
        return 0
    if len(lengths) != 1 or not lengths[0].isdigit() or len(lengths[0]) > _LONGEST_NUMBER:
        raise RequestError(400, "malformed or repeated Content-Length")
    return int(lengths[0])


def _credentials(values: dict[bytes, list[bytes]]) -> frozenset[bytes]:
    """The names of the fields that carry a proxy token."""
    bearer = _only(values, b"authorization").lower().startswith(b"bearer wk-")
    return frozenset({b"modal-key", b"modal-secret"} | ({b"authorization"} if bearer else set()))


def _kept(
    fields: bytes,
    connection: frozenset[bytes],
    *,
    length: int | None,
    upgrade: bool,
    values: dict[bytes, list[bytes]],
) -> bytes:
    """The fields as they go on, up to the client's address in the last one's value."""
    drop = _HOP_BY_HOP | connection | {b"x-forwarded-for", b"x-forwarded-proto"}
    # Nothing may take away what says where the body ends, or which session it is.
    drop -= {b"content-length", b"host", b"modal-session-id"}
    if not values.get(b"host"):
        drop |= {b"host"}
    # Not every reader takes a tab before the number, or zeros.
    added = b""
    if length is None:
        added = b"transfer-encoding: chunked\r\n"
    elif b"content-length" in values:
        plain = b"content-length: %d\r\n" % length
        if plain not in fields.lower():
            drop |= {b"content-length"}
            added = plain
    if not drop.isdisjoint(values):
        fields = b"".join(
            line + b"\r\n"
            for line in fields.split(b"\r\n")[:-1]
            if line.partition(b":")[0].lower() not in drop
        )
    if upgrade:
        added += b"connection: upgrade\r\nupgrade: " + values[b"upgrade"][0] + b"\r\n"
    return (
        fields
        + added
        + b"x-forwarded-for: "
        + b"".join(address + b", " for address in values.get(b"x-forwarded-for", ()) if address)
    )


def _members(values: list[bytes] | tuple[()]) -> frozenset[bytes]:
    return frozenset(
        member.strip().lower() for value in values for member in value.split(b",") if member.strip()
    )


def _only(values: dict[bytes, list[bytes]], name: bytes) -> bytes:
    found = values.get(name, ())
    return found[0] if len(found) == 1 else b""
