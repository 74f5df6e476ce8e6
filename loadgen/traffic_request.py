"""A request that is described rather than programmed: by options, or by a line of a file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from loadgen.errors import UsageError
from loadgen.request_body import NO_BODY, Body
from loadgen.request_head import encode_headers

__all__ = [
    "METHODS",
    "TrafficRequest",
    "checked_headers",
    "checked_method",
    "checked_path",
]

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_FRAMING: Final = ("content-length", "transfer-encoding")


@dataclass(frozen=True, slots=True, eq=False)
class TrafficRequest:
    """One request, read and checked once, and sent any number of times.

    ``name`` is what it is called in Locust's table. The names of ``headers`` are in lower case.
    With ``stream`` its response is read as server-sent events, as they come. Two of them are never
    equal, so that a dictionary finds one by its identity.
    """

    method: str
    path: str
    name: str
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    body: Body = field(default=NO_BODY, repr=False)
    stream: bool = False


def checked_method(text: str) -> str:
    """A method, in capitals.

    Raises:
        UsageError: it is none of ``METHODS``.
    """
    if text.upper() not in METHODS:
        raise UsageError(f"expected one of {', '.join(METHODS)}, got {text[:80]!r}")
    return text.upper()


def checked_path(text: str) -> str:
    """A path, with its query if it has one.

    Raises:
        UsageError: it cannot be requested as it stands.
    """
    # The space is the only white space that is printable.
    if not text.startswith("/") or " " in text or not text.isprintable():
        raise UsageError(f"expected a path that begins with a slash, got {text[:80]!r}")
    return text


def checked_headers(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by their names in lower case. No message has a value in it: it may be a secret.

    Raises:
        UsageError: one could not be sent, is the client's own to say, or stands there twice.
    """
    headers: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        if lower in headers:
            raise UsageError(f"the header {lower} is there twice")
        if lower in _FRAMING:
            raise UsageError(f"the header {lower} is made from the body and cannot be given")
        headers[lower] = value
    encode_headers(headers)
    return headers
