"""Traffic from a file with one request a line, as a JSON object (JSON Lines, jsonlines.org)."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from loadgen.errors import UsageError
from loadgen.request_body import NO_BODY, Body, encode_body
from loadgen.traffic_request import TrafficRequest, checked_headers, checked_method, checked_path

__all__ = [
    "KEYS",
    "MOST_NAMES",
    "OTHER_NAME",
    "BadLine",
    "RequestFile",
    "parse_request",
    "parse_requests",
    "read_body_file",
    "read_request_file",
]

MOST_NAMES: Final = 500
"""Locust keeps a row for each name, and sends and draws them all: there must not be thousands."""
OTHER_NAME: Final = "(other)"

_MOST_LINES: Final = 1_000_000
_MOST_BYTES: Final = 256 * 1024 * 1024
_MOST_TOLD: Final = 100
_LONGEST_NAME: Final = 200
_JSON_TYPE: Final = "application/json"
_BODIES: Final = ("body", "json", "body_file")
KEYS: Final = ("method", "path", "headers", *_BODIES, "name", "stream")

ReadBody = Callable[[str], Body]


class BadLine(NamedTuple):
    """A line, counted from 1, that is no request."""

    number: int
    what: str


@dataclass(frozen=True, slots=True)
class RequestFile:
    """The requests of a file in its order, and the lines that are none.

    ``renamed`` is how many came too late for a name of their own and are called ``OTHER_NAME``.
    """

    requests: tuple[TrafficRequest, ...]
    bad: tuple[BadLine, ...] = ()
    renamed: int = 0


def read_request_file(path: Path) -> RequestFile:
    """All of a file, which has no bad line; body files are looked for beside it.

    Raises:
        UsageError: it cannot be read, is too large, has no request, or has bad lines, which are
            all told by number.
    """
    left = _MOST_BYTES

    @cache
    def read_body(name: str) -> Body:
        nonlocal left
        body = read_body_file(path.parent / name, most_bytes=left)
        left -= len(body.content or b"")
        return body

    found = parse_requests(BytesIO(_read(path, _MOST_BYTES)), read_body)
    if found.bad:
        raise UsageError(_complaint(path, found.bad))
    if not found.requests:
        raise UsageError(f"{path} has no request")
    return found


def read_body_file(path: Path, *, most_bytes: int = _MOST_BYTES) -> Body:
    """A request's body; that of a ``.json`` file is declared as JSON.

    Raises:
        UsageError: it cannot be read, or has more bytes.
    """
    content_type = _JSON_TYPE if path.suffix.lower() == ".json" else None
    return Body(_read(path, most_bytes), content_type=content_type)


def parse_requests(lines: Iterable[bytes], read_body: ReadBody) -> RequestFile:
    """The requests of a file's lines. ``read_body`` reads a body file, or raises UsageError.

    Blank lines are none. Equal headers are kept once, since a large file has few different ones.

    Raises:
        UsageError: there are more than a million lines.
    """
    requests: list[TrafficRequest] = []
    bad: list[BadLine] = []
    names: dict[str, str] = {}
    renamed = 0
    headers: dict[tuple[tuple[str, str], ...], Any] = {}
    for number, line in enumerate(lines, 1):
        if number > _MOST_LINES:
            raise UsageError(f"a request file may have {_MOST_LINES:,} lines, and this has more")
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not text.strip():
            continue
        try:
            request = parse_request(text, read_body)
        except UsageError as error:
            bad.append(BadLine(number, str(error)))
            continue
        name = names.get(request.name)
        if name is None:
            if len(names) < MOST_NAMES:
                name = names[request.name] = request.name
            else:
                name = OTHER_NAME
                renamed += 1
        same = request.headers and headers.setdefault(
            tuple(request.headers.items()), request.headers
        )
        requests.append(replace(request, name=name, headers=same))
    return RequestFile(tuple(requests), tuple(bad), renamed)


def parse_request(line: bytes, read_body: ReadBody) -> TrafficRequest:
    """The request of one line.

    Raises:
        UsageError: it is none. The message has nothing of headers and bodies in it.
    """
    given = _object(line)
    unknown = [key for key in given if key not in KEYS]
    if unknown:
        raise UsageError(f"unknown key {unknown[0][:80]!r}; there are {', '.join(KEYS)}")
    if "path" not in given:
        raise UsageError("there is no path")
    bodies = [key for key in _BODIES if key in given]
    if len(bodies) > 1:
        raise UsageError(f"{' and '.join(bodies)} contradict each other")
    path = checked_path(_text(given, "path", ""))
    headers = _headers(given.get("headers", {}))
    body = _body(given, read_body)
    stream = given.get("stream", False)
    if not isinstance(stream, bool):
        raise UsageError("stream must be true or false")
    return TrafficRequest(
        method=checked_method(_text(given, "method", "GET" if body is NO_BODY else "POST")),
        path=path,
        name=_name(_text(given, "name", path.partition("?")[0])),
        headers=headers or None,
        body=body,
        stream=stream,
    )


def _read(path: Path, most_bytes: int) -> bytes:
    try:
        if not path.is_file():
            raise UsageError(f"{path} is no file" if path.exists() else f"there is no file {path}")
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > most_bytes:
        raise UsageError(f"{path} has more than the {most_bytes:,} bytes that there is room for")
    return content


def _object(line: bytes) -> dict[str, Any]:
    try:
        given = json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise UsageError(f"not UTF-8 at byte {error.start + 1}") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"not JSON: {error.msg} at character {error.colno}") from None
    except (RecursionError, ValueError):
        raise UsageError("not JSON that can be read: too deep, or a number too long") from None
    if not isinstance(given, dict):
        raise UsageError(f"expected a JSON object, got a {type(given).__name__}")
    return given


def _text(given: dict[str, Any], key: str, otherwise: str) -> str:
    text = given.get(key, otherwise)
    if not isinstance(text, str):
        raise UsageError(f"{key} must be a string")
    return text


def _name(text: str) -> str:
    if not text or not text.isprintable() or len(text) > _LONGEST_NAME:
        raise UsageError(
            f"name must be 1 to {_LONGEST_NAME} printable characters; without one it is the path"
        )
    return text


def _headers(given: object) -> dict[str, str]:
    if not isinstance(given, dict):
        raise UsageError("headers must be an object of names and values")
    return checked_headers(given.items())


def _body(given: dict[str, Any], read_body: ReadBody) -> Body:
    if "json" in given:
        value = given["json"]
        # The client takes None for no body.
        return Body(b"null", content_type=_JSON_TYPE) if value is None else encode_body(None, value)
    if "body_file" in given:
        return read_body(_text(given, "body_file", ""))
    if "body" in given:
        try:
            return Body(_text(given, "body", "").encode())
        except UnicodeEncodeError:
            raise UsageError("body has half of a surrogate pair") from None
    return NO_BODY


def _complaint(path: Path, bad: tuple[BadLine, ...]) -> str:
    """All bad lines: the first ones with what is wrong, the others by number."""
    told = [f"{path}, line {number}: {what}" for number, what in bad[:_MOST_TOLD]]
    if rest := [number for number, _ in bad[_MOST_TOLD:]]:
        told.append(f"{path}, also bad: line {', '.join(_ranges(rest))}")
    return "\n".join(told)


def _ranges(numbers: list[int]) -> list[str]:
    """Ascending numbers, those that follow each other as ``FIRST-LAST``."""
    breaks = [at for at, (a, b) in enumerate(pairwise(numbers), 1) if b != a + 1]
    parts = [numbers[a:b] for a, b in pairwise([0, *breaks, len(numbers)])]
    return [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]
