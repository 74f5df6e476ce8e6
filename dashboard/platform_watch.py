"""Watches the platform: which targets there are, and what happens to containers and autoscaler."""

import logging
import time
from collections.abc import Callable

from dashboard.chores import Chores
from dashboard.config import Config
from dashboard.discovery import Discovery, edge_of, platform_of
from dashboard.edge_events import EdgeEvents
from dashboard.errors import ScrapeError
from dashboard.model import Event, Target
from dashboard.scraper import Fetch
from dashboard.store import Store

__all__ = ["PlatformWatch"]

_log = logging.getLogger(__name__)


class PlatformWatch:
    """Knows the targets, and stores events. For one event loop.

    Raises:
        ConfigError: the platform that is named cannot be had.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        chores: Chores,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._chores = chores
        edge = edge_of(config)
        # An edge tells more than what is seen from looking at its containers.
        self._edge_events = None if edge is None else EdgeEvents(edge)
        self._discovery = Discovery(
            config,
            platform=platform_of(config),
            on_events=self._happened if edge is None else lambda _: None,
            clock=clock,
        )
        self._asking_edge = False

    def start(self) -> None:
        """Begin to look at the platform; within a running event loop."""
        self._discovery.start()

    def stop(self) -> None:
        """Stop looking; a look under way is not waited for."""
        self._discovery.stop()

    def targets(self) -> list[Target]:
        """Everything there is to scrape now."""
        return self._discovery.targets()

    @property
    def error(self) -> str | None:
        """Why the platform does not tell its containers, ``None`` when all is well."""
        return self._discovery.error

    def ask_edge(self, fetch: Fetch) -> None:
        """Have the edge's new events stored, unless it is still being asked."""
        if self._edge_events is not None and not self._asking_edge:
            self._chores.begin(self._ask_edge(self._edge_events, fetch), "asking the edge")

    async def _ask_edge(self, edge: EdgeEvents, fetch: Fetch) -> None:
        self._asking_edge = True
        try:
            events = await edge.look(fetch)
            if events:
                await self._store.add_events(events)
        except ScrapeError as error:
            _log.debug("the edge's events: %s", error)  # its target tells that it is away
        finally:
            self._asking_edge = False

    def _happened(self, events: list[Event]) -> None:
        self._chores.begin(self._store.add_events(events), "storing events")
