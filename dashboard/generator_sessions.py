"""What the load generator tells of refused sessions, as events of ours."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urljoin

from dashboard.errors import ScrapeError
from dashboard.event_list import EventList
from dashboard.model import Event
from dashboard.scraper import Fetch

__all__ = ["SESSION_REFUSED", "GeneratorSessions", "event_of"]

SESSION_REFUSED: Final = "session_refused"
"""The kind of the events; see :mod:`dashboard.refused_sessions` for who reads them."""

_AGAIN_AFTER: Final = 5
_LONGEST_TEXT: Final = 300
_LONGEST_LABEL: Final = 100


class GeneratorSessions(EventList):
    """Reads ``/refused_sessions`` beside a metrics page; each look brings what is not stored.

    A page that has no such thing beside it is another program's, and asked less often.
    """

    def __init__(self, metrics_url: str) -> None:
        super().__init__(urljoin(metrics_url, "/refused_sessions"), "sessions", event_of)
        self._pause = 0

    async def look(self, fetch: Fetch) -> list[Event]:
        """As of any list, but for a while nothing after an error.

        Raises:
            ScrapeError: no answer, or not a list of sessions.
        """
        if self._pause:
            self._pause -= 1
            return []
        try:
            return await super().look(fetch)
        except ScrapeError:
            # Also who answers with something else may count from one when it has such a list.
            self._last = self._looked_at = 0
            self._pause = _AGAIN_AFTER
            raise


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
