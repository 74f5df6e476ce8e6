"""What somebody tells of in a list that grows, read as events of ours."""

import json
from collections.abc import Callable, Mapping

from dashboard.errors import ScrapeError
from dashboard.model import Event
from dashboard.scraper import Fetch

__all__ = ["EventList"]


class EventList:
    """Reads a JSON list whose items have a ``sequence``; each look brings what is not stored.

    ``what`` they are is for the error, ``event_of`` makes an event of one; it raises KeyError,
    TypeError or ValueError for another form.
    """

    def __init__(
        self, url: str, what: str, event_of: Callable[[Mapping[str, object]], Event]
    ) -> None:
        self._url = url
        self._what = what
        self._event_of = event_of
        self._last = 0
        self._looked_at = 0

    async def look(self, fetch: Fetch) -> list[Event]:
        """The events since those of the last look that was stored.

        Raises:
            ScrapeError: no answer, or not such a list.
        """
        try:
            body = await fetch(f"{self._url}?since={self._last}")
        except ScrapeError:
            # Who comes back counts from one again.
            self._last = self._looked_at = 0
            raise
        try:
            told = [(int(item["sequence"]), self._event_of(item)) for item in json.loads(body)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ScrapeError(f"{self._url} is not a list of {self._what} ({error})") from error
        self._looked_at = max((sequence for sequence, _ in told), default=self._last)
        return [event for _, event in told]

    def stored(self) -> None:
        """Note that what the last look brought need not be told again."""
        self._last = self._looked_at
