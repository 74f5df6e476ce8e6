"""The recorder as a Prometheus page, in the text format or as OpenMetrics.

Every bucket of a histogram is one line, some thousands in all, each second: what comes before the
numbers is put together once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from flash.buckets import LE
from loadgen.outcome import OUTCOMES
from loadgen.recorder import Channel, Histogram, Recorder

__all__ = ["OPEN_METRICS", "TEXT", "Process", "Run", "accepted", "render"]

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_HISTOGRAMS: Final = (
    (
        "loadgen_request_duration_seconds",
        "request_duration",
        "One attempt that got a non-503 response: first byte sent to last byte received.",
    ),
    (
        "loadgen_time_to_first_byte_seconds",
        "time_to_first_byte",
        "The same attempt, to the first byte of the response.",
    ),
    (
        "loadgen_response_time_seconds",
        "response_time",
        "What a user waited: from the intended start or the call to the final response.",
    ),
    (
        "loadgen_edge_overhead_seconds",
        "edge_overhead",
        "Time to first byte less the server's own time, where Server-Timing tells it.",
    ),
    (
        "loadgen_cold_start_wait_seconds",
        "cold_start_wait",
        "One request's first 503 to its first non-503 response.",
    ),
    (
        "loadgen_schedule_lag_seconds",
        "schedule_lag",
        "How late requests start against the arrival schedule.",
    ),
    (
        "loadgen_time_to_first_token_seconds",
        "time_to_first_token",
        "First byte sent to the first token of a streamed answer.",
    ),
    (
        "loadgen_time_between_tokens_seconds",
        "time_between_tokens",
        "Each further token of a streamed answer after the one before.",
    ),
    (
        "loadgen_session_start_seconds",
        "session_start",
        "How long Modal took to start a session, where users have to ask for them.",
    ),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run, from Locust's start to its stop; times in Unix seconds, ``ended`` 0 while it runs.

    ``info`` has the further labels of ``loadgen_run_info``.
    """

    run: str
    started: float
    ended: float = 0.0
    info: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """The generator's own processes: CPU use (1 is one core) by process, and the workers.

    ``arrival_rate`` is how many arrivals per second are meant now, ``None`` in the closed model.
    ``worker_reports`` and ``worker_changes`` count by result and change; only a master has them.
    """

    cpu_ratio: Mapping[str, float] = field(default_factory=dict)
    workers: int = 0
    arrival_rate: float | None = None
    worker_reports: Mapping[str, int] | None = None
    worker_changes: Mapping[str, int] | None = None
    started: float = 0.0


def accepted(accept: str) -> str:
    """The content type for an ``Accept`` header: OpenMetrics where it is asked for."""
    return OPEN_METRICS if "application/openmetrics-text" in accept else TEXT


def render(recorder: Recorder, runs: Sequence[Run], process: Process, content_type: str) -> bytes:
    """The page, as ``content_type``, one of :data:`TEXT` and :data:`OPEN_METRICS`."""
    page = _Page(open_metrics=content_type == OPEN_METRICS)
    channels = list(recorder)
    page.counter(
        "loadgen_requests_total",
        "Attempts by outcome.",
        (
            ((*_labels(channel), ("outcome", outcome)), channel.outcomes[outcome])
            for channel in channels
            for outcome in OUTCOMES
        ),
    )
    page.counter(
        "loadgen_responses_total",
        "Responses by status code.",
        (
            ((*_labels(channel), ("code", str(code))), count)
            for channel in channels
            for code, count in sorted(channel.codes.items())
        ),
    )
    for name, attribute, text in _HISTOGRAMS:
        page.histogram(
            name, text, ((_labels(channel), getattr(channel, attribute)) for channel in channels)
        )
    page.histogram(
        "loadgen_connect_duration_seconds",
        "Name look-up, TCP and TLS of a new connection.",
        (
            ((*_of_client(client_region), ("region", region)), made)
            for client_region, region, made in recorder.all_connects()
        ),
    )
    page.histogram(
        "loadgen_cold_start_window_seconds",
        "A region's first 503 to the first answer that any user got.",
        (((("region", region),), ended) for region, ended in sorted(recorder.windows.items())),
    )
    page.gauge(
        "loadgen_cold_start_window_open",
        "1 from a region's first 503 until any user gets an answer, else 0.",
        (
            ((("region", region),), int(window.opened is not None))
            for region, window in recorder.cold_starts
        ),
    )
    page.counter(
        "loadgen_cold_start_requests_total",
        "Requests that a cold start made wait.",
        ((_labels(channel), channel.affected) for channel in channels),
    )
    page.counter(
        "loadgen_cold_start_giveups_total",
        "Requests that met the deadline still on 503.",
        ((_labels(channel), channel.giveups) for channel in channels),
    )
    page.counter(
        "loadgen_container_refusals_total",
        "503s that a container answered itself: the response names it.",
        ((_labels(channel), channel.container_refusals) for channel in channels),
    )
    page.counter(
        "loadgen_refused_sessions_total",
        "Sessions that kept meeting 503s while others of the region were answered.",
        ((_labels(channel), channel.refused_sessions) for channel in channels),
    )
    page.counter(
        "loadgen_session_requests_total",
        "Responses by whether the session's previous one came from the same container.",
        (
            ((*_labels(channel), ("container", container)), getattr(channel, container))
            for channel in channels
            for container in ("same", "moved")
        ),
    )
    page.gauge(
        "loadgen_users",
        "Virtual users.",
        ((_labels(channel), recorder.users(channel)) for channel in channels),
    )
    page.gauge(
        "loadgen_in_flight",
        "Requests in flight.",
        ((_labels(channel), recorder.in_flight(channel)) for channel in channels),
    )
    page.gauge(
        "loadgen_cpu_ratio",
        "CPU use of a process of the generator; 1 is one core.",
        (((("process", name),), ratio) for name, ratio in process.cpu_ratio.items()),
    )
    page.gauge("loadgen_workers", "Processes that make load.", [((), process.workers)])
    if process.arrival_rate is not None:
        page.gauge(
            "loadgen_arrival_rate",
            "Arrivals per second that are meant now.",
            [((), process.arrival_rate)],
        )
    for name, text, label, counts in (
        (
            "loadgen_worker_reports_total",
            "Reports of workers by what the master did with them.",
            "result",
            process.worker_reports,
        ),
        (
            "loadgen_worker_changes_total",
            "Workers that joined, were lost, or returned.",
            "change",
            process.worker_changes,
        ),
    ):
        if counts is not None:
            page.counter(name, text, ((((label, of),), count) for of, count in counts.items()))
    page.gauge(
        "loadgen_run_start_timestamp_seconds",
        "When a run started, in Unix seconds.",
        (((("run", run.run),), run.started) for run in runs),
    )
    page.gauge(
        "loadgen_run_end_timestamp_seconds",
        "When a run ended, in Unix seconds; 0 while it runs.",
        (((("run", run.run),), run.ended) for run in runs),
    )
    page.gauge(
        "loadgen_run_info",
        "Always 1; what a run was.",
        (((("run", run.run), *run.info.items()), 1) for run in runs),
    )
    page.gauge(
        "process_start_time_seconds",
        "When the process started, in Unix seconds.",
        [((), process.started)],
    )
    return page.bytes()


Labels = tuple[tuple[str, str], ...]


class _Page:
    def __init__(self, *, open_metrics: bool) -> None:
        self._open_metrics = open_metrics
        self._lines: list[str] = []

    def counter(self, name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> None:
        # OpenMetrics names the family without the suffix that its samples have.
        family = name.removesuffix("_total") if self._open_metrics else name
        self._family(family, "counter", text)
        self._samples(name, samples)

    def gauge(self, name: str, text: str, samples: Iterable[tuple[Labels, float]]) -> None:
        self._family(name, "gauge", text)
        self._samples(name, samples)

    def histogram(
        self, name: str, text: str, histograms: Iterable[tuple[Labels, Histogram]]
    ) -> None:
        self._family(name, "histogram", text)
        for labels, histogram in histograms:
            total = 0
            add = self._lines.append
            for prefix, count in zip(_bucket_prefixes(name, labels), histogram.counts, strict=True):
                total += count
                add(f"{prefix}{total}")
            if total:
                inner = _written(labels)
                add(f"{name}_sum{inner} {histogram.sum!r}")
                add(f"{name}_count{inner} {total}")
            else:
                # An untouched histogram says nothing yet, and saves two hundred lines.
                del self._lines[-len(LE) :]

    def bytes(self) -> bytes:
        if self._open_metrics:
            self._lines.append("# EOF")
        return ("\n".join(self._lines) + "\n").encode()

    def _family(self, name: str, kind: str, text: str) -> None:
        self._lines.append(f"# HELP {name} {text}")
        self._lines.append(f"# TYPE {name} {kind}")

    def _samples(self, name: str, samples: Iterable[tuple[Labels, float]]) -> None:
        self._lines.extend(f"{name}{_written(labels)} {value!r}" for labels, value in samples)


@lru_cache(maxsize=4096)
def _bucket_prefixes(name: str, labels: Labels) -> tuple[str, ...]:
    return tuple(f"{name}_bucket{_written((*labels, ('le', le)))} " for le in LE)


@lru_cache(maxsize=65536)
def _written(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _labels(channel: Channel) -> Labels:
    return (
        *_of_client(channel.client_region),
        ("region", channel.region),
        ("routing", channel.routing),
    )


def _of_client(client_region: str | None) -> Labels:
    return () if client_region is None else (("client_region", client_region),)
