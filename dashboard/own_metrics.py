"""The dashboard's own metrics, served at its ``/metrics``."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dashboard.container_counts import METRIC, ContainerCounts

__all__ = ["OwnMetrics"]


class OwnMetrics(Collector):
    """Counts what the dashboard does, in a registry of its own unless one is given.

    ``container_counts`` are those of now, empty while they are not known.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        self.container_counts: ContainerCounts = {}
        self._durations = Histogram(
            "dashboard_scrape_duration_seconds",
            "From asking a target to having stored its answer.",
            ["job"],
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
            registry=self.registry,
        )
        self._failures = Counter(
            "dashboard_scrape_failures_total",
            "Scrapes that brought nothing.",
            ["job"],
            registry=self.registry,
        )
        self.live_clients = Gauge(
            "dashboard_live_clients", "Open live streams.", registry=self.registry
        )
        self.live_skips = Counter(
            "dashboard_live_skips_total",
            "Live messages that a slow client did not get.",
            registry=self.registry,
        )
        self.dropped_series = Gauge(
            "dashboard_dropped_series",
            "Series that are not stored, since their targets have too many.",
            registry=self.registry,
        )
        self.store_bytes = Gauge(
            "dashboard_store_bytes",
            "Size of the store's file and its write-ahead log.",
            registry=self.registry,
        )
        self.registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What is not kept from one time to the next: a count that is not known has no sample."""
        containers = GaugeMetricFamily(
            METRIC,
            "Containers by the region that they run in and by state, as the platform tells.",
            labels=["region", "state"],
        )
        for place, number in self.container_counts.items():
            containers.add_metric(place, number)
        yield containers

    def scraped(self, job: str, duration_s: float, *, good: bool) -> None:
        """Count one scrape."""
        self._durations.labels(job).observe(duration_s)
        if not good:
            self._failures.labels(job).inc()

    def exposition(self) -> bytes:
        """All of it as text for Prometheus."""
        return generate_latest(self.registry)
