"""Response heads: strict parsing of status line and framing, headers only when asked for."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from loadgen.errors import MalformedResponse

__all__ = ["NO_HEADERS", "Head", "Headers", "parse_head"]

# RFC 9112 sections 4 and 5: no folded lines, no space before the colon, no bare CR or LF, no
# control characters. The reason phrase and its space may be missing, as many servers have it.
_HEAD: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*+))?\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+)\r\n"
)
_STATUS_LINE: Final = re.compile(
    rb"HTTP/1\.[01] [1-9][0-9][0-9](?: [^\x00-\x08\x0a-\x1f\x7f]*+)?\r"
)
_DIGITS: Final = re.compile(rb"[0-9]{1,18}")


class Headers(Mapping[str, str]):
    """Response headers, by name in any case, in the order they came.

    ``headers[name]`` joins repeated ones with ``", "`` (RFC 9110 section 5.2); ``get_all`` keeps
    them apart, which ``set-cookie`` needs. Values are Latin-1 text.
    """

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values

    def get_all(self, name: str) -> list[str]:
        """Every value under ``name``, in order; empty if there is none."""
        return list(self._values.get(name.lower(), ()))

    def raw_items(self) -> list[tuple[str, str]]:
        """Name and value of every header line, names as they were sent."""
        return list(self._pairs)

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"


NO_HEADERS: Final = Headers([])


class Head:
    """One response head. ``raw`` ends with the empty line.

    ``length`` is the declared content length, ``None`` where none was; ``chunked`` tells of
    the chunked transfer coding; ``keep_alive`` whether the peer will leave the connection open.
    Immutable but for what it caches, so responses with equal heads may share one. ``noted`` is
    for what its owner reads out of the headers again and again.
    """

    __slots__ = (
        "_headers",
        "_lower",
        "chunked",
        "keep_alive",
        "length",
        "noted",
        "raw",
        "status",
    )

    def __init__(
        self, raw: bytes, status: int, *, length: int | None, chunked: bool, keep_alive: bool
    ) -> None:
        self.raw = raw
        self.status = status
        self.length = length
        self.chunked = chunked
        self.keep_alive = keep_alive
        self._lower: bytes | None = None
        self._headers: Headers | None = None
        self.noted: Any = None  # Any: it is the owner's own

    @property
    def reason(self) -> str:
        """The reason phrase, possibly empty."""
        return self.raw[13 : self.raw.index(b"\r\n")].decode("latin-1")

    @property
    def headers(self) -> Headers:
        """All headers, parsed on the first call."""
        if self._headers is None:
            lines = self.raw[:-4].decode("latin-1").split("\r\n")[1:]
            pairs = (line.partition(":") for line in lines)
            self._headers = Headers([(name, value.strip(" \t")) for name, _, value in pairs])
        return self._headers

    def header(self, name: str) -> str | None:
        """The first value under ``name``, looked up without parsing the other headers."""
        lower = self._lower
        if lower is None:
            lower = self._lower = self.raw.lower()
        key = b"\r\n%b:" % name.lower().encode("latin-1")
        at = lower.find(key)
        if at < 0:
            return None
        at += len(key)
        return self.raw[at : lower.index(b"\r\n", at)].strip(b" \t").decode("latin-1")

    def __repr__(self) -> str:
        return f"Head({self.status}, length={self.length}, chunked={self.chunked})"


def parse_head(raw: bytes) -> Head:
    """The head in ``raw``, which ends with its empty line.

    Raises MalformedResponse for anything RFC 9112 does not allow, and for repeated or
    contradicting lengths: their body's end would be a guess.
    """
    match = _HEAD.fullmatch(raw)
    if match is None:
        raise MalformedResponse(_complaint(raw))
    lower = raw.lower()
    chunked = False
    if lower.find(b"\r\ntransfer-encoding:") >= 0:
        _check_coding(_values(lower, b"transfer-encoding"), match[1])
        chunked = True
    length = None
    if lower.find(b"\r\ncontent-length:") >= 0:
        length = _length(_values(lower, b"content-length"), chunked=chunked)
    keep_alive = match[1] == b"1"
    if lower.find(b"\r\nconnection:") >= 0:
        options = {part.strip() for part in b",".join(_values(lower, b"connection")).split(b",")}
        keep_alive = b"close" not in options and (keep_alive or b"keep-alive" in options)
    return Head(raw, int(match[2]), length=length, chunked=chunked, keep_alive=keep_alive)


def _values(lower: bytes, name: bytes) -> list[bytes]:
    key = name + b":"
    lines = lower.split(b"\r\n")
    return [line[len(key) :].strip(b" \t") for line in lines if line.startswith(key)]


def _length(values: list[bytes], *, chunked: bool) -> int:
    if chunked:
        raise MalformedResponse("the response has both content-length and transfer-encoding")
    if len(values) != 1:
        raise MalformedResponse(f"the response has {len(values)} content-length headers")
    if not _DIGITS.fullmatch(values[0]):
        raise MalformedResponse(f"the response's content-length is {_shown(values[0])}")
    return int(values[0])


def _check_coding(values: list[bytes], minor_version: bytes) -> None:
    if values != [b"chunked"]:
        shown = _shown(b", ".join(values))
        raise MalformedResponse(f"the response's transfer-encoding is {shown}, not chunked")
    if minor_version != b"1":
        raise MalformedResponse("an HTTP/1.0 response has transfer-encoding")


def _complaint(raw: bytes) -> str:
    if not _STATUS_LINE.match(raw):
        first = raw.partition(b"\n")[0]
        return f"expected a status line like 'HTTP/1.1 200 OK', got {_shown(first)}"
    for line in raw[:-4].split(b"\r\n")[1:]:
        if not _HEAD.fullmatch(b"HTTP/1.1 200\r\n" + line + b"\r\n\r\n") or not line:
            return f"expected a header line like 'name: value', got {_shown(line)}"
    return f"not a response head: {_shown(raw)}"


def _shown(raw: bytes) -> str:
    return repr(raw[:80].decode("latin-1"))
