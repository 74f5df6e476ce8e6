"""The heart beat where Prometheus scrapes and stores: it looks for targets, events and health."""

import time
from collections.abc import Callable, Container, Iterable, Sequence
from datetime import datetime
from math import ceil
from typing import Final

from dashboard.config import Config
from dashboard.erasure import Erased
from dashboard.errors import ConflictError, PrometheusError
from dashboard.model import Target, TargetStatus
from dashboard.own_metrics import OwnMetrics
from dashboard.prometheus_api import PrometheusApi, PrometheusTarget
from dashboard.scraper import HttpFetch
from dashboard.second_beat import SecondBeat
from dashboard.store import Store

__all__ = ["PrometheusBeat", "statuses"]

_LOOK_EVERY_S: Final = 2
_FOUND_WITHIN_S: Final = 30.0
_JOBS: Final = frozenset({"loadgen", "edge", "target_app"})


def statuses(
    targets: Sequence[Target], told: Iterable[PrometheusTarget], *, new: Container[str] = ()
) -> list[TargetStatus]:
    """How Prometheus fares with our targets, and with others of our jobs that it found itself.

    Those of our targets that it does not scrape are told as such, but for ``new`` ones (by key),
    which it may not have found yet.
    """
    ours = {target.url: target for target in targets}
    found: dict[str, TargetStatus] = {}
    for scraped in told:
        if scraped.scrape_url in ours or scraped.labels.get("job") in _JOBS:
            target = ours.get(scraped.scrape_url) or _found(scraped)
            found[scraped.scrape_url] = _status(target, scraped)
    jobs = {status.target.job for status in found.values()}
    for target in targets:
        # A page that goes by another address there, such as a name in a compose network, is there.
        if target.url not in found and target.job not in jobs:
            why = f"{target.url}: Prometheus does not scrape it; see /sd/targets"
            found[target.url] = TargetStatus(
                target=target, error=None if target.key in new else why
            )
    return list(found.values())


class PrometheusBeat(SecondBeat):
    """Watches beside a Prometheus; events and notes are kept in ``store``. For one event loop."""

    def __init__(
        self,
        config: Config,
        api: PrometheusApi,
        store: Store,
        *,
        metrics: OwnMetrics,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(config, store, metrics=metrics, clock=clock)
        self._api = api
        self._status: list[TargetStatus] | None = None
        self._known_since: dict[str, float] = {}
        self._error: str | None = None
        self._looking = False

    def status(self) -> list[TargetStatus]:
        """Every target known now, and how Prometheus' newest scrape of it went."""
        if self._status is None:
            return [TargetStatus(target=target) for target in self.targets()]
        return self._status

    @property
    def platform_error(self) -> str | None:
        """Why Prometheus, or else the platform, does not answer; ``None`` when all is well."""
        return self._error or super().platform_error

    async def delete_run(self, run: str) -> Erased:
        """Refuse: runs and their points are Prometheus' own."""
        raise ConflictError("run", "runs are kept by Prometheus here, and deleted there")

    async def settled(self, within_s: float) -> None:
        """Nobody tells when Prometheus has scraped, so there is nothing to wait for."""

    def take_changes(self) -> int | None:
        """The earliest second whose scrapes Prometheus may only have now."""
        return int(self._clock()) - 1 - ceil(self._config.prometheus_interval_s)

    def _tick(self, fetch: HttpFetch, second: int) -> None:
        super()._tick(fetch, second)
        if second % _LOOK_EVERY_S == 0 and not self._looking:
            self._chores.begin(self._look(), f"asking {self._api.url}")

    async def _end(self) -> None:
        await self._api.close()

    async def _look(self) -> None:
        self._looking = True
        try:
            told = await self._api.targets()
        except PrometheusError as error:
            self._error = str(error)
            raise
        else:
            self._error = None
            targets, now = self.targets(), self._clock()
            self._known_since = {t.key: self._known_since.get(t.key, now) for t in targets}
            new = {key for key, at in self._known_since.items() if now - at < _FOUND_WITHIN_S}
            self._status = statuses(targets, told, new=new)
        finally:
            self._looking = False


def _found(scraped: PrometheusTarget) -> Target:
    labels = dict(scraped.labels)
    return Target(
        key=scraped.scrape_url,
        job=labels.pop("job", "scrape"),
        url=scraped.scrape_url,
        labels=labels,
    )


def _status(target: Target, scraped: PrometheusTarget) -> TargetStatus:
    if scraped.health == "unknown":
        return TargetStatus(target=target)  # not scraped yet
    up = scraped.health == "up"
    reason = scraped.last_error or f"health is {scraped.health}"
    return TargetStatus(
        target=target,
        up=up,
        error=None if up else f"{target.url}: {reason}",
        duration_s=scraped.last_scrape_duration_s,
        scraped_at=_unix(scraped.last_scrape),
        series=None,
    )


def _unix(told: str) -> float | None:
    try:
        return datetime.fromisoformat(told).timestamp()
    except ValueError:
        return None
