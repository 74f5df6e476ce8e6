"""The panels: what each one shows, as data."""

from dataclasses import dataclass
from typing import Final

__all__ = [
    "PANELS",
    "Buckets",
    "Gauge",
    "Panel",
    "Part",
    "Quantiles",
    "Query",
    "Rate",
    "Samples",
    "Share",
]

_REGION_ROUTING: Final = ("region", "routing")
_QUANTILES: Final = (0.5, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of a histogram; each line has its quantile as a label if ``labelled``."""

    metric: str
    by: tuple[str, ...] = _REGION_ROUTING
    quantiles: tuple[float, ...] = _QUANTILES
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class Rate:
    """Growth per second of a counter, of those series whose label ``only[0]`` is ``only[1]``."""

    metric: str
    by: tuple[str, ...] = _REGION_ROUTING
    only: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples per second that a histogram took."""

    metric: str
    by: tuple[str, ...] = _REGION_ROUTING


@dataclass(frozen=True, slots=True)
class Share:
    """Share (0 to 1) of a counter's growth that ``label`` = ``value`` has in all its values."""

    metric: str
    label: str
    value: str
    by: tuple[str, ...] = _REGION_ROUTING


@dataclass(frozen=True, slots=True)
class Gauge:
    """A gauge's value at the end of each step, added up."""

    metric: str
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Buckets:
    """Samples per second in each bucket of a histogram; label ``le`` is its upper bound."""

    metric: str
    by: tuple[str, ...] = ()


Query = Quantiles | Rate | Samples | Share | Gauge | Buckets


@dataclass(frozen=True, slots=True)
class Part:
    """One query of a panel; ``labels`` are added to its lines, to tell them from other parts'."""

    query: Query
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One chart. ``metric`` is what it is made from, ``meaning`` what it says, in a sentence."""

    id: str
    title: str
    unit: str
    meaning: str
    parts: tuple[Part, ...]

    @property
    def metric(self) -> str:
        names = dict.fromkeys(part.query.metric for part in self.parts)
        return ", ".join(names)


def _panel(id_: str, title: str, unit: str, meaning: str, *parts: Query | Part) -> Panel:
    whole = tuple(part if isinstance(part, Part) else Part(part) for part in parts)
    return Panel(id=id_, title=title, unit=unit, meaning=meaning, parts=whole)


PANELS: Final = {
    panel.id: panel
    for panel in (
        _panel(
            "responses_503",
            "503 responses",
            "1/s",
            "Attempts refused because no container was there, per second.",
            Rate("loadgen_requests_total", only=("outcome", "cold_start")),
        ),
        _panel(
            "latency",
            "Latency",
            "s",
            "One attempt that was answered, first byte sent to last byte received; 503s excluded.",
            Quantiles("loadgen_request_duration_seconds"),
        ),
        _panel(
            "throughput",
            "Throughput by outcome",
            "1/s",
            "Attempts per second by how they ended.",
            Rate("loadgen_requests_total", by=("region", "routing", "outcome")),
        ),
        _panel(
            "response_time",
            "Response time",
            "s",
            "What a user waited, retries and back-off included.",
            Quantiles("loadgen_response_time_seconds"),
        ),
        _panel(
            "time_to_first_byte",
            "Time to first byte",
            "s",
            "The same attempts as latency, to the first byte of the response.",
            Quantiles("loadgen_time_to_first_byte_seconds"),
        ),
        _panel(
            "edge_overhead",
            "Edge overhead",
            "s",
            "Time to first byte less the server's own time: network and proxy.",
            Quantiles("loadgen_edge_overhead_seconds"),
        ),
        _panel(
            "cold_starts",
            "Cold starts",
            "1/s",
            "Requests that met a 503 and were answered in the end, or gave up, per second.",
            Part(Samples("loadgen_cold_start_wait_seconds"), (("result", "answered"),)),
            Part(Rate("loadgen_cold_start_giveups_total"), (("result", "gave_up"),)),
        ),
        _panel(
            "cold_start_wait",
            "Cold start wait",
            "s",
            "A request's first 503 to its first other answer.",
            Quantiles("loadgen_cold_start_wait_seconds"),
        ),
        _panel(
            "affinity",
            "Affinity",
            "ratio",
            "Share of a session's responses that came from the same container as the one before.",
            Share("loadgen_session_requests_total", "container", "same"),
        ),
        _panel(
            "cache_hits",
            "Session cache hits",
            "ratio",
            "Share of requests whose session was in the container's cache.",
            Share("target_session_cache_total", "result", "hit", by=("region",)),
        ),
        _panel(
            "containers",
            "Containers",
            "containers",
            "Containers by the region that they run in and by state, as the platform tells them.",
            Gauge("dashboard_containers", by=("region", "state")),
        ),
        _panel(
            "container_load",
            "Requests in flight per container",
            "requests",
            "What each container is serving, and the concurrency that the autoscaler aims at.",
            Part(Gauge("target_requests_in_flight", by=("container", "region"))),
            Part(Gauge("edge_target_concurrency"), (("measure", "target"),)),
        ),
        _panel(
            "generator",
            "Load generator",
            "mixed",
            "Users, processes and how busy they are, and how late requests start (p99).",
            Part(Gauge("loadgen_users"), (("measure", "users"),)),
            Part(Gauge("loadgen_in_flight"), (("measure", "in_flight"),)),
            Part(Gauge("loadgen_workers"), (("measure", "workers"),)),
            Part(Gauge("loadgen_cpu_ratio", by=("process",)), (("measure", "cpu_ratio"),)),
            Part(
                Quantiles("loadgen_schedule_lag_seconds", (), (0.99,), labelled=False),
                (("measure", "schedule_lag_p99_s"),),
            ),
        ),
        _panel(
            "heatmap",
            "Latency heat map",
            "1/s",
            "Answered attempts per second by latency.",
            Buckets("loadgen_request_duration_seconds"),
        ),
    )
}
"""All panels by id, in the order of the page."""
