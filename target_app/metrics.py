"""What the server counts of itself, for Prometheus."""

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from flash.buckets import BOUNDS_S
from target_app.config import Config

__all__ = ["OTHER_ROUTE", "ROUTES", "Metrics"]

ROUTES: Final = ("/", "/work", "/generate", "/healthz", "/metrics")
OTHER_ROUTE: Final = "other"
"""The ``route`` label of every path that is no route, so that callers cannot invent labels."""


class Metrics:
    """The server's series on ``registry``; a request is counted once, when it has ended.

    That is when the last byte of its answer was handed on, or its client had gone.
    """

    def __init__(self, config: Config, registry: CollectorRegistry) -> None:
        self.registry = registry
        container = config.container
        self._requests = Counter(
            "target_requests_total",
            "Requests that ended, by route and status code.",
            ("container", "route", "code"),
            registry=registry,
        )
        durations = Histogram(
            "target_request_duration_seconds",
            "From a request's head to the end of its answer.",
            ("container", "route"),
            buckets=BOUNDS_S,
            registry=registry,
        )
        cache = Counter(
            "target_session_cache_total",
            "Requests with a session whose prefix was cached here (hit) or not (miss).",
            ("container", "result"),
            registry=registry,
        )
        labelled = ("container",)
        in_flight = Gauge(
            "target_requests_in_flight", "Requests being served.", labelled, registry=registry
        )
        boot = Gauge(
            "target_boot_duration_seconds",
            "From the start of the process to the port's opening.",
            labelled,
            registry=registry,
        )
        started = Gauge(
            "target_start_timestamp_seconds",
            "When the process started, in Unix seconds.",
            labelled,
            registry=registry,
        )
        info = Gauge(
            "target_info",
            "Always 1; where this server runs.",
            ("container", "region", "cloud"),
            registry=registry,
        )
        info.labels(container, config.region, config.cloud).set(1)
        # Looking a child up costs more than counting, so each is looked up once.
        self.duration = {
            route: durations.labels(container, route) for route in (*ROUTES, OTHER_ROUTE)
        }
        self.cache_hit = cache.labels(container, "hit")
        self.cache_miss = cache.labels(container, "miss")
        self.in_flight = in_flight.labels(container)
        self.boot_duration = boot.labels(container)
        self.start_timestamp = started.labels(container)
        self._container = container
        self._by_route_and_code: dict[tuple[str, int], Counter] = {}
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

    def ended(self, route: str, code: int, duration_s: float) -> None:
        """Count one request that ended after ``duration_s`` seconds."""
        key = (route, code)
        counter = self._by_route_and_code.get(key)
        if counter is None:
            counter = self._requests.labels(self._container, route, str(code))
            self._by_route_and_code[key] = counter
        counter.inc()
        self.duration[route].observe(duration_s)
