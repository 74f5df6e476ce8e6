"""What the server counts of itself, for Prometheus."""

from collections.abc import Iterator
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from target_app.config import Config
from target_app.durations import Durations

__all__ = ["OTHER_ROUTE", "ROUTES", "Metrics"]

ROUTES: Final = ("/", "/work", "/generate", "/healthz", "/metrics")
OTHER_ROUTE: Final = "other"
"""The ``route`` label of every path that is no route, so that callers cannot invent labels."""

_FROM_THE_START: Final = ("/", "/work", "/generate")
"""Routes that load is sent to: their series begin at zero, so that no first request is lost."""

_OPENMETRICS_END: Final = b"# EOF\n"


class Metrics:
    """The server's series on ``registry``; a request is counted once, when it has ended.

    That is when the last byte of its answer was handed on, or its client had gone.
    """

    def __init__(self, config: Config, registry: CollectorRegistry) -> None:
        self.registry = registry
        container = config.container
        labelled = ("container",)
        self._requests = Counter(
            "target_requests_total",
            "Requests that ended, by route and status code.",
            ("container", "route", "code"),
            registry=registry,
        )
        self._durations = Durations(
            "target_request_duration_seconds",
            "From a request's head to the end of its answer.",
            container=container,
            routes=_FROM_THE_START,
        )
        registry.register(self._durations)
        cache = Counter(
            "target_session_cache_total",
            "Requests with a session whose prefix was cached here (hit) or not (miss).",
            ("container", "result"),
            registry=registry,
        )
        in_flight = Gauge(
            "target_requests_in_flight",
            "Requests being served, scrapes aside.",
            labelled,
            registry=registry,
        )
        boot = Gauge(
            "target_boot_duration_seconds",
            "From the first line of the server's code, after Python's own start, to the open port.",
            labelled,
            registry=registry,
        )
        started = Gauge(
            "target_start_timestamp_seconds",
            "When the server's code began, in Unix seconds.",
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
        self.cache_hit = cache.labels(container, "hit")
        self.cache_miss = cache.labels(container, "miss")
        self.in_flight = in_flight.labels(container)
        self.boot_duration = boot.labels(container)
        self.start_timestamp = started.labels(container)
        self._container = container
        self._by_route_and_code = {
            (route, 200): self._requests.labels(container, route, "200")
            for route in _FROM_THE_START
        }
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
        self._durations.observe(route, duration_s)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All that the registry has, in the format an ``Accept`` header prefers; and its type."""
        encode, content_type = choose_encoder(accept)
        others = encode(_Others(self.registry, self._durations.name))
        end = _OPENMETRICS_END if others.endswith(_OPENMETRICS_END) else b""
        own = self._durations.exposition().encode()
        return b"".join((others.removesuffix(_OPENMETRICS_END), own, end)), content_type


class _Others(Collector):
    """What a registry collects, without the one family that is written by itself."""

    def __init__(self, registry: CollectorRegistry, name: str) -> None:
        self._registry = registry
        self._name = name

    def collect(self) -> Iterator[Metric]:
        return (family for family in self._registry.collect() if family.name != self._name)
