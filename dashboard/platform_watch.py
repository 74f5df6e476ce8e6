"""Watches for what no metric tells: which targets there are, what happens to containers and
autoscaler, and which sessions are refused."""

import logging
import time
from collections.abc import Callable
from typing import Final

from dashboard.chores import Chores
from dashboard.config import Config
from dashboard.container_counts import ContainerCounter, ContainerCounts
from dashboard.discovery import Discovery, edge_of, platform_of
from dashboard.edge_events import EdgeEvents
from dashboard.errors import ScrapeError, StoreError
from dashboard.generator_sessions import GeneratorSessions
from dashboard.model import Event, Target
from dashboard.scraper import Fetch
from dashboard.store import STORING, Store

__all__ = ["PlatformWatch"]

_MOST_KEPT: Final = 10_000

_log = logging.getLogger(__name__)

_Teller = EdgeEvents | GeneratorSessions


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
        self._tellers: list[_Teller] = [
            *([] if edge is None else [EdgeEvents(edge)]),
            *map(GeneratorSessions, dict.fromkeys(config.scrape)),
        ]
        # Those that have not answered yet are not asked again.
        self._asking: set[_Teller] = set()
        platform = platform_of(config)
        self._counter = ContainerCounter(() if platform is None else platform.told_states)
        self._discovery = Discovery(
            config,
            platform=platform,
            on_events=self._happened if edge is None else lambda _: None,
            clock=clock,
        )
        # Nobody tells these again, so they are kept until they are stored.
        self._unstored: list[Event] = []

    def start(self) -> None:
        """Begin to look at the platform; within a running event loop."""
        self._discovery.start()

    def stop(self) -> None:
        """Stop looking; a look under way is not waited for."""
        self._discovery.stop()

    def targets(self) -> list[Target]:
        """Everything there is to scrape now."""
        return self._discovery.targets()

    def container_counts(self) -> ContainerCounts:
        """How many containers there are now; empty while the platform does not tell."""
        containers = self._discovery.containers()
        return {} if containers is None else self._counter.count(containers)

    @property
    def error(self) -> str | None:
        """Why the platform does not tell its containers, ``None`` when all is well."""
        return self._discovery.error

    def tick(self, fetch: Fetch) -> None:
        """Have new events stored, but of who is still asked."""
        for teller in self._tellers:
            if teller not in self._asking:
                self._chores.begin(self._ask(teller, fetch), STORING)
        if self._unstored:
            self._chores.begin(self._store_unstored(), STORING)

    async def _ask(self, teller: _Teller, fetch: Fetch) -> None:
        self._asking.add(teller)
        try:
            events = await teller.look(fetch)
            if events:
                await self._store.add_events(events)
            teller.stored()
        except ScrapeError as error:
            _log.debug("events: %s", error)  # its target tells that it is away
        finally:
            self._asking.discard(teller)

    def _happened(self, events: list[Event]) -> None:
        self._unstored += events
        self._chores.begin(self._store_unstored(), STORING)

    async def _store_unstored(self) -> None:
        events, self._unstored = self._unstored, []
        try:
            await self._store.add_events(events)
        except StoreError:
            self._unstored = [*events, *self._unstored][-_MOST_KEPT:]
            raise
