"""What the load generator tells of refused sessions, as events of ours."""

import json
from collections.abc import Mapping
from typing import Final
from urllib.parse import urljoin

from dashboard.errors import ScrapeError
from dashboard.model import Event
from dashboard.scraper import Fetch

__all__ = ["SESSION_REFUSED", "GeneratorSessions", "event_of"]

SESSION_REFUSED: Final = "session_refused"
"""The kind of the events; see :mod:`dashboard.refused_sessions` for who reads them."""

_AGAIN_AFTER: Final = 5
_LONGEST_TEXT: Final = 300
_LONGEST_LABEL: Final = 100


class GeneratorSessions:
    """Reads ``/refused_sessions`` beside a metrics page; each look brings what is not stored.

    A page that has no such thing beside it is another program's, and asked less often.
    """

    def __init__(self, metrics_url: str) -> None:
        self._url = urljoin(metrics_url, "/refused_sessions")
        self._last = 0
        self._looked_at = 0
        self._pause = 0

    async def look(self, fetch: Fetch) -> list[Event]:
        """The events since those of the last look that was stored.

        Raises:
            ScrapeError: no answer, or not a list of sessions.
        """
        if self._pause:
            self._pause -= 1
            return []
        try:
            told = _sessions(self._url, await fetch(f"{self._url}?since={self._last}"))
        except ScrapeError:
            # A generator that comes back counts from one again.
            self._last = 0
            self._pause = _AGAIN_AFTER
            raise
        self._looked_at = max((sequence for sequence, _ in told), default=self._last)
        return [event for _, event in told]

    def stored(self) -> None:
        """Note that what the last look brought need not be told again."""
        self._last = self._looked_at


def _sessions(url: str, body: bytes) -> list[tuple[int, Event]]:
    """Numbers and events.

    Raises:
        ScrapeError: it has another form.
    """
    try:
        return [(int(item["sequence"]), event_of(item)) for item in json.loads(body)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ScrapeError(f"{url} is not a list of sessions ({error})") from error


def event_of(item: Mapping[str, object]) -> Event:
    """One refused session as the load generator tells it.

    Raises:
        KeyError, TypeError, ValueError: it has another form.
    """
    session, region = str(item["session"])[:_LONGEST_LABEL], str(item["region"])[:_LONGEST_LABEL]
    numbers = {
        name: float(str(item[name]))
        for name in ("refused", "beside", "seconds", "others_answered", "others_refused")
    }
    labels = {"region": region, "session": session}
    labels |= {name: f"{value:g}" for name, value in numbers.items()}
    labels["answered"] = "1" if item["answered"] else "0"
    if item.get("container") is not None:
        labels["refused_by"] = str(item["container"])[:_LONGEST_LABEL]
    text = (
        f"Session {session} of {region} met {numbers['refused']:,.0f} 503s in "
        f"{numbers['seconds']:.1f} s, while others were answered "
        f"{numbers['others_answered']:,.0f} times"
    )
    at = float(str(item["at"]))
    return Event(at=at, kind=SESSION_REFUSED, text=text[:_LONGEST_TEXT], labels=labels)
