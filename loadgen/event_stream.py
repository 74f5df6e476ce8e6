"""Server-sent events out of the pieces of a body, by the rules of the WHATWG HTML standard.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from loadgen.errors import MalformedResponse

__all__ = ["LONGEST_LINE", "LineSplitter", "ServerSentEvent", "parse_events"]

LONGEST_LINE: Final = 16 * 1024 * 1024
"""Characters of one line, and of one event's data."""

_DIGITS: Final = re.compile(r"[0-9]{1,18}")  # Python refuses to read thousands of them


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event. ``received`` is when the byte that completed it came, by ``perf_counter``.

    ``id`` is the last event id, ``retry_ms`` the reconnection time, as known at this event.
    """

    event: str
    data: str
    id: str
    retry_ms: int | None
    received: float


class LineSplitter:
    """Lines out of text in pieces: ended by CR LF, LF or CR, even where a piece ends between."""

    def __init__(self) -> None:
        self._partial: list[str] = []
        self._partial_chars = 0
        self._after_cr = False

    def feed(self, text: str) -> list[str]:
        """The lines that ``text`` completes, without their ends.

        Raises MalformedResponse for one that does not end within ``LONGEST_LINE``.
        """
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        if not text:
            return []
        self._after_cr = text.endswith("\r")
        *lines, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if lines:
            lines[0] = "".join((*self._partial, lines[0]))
            self._partial.clear()
            self._partial_chars = 0
        if rest:
            self._partial.append(rest)
            self._partial_chars += len(rest)
            if self._partial_chars > LONGEST_LINE:
                raise MalformedResponse(f"a line is longer than {LONGEST_LINE:,} characters")
        return lines

    def rest(self) -> str:
        """What followed the last line end."""
        return "".join(self._partial)


def parse_events(pieces: Iterable[tuple[bytes, float]]) -> Iterator[ServerSentEvent]:
    """The events in ``pieces`` of a body, each with the time it came.

    An event that the stream's end cuts off is dropped, as the standard says. Raises
    MalformedResponse for an event or line without end.
    """
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    splitter = LineSplitter()
    event = last_id = ""
    retry_ms: int | None = None
    data: list[str] = []
    data_chars = 0
    first = True
    for piece, at in pieces:
        text = decode(piece)
        if first and text:
            text, first = text.removeprefix("\ufeff"), False
        for line in splitter.feed(text):
            if not line:
                if data:
                    kind = event or "message"
                    yield ServerSentEvent(kind, "\n".join(data), last_id, retry_ms, at)
                event, data, data_chars = "", [], 0
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "data":
                data.append(value)
                data_chars += len(value) + 1
                if data_chars > LONGEST_LINE:
                    raise MalformedResponse(f"an event is longer than {LONGEST_LINE:,} characters")
            elif field == "event":
                event = value
            elif field == "id" and "\0" not in value:
                last_id = value
            elif field == "retry" and _DIGITS.fullmatch(value):
                retry_ms = int(value)
