"""A heart beat: every second on the second it watches the platform, and does what a kind adds."""

import asyncio
import logging
import time
from collections.abc import Callable

from dashboard.chores import Chores
from dashboard.config import Config
from dashboard.model import Event, Target
from dashboard.own_metrics import OwnMetrics
from dashboard.platform_watch import PlatformWatch
from dashboard.retention import Retention
from dashboard.scraper import HttpFetch
from dashboard.store import STORING, Store
from dashboard.troubles import Troubles

__all__ = ["SecondBeat"]

_log = logging.getLogger(__name__)


class SecondBeat:
    """What the kinds of heart beat have in common. For one event loop.

    Raises:
        ConfigError: the platform that is named cannot be had.
    """

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        metrics: OwnMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._troubles = Troubles(_log)
        self._chores = Chores(self._troubles)
        self._platform = PlatformWatch(config, store, self._chores, clock=clock)
        self._retention = Retention(config, store)
        metrics.store_bytes.set_function(store.size_bytes)

    def targets(self) -> list[Target]:
        """Everything there is to scrape now."""
        return self._platform.targets()

    @property
    def platform_error(self) -> str | None:
        """Why the platform does not tell its containers, ``None`` when all is well."""
        return self._platform.error

    async def note(self, event: Event) -> None:
        """Store an event that was told by a user."""
        await self._store.add_events([event])

    async def run(self) -> None:
        """Beat every second until cancelled."""
        fetch = HttpFetch(timeout_s=self._config.scrape_timeout_s)
        self._platform.start()
        try:
            while True:
                now = self._clock()
                second = int(now) + 1
                await asyncio.sleep(second - now)
                self._tick(fetch, second)
        finally:
            self._platform.stop()
            await self._chores.end()
            await self._end()
            await fetch.close()

    def _tick(self, fetch: HttpFetch, second: int) -> None:
        """Begin what is due at a second, and wait for none of it."""
        self._platform.tick(fetch)
        self._metrics.container_counts = self._platform.container_counts()
        if self._retention.due(second):
            self._chores.begin(self._retention.keep(second), STORING)

    async def _end(self) -> None:
        """End what a kind has under way, and close what it has open."""
