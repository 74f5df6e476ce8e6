"""The heart beat: every second on the second it looks at every target and stores what it found."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Final

from dashboard.config import Config
from dashboard.discovery import Discovery, edge_of, platform_of
from dashboard.edge_events import EdgeEvents
from dashboard.errors import ExpositionError, ScrapeError, StoreError
from dashboard.ingest import LONGEST_SHARED_S
from dashboard.model import Event, Target, TargetStatus
from dashboard.own_metrics import OwnMetrics
from dashboard.scraper import HttpFetch, Watched
from dashboard.store import Store

__all__ = ["Collector"]

_FORGET_EVERY_S: Final = 60
# Targets that went away are kept in mind this long, should they come back.
_GONE_AFTER_S: Final = 600.0

_log = logging.getLogger(__name__)


class Collector:
    """Scrapes into the store while it runs. For one event loop."""

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
        metrics.store_bytes.set_function(partial(_bytes, store.path))
        self._clock = clock
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
        self._memories = store.memories()
        self._watching_since = store.watching_since()
        self._watched: dict[str, Watched] = {}
        self._status: dict[str, TargetStatus] = {}
        self._in_flight: dict[str, asyncio.Task[None]] = {}
        self._others: set[asyncio.Task[None]] = set()
        self._changed_since: int | None = None
        self._last_second: dict[str, int] = {}

    def status(self) -> list[TargetStatus]:
        """Every target known now, and how its newest scrape went."""
        return [
            self._status.get(target.key, TargetStatus(target=target))
            for target in self._discovery.targets()
        ]

    @property
    def platform_error(self) -> str | None:
        """Why the platform does not tell its containers, ``None`` when all is well."""
        return self._discovery.error

    async def note(self, event: Event) -> None:
        """Store an event that was told by a user."""
        await self._store.add_events([event])

    async def run(self) -> None:
        """Scrape every second until cancelled."""
        fetch = HttpFetch(timeout_s=self._config.scrape_timeout_s)
        self._discovery.start()
        try:
            while True:
                second = int(self._clock()) + 1
                await asyncio.sleep(max(0.0, second - self._clock()))
                self._tick(fetch, second)
        finally:
            self._discovery.stop()
            tasks = [*self._in_flight.values(), *self._others]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await fetch.close()

    async def settled(self, within_s: float) -> None:
        """Wait until no scrape is under way, at most ``within_s`` seconds."""
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=within_s)

    def take_changes(self) -> int | None:
        """The earliest second stored since the last call, ``None`` when nothing was."""
        since, self._changed_since = self._changed_since, None
        return since

    def _tick(self, fetch: HttpFetch, second: int) -> None:
        targets = self._discovery.targets()
        for target in targets:
            if target.key not in self._in_flight:
                task = asyncio.create_task(self._look(fetch, target, second))
                self._in_flight[target.key] = task
                task.add_done_callback(partial(self._looked, target.key))
        if self._edge_events is not None and not self._asking_edge:
            self._later(self._ask_edge(self._edge_events, fetch), "asking the edge")
        self._let_go(targets)
        # A scrape that is late is stored at its second, and shared out over those missed before
        # it, so roll-ups keep a distance.
        until = second - LONGEST_SHARED_S - int(self._config.scrape_timeout_s) - 3
        self._later(self._store.roll_up(until), "rolling up")
        if second % _FORGET_EVERY_S == 0:
            self._later(
                self._store.forget(
                    raw_before=int(second - self._config.raw_retention_s) // 60 * 60,
                    all_before=int(second - self._config.retention_s) // 60 * 60,
                ),
                "deleting old rows",
            )

    async def _look(self, fetch: HttpFetch, target: Target, second: int) -> None:
        watched = self._watched.get(target.key)
        if watched is None:
            watched = Watched(target, self._memories.pop(target.key, None), self._watching_since)
            self._watched[target.key] = watched
        began = time.perf_counter()
        error: str | None = None
        series = dropped = 0
        try:
            result = await watched.scrape(fetch, second)
            await self._store.write([result])
            watched.memory = result.memory
            series, dropped = len(result.memory.series), result.dropped_series
            self._stored(target.key, second)
        except (ScrapeError, ExpositionError, StoreError) as failed:
            error = f"{target.url}: {failed}"
        except Exception as unexpected:  # supervised: one target must not stop the others
            _log.exception("scraping %s failed", target.url)
            error = f"{target.url}: {type(unexpected).__name__}: {unexpected}"
        took = time.perf_counter() - began
        self._metrics.scraped(target.job, took, good=error is None)
        self._note(
            TargetStatus(
                target=target,
                up=error is None,
                error=error,
                duration_s=took,
                scraped_at=float(second),
                series=series,
                dropped_series=dropped,
            )
        )

    async def _ask_edge(self, edge: EdgeEvents, fetch: HttpFetch) -> None:
        self._asking_edge = True
        try:
            events = await edge.look(fetch)
            if events:
                await self._store.add_events(events)
        except ScrapeError as error:
            _log.debug("the edge's events: %s", error)  # its target tells that it is away
        finally:
            self._asking_edge = False

    def _note(self, status: TargetStatus) -> None:
        before = self._status.get(status.target.key)
        self._status[status.target.key] = status
        if before is not None and before.error == status.error:
            return
        if status.error and not status.target.optional:
            _log.warning("scrape failed: %s", status.error)
        if status.dropped_series and (before is None or not before.dropped_series):
            _log.warning(
                "%s: %d series are not stored, it has too many",
                status.target.url,
                status.dropped_series,
            )

    def _stored(self, key: str, second: int) -> None:
        # The seconds missed since the scrape before have got their share of this one.
        last = self._last_second.get(key, second - 1)
        first = last + 1 if second - last <= LONGEST_SHARED_S else second
        self._changed_since = min(first, self._changed_since or first)
        self._last_second[key] = second

    def _looked(self, key: str, _: asyncio.Task[None]) -> None:
        self._in_flight.pop(key, None)

    def _let_go(self, targets: list[Target]) -> None:
        here = {target.key for target in targets}
        now = self._clock()
        for key, status in list(self._status.items()):
            if key not in here and now - (status.scraped_at or now) > _GONE_AFTER_S:
                self._status.pop(key, None)
                self._watched.pop(key, None)
                self._last_second.pop(key, None)

    def _happened(self, events: list[Event]) -> None:
        self._later(self._store.add_events(events), "storing events")

    def _later(self, work: Coroutine[None, None, None], what: str) -> None:
        async def supervised() -> None:
            try:
                await work
            except StoreError as error:
                _log.error("%s failed: %s", what, error)

        task = asyncio.create_task(supervised())
        self._others.add(task)
        task.add_done_callback(self._others.discard)


def _bytes(path: Path) -> float:
    # What was written lately stands beside the file until SQLite takes it over.
    files = (path, path.with_name(f"{path.name}-wal"))
    return float(sum(file.stat().st_size for file in files if file.exists()))
