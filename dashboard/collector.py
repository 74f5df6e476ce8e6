"""The heart beat that scrapes: it looks at every target each second and stores what it found."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from dashboard.config import Config
from dashboard.container_counts import ContainerCounts, counts_scrape
from dashboard.erasure import Erased
from dashboard.errors import ExpositionError, ScrapeError, StoreError
from dashboard.ingest import LONGEST_SHARED_S
from dashboard.model import Target, TargetStatus
from dashboard.own_metrics import OwnMetrics
from dashboard.scraper import HttpFetch, Watched
from dashboard.second_beat import SecondBeat
from dashboard.store import STORING, Store

__all__ = ["Collector"]

# Targets that went away are kept in mind this long, should they come back.
_GONE_AFTER_S: Final = 600.0

_log = logging.getLogger(__name__)


class Collector(SecondBeat):
    """Scrapes into the store while it runs. For one event loop."""

    def __init__(
        self,
        config: Config,
        store: Store,
        *,
        metrics: OwnMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(config, store, metrics=metrics, clock=clock)
        metrics.dropped_series.set_function(
            lambda: sum(status.dropped_series for status in self.status())
        )
        self._memories = store.memories()
        self._watching_since = store.watching_since()
        self._watched: dict[str, Watched] = {}
        self._status: dict[str, TargetStatus] = {}
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._changed_since: int | None = None
        self._last_second: dict[str, int] = {}

    def status(self) -> list[TargetStatus]:
        """Every target known now, and how its newest scrape went."""
        return [
            self._status.get(target.key, TargetStatus(target=target)) for target in self.targets()
        ]

    async def delete_run(self, run: str) -> Erased:
        """Delete a run from the store."""
        return await self._store.delete_run(run)

    async def settled(self, within_s: float) -> None:
        """Wait until no scrape is under way, at most ``within_s`` seconds."""
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=within_s)

    def take_changes(self) -> int | None:
        """The earliest second stored since the last call, ``None`` when nothing was."""
        since, self._changed_since = self._changed_since, None
        return since

    def _tick(self, fetch: HttpFetch, second: int) -> None:
        super()._tick(fetch, second)
        if self._metrics.container_counts:
            self._chores.begin(self._keep(self._metrics.container_counts, second), STORING)
        targets = self.targets()
        for target in targets:
            if target.key not in self._in_flight:
                task = asyncio.create_task(self._look(fetch, target, second))
                self._in_flight[target.key] = task
                task.add_done_callback(partial(self._looked, target.key))
        self._let_go(targets)
        # A scrape that is late is stored at its second, and shared out over those missed before
        # it, so roll-ups keep a distance.
        until = second - LONGEST_SHARED_S - int(self._config.scrape_timeout_s) - 3
        self._chores.begin(self._store.roll_up(until), STORING)

    async def _end(self) -> None:
        scrapes = list(self._in_flight.values())
        for task in scrapes:
            task.cancel()
        await asyncio.gather(*scrapes, return_exceptions=True)

    async def _keep(self, counts: ContainerCounts, second: int) -> None:
        result = counts_scrape(counts, second)
        await self._store.write([result])
        self._stored(result.target.key, second)

    async def _look(self, fetch: HttpFetch, target: Target, second: int) -> None:
        watched = self._watched.get(target.key)
        if watched is None:
            watched = Watched(
                target,
                self._memories.pop(target.key, None),
                self._watching_since,
                most_series=self._config.series_limit,
            )
            self._watched[target.key] = watched
        began = time.perf_counter()
        scraping = f"scraping {target.url}"
        error: str | None = None
        series = dropped = 0
        try:
            result = await watched.scrape(fetch, second)
            self._troubles.went_well(scraping)
            left_out = await self._store.write([result])
            self._troubles.went_well(STORING)
            watched.memory = result.memory
            series, dropped = len(result.memory.series), result.dropped_series + left_out
            self._stored(target.key, second)
        except (ScrapeError, ExpositionError) as failed:
            error = str(failed)
            if not target.optional:
                self._troubles.failed(scraping, failed)
        except StoreError as failed:
            error = f"not stored: {failed}"
            self._troubles.failed(STORING, failed)
        except Exception as unexpected:  # supervised: one target must not stop the others
            error = f"{type(unexpected).__name__}: {unexpected}"
            self._troubles.failed(scraping, error, traced=True)
        took = time.perf_counter() - began
        self._metrics.scraped(target.job, took, good=error is None)
        self._note(
            TargetStatus(
                target=target,
                up=error is None,
                error=None if error is None else f"{target.url}: {error}",
                duration_s=took,
                scraped_at=float(second),
                series=series,
                dropped_series=dropped,
            )
        )

    def _note(self, status: TargetStatus) -> None:
        before = self._status.get(status.target.key)
        self._status[status.target.key] = status
        if status.dropped_series and (before is None or not before.dropped_series):
            _log.warning(
                "%s has too many series: %d new ones are not stored; see --series-limit",
                status.target.url,
                status.dropped_series,
            )

    def _stored(self, key: str, second: int) -> None:
        # The seconds missed since the scrape before have got their share of this one.
        last = self._last_second.get(key, second - 1)
        first = last + 1 if 0 < second - last <= LONGEST_SHARED_S else second
        self._changed_since = min(first, self._changed_since or first)
        self._last_second[key] = second

    def _looked(self, key: str, _: asyncio.Task[None]) -> None:
        self._in_flight.pop(key, None)

    def _let_go(self, targets: list[Target]) -> None:
        here = {target.key for target in targets}
        now = self._clock()
        for key, status in list(self._status.items()):
            if key not in here and now - (status.scraped_at or now) > _GONE_AFTER_S:
                self._troubles.forget(f"scraping {status.target.url}")
                self._status.pop(key, None)
                self._watched.pop(key, None)
                self._last_second.pop(key, None)
