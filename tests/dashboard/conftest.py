"""Pretended targets: metrics pages that say what a test wants, in a store or over real HTTP."""

import asyncio
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from dashboard.answers import PanelData
from dashboard.app import create_app
from dashboard.config import Config
from dashboard.container_counts import counts_scrape
from dashboard.embedded import EmbeddedSource
from dashboard.model import Event, Target
from dashboard.panels import PANELS
from dashboard.scraper import Watched
from dashboard.store import Store
from flash.buckets import LE, bucket_of
from flash.platform import ContainerState

Labels = tuple[tuple[str, str], ...]

START = 1_700_000_000


@dataclass
class FakeMetrics:
    """Counters, gauges and histograms of a pretended process, and their exposition."""

    counters: dict[str, dict[Labels, float]] = field(default_factory=dict)
    gauges: dict[str, dict[Labels, float]] = field(default_factory=dict)
    histograms: dict[str, dict[Labels, list[int]]] = field(default_factory=dict)
    sums: dict[str, dict[Labels, float]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        with self.lock:
            series = self.counters.setdefault(name, {})
            key = tuple(labels.items())
            series[key] = series.get(key, 0.0) + amount

    def gauge(self, name: str, value: float, **labels: str) -> None:
        with self.lock:
            self.gauges.setdefault(name, {})[tuple(labels.items())] = value

    def observe(self, name: str, *values: float, **labels: str) -> None:
        with self.lock:
            key = tuple(labels.items())
            counts = self.histograms.setdefault(name, {}).setdefault(key, [0] * len(LE))
            sums = self.sums.setdefault(name, {})
            for value in values:
                counts[bucket_of(value)] += 1
                sums[key] = sums.get(key, 0.0) + value

    def restart(self) -> None:
        """Forget everything, as a process does that dies and comes back."""
        with self.lock:
            for kept in (self.counters, self.gauges, self.histograms, self.sums):
                kept.clear()

    def exposition(self) -> bytes:
        with self.lock:
            return "".join(self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        for kind, families in (("counter", self.counters), ("gauge", self.gauges)):
            for name, series in families.items():
                yield f"# HELP {name} Pretended.\n# TYPE {name} {kind}\n"
                for labels, value in series.items():
                    yield f"{name}{_braces(labels)} {value!r}\n"
        for name, histograms in self.histograms.items():
            yield f"# TYPE {name} histogram\n"
            for labels, counts in histograms.items():
                cumulative = 0
                for le, count in zip(LE, counts, strict=True):
                    cumulative += count
                    yield f"{name}_bucket{_braces((*labels, ('le', le)))} {cumulative}\n"
                yield f"{name}_sum{_braces(labels)} {self.sums[name].get(labels, 0.0)!r}\n"
                yield f"{name}_count{_braces(labels)} {cumulative}\n"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""


class FakeTarget:
    """A server of one metrics page; ``answer`` may be replaced to misbehave."""

    def __init__(self) -> None:
        self.metrics = FakeMetrics()
        self.answer = self.metrics.exposition
        self.status = 200
        self.visitors: set[str] = set()
        target = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/metrics":
                    target.visitors.add(self.headers["User-Agent"].partition("/")[0])
                body = target.answer()
                self.send_response(target.status)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):  # who asked may have gone
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def fake_metrics() -> FakeMetrics:
    return FakeMetrics()


@pytest.fixture
def fake_targets() -> Iterator[list[FakeTarget]]:
    targets = [FakeTarget() for _ in range(4)]
    yield targets
    for target in targets:
        target.close()


@pytest.fixture
def fake_target() -> Iterator[FakeTarget]:
    target = FakeTarget()
    yield target
    target.close()


class Scraped:
    """A store that is fed with pages of pretended targets at chosen seconds."""

    def __init__(self, path: Path, *, now: float = 0.0) -> None:
        self.path = path
        self.store = Store(path, clock=lambda: now)
        self.watched: dict[str, Watched] = {}
        self.memories = self.store.memories()

    async def look(
        self,
        metrics: FakeMetrics,
        second: int,
        *,
        key: str = "loadgen",
        absent: bool = True,
        **labels: str,
    ) -> None:
        """Scrape ``metrics`` as target ``key`` at ``second`` and store what was found."""
        if key not in self.watched:
            target = Target(key=key, job="test", url="http://test/metrics", labels=labels)
            # By default a target counts from zero, as if nothing had been there before.
            since = self.store.watching_since()
            self.watched[key] = Watched(target, self.memories.get(key), since, was_absent=absent)

        async def fetch(url: str) -> bytes:
            return metrics.exposition()

        result = await self.watched[key].scrape(fetch, second)
        await self.store.write([result])
        self.watched[key].memory = result.memory

    async def count_containers(self, second: int, counts: Mapping[tuple[str, str], int]) -> None:
        """Store how many containers there are at ``second``, by region and state."""
        told = {(region, ContainerState(of)): number for (region, of), number in counts.items()}
        await self.store.write([counts_scrape(told, second)])

    def source(self, now: float = 0.0) -> EmbeddedSource:
        return EmbeddedSource(self.path, clock=lambda: now)


@pytest.fixture
def scraped(tmp_path: Path) -> Iterator[Scraped]:
    made = Scraped(tmp_path / "store.sqlite")
    yield made
    made.store.close()


@pytest.fixture(scope="session")
def open_store() -> type[Scraped]:
    return Scraped


class Dashboard:
    """One process of ``python -m dashboard`` on a free port."""

    def __init__(
        self, store: Path, *arguments: str, environ: Mapping[str, str] | None = None
    ) -> None:
        ours = ("DASHBOARD_", "FLASH_", "MODAL_")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dashboard", "--port", "0", "--store", str(store), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**inherited, **(environ or {})},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("Dashboard: http://127.0.0.1:"), self.process.communicate()
        self.url = line.removeprefix("Dashboard: ").strip().rstrip("/")

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def total(self, panel: str, since: float) -> float:
        """Samples or requests since a Unix time, as a panel of rates tells them."""
        end = time.time() + 2
        data = self.get(f"/api/panels/{panel}/data?start={since}&end={end}&step=1")
        return sum(v or 0.0 for line in data["lines"] for _, v in line["points"]) * data["step"]

    def stop(self, sig: int = signal.SIGTERM) -> tuple[int, str]:
        """The exit status, and what was written to standard error."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        _, errors = self.process.communicate(timeout=10)
        return self.process.returncode, errors


@pytest.fixture
def start() -> Iterator[Callable[..., Dashboard]]:
    started: list[Dashboard] = []

    def begin(store: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> Dashboard:
        started.append(Dashboard(store, *arguments, environ=environ))
        return started[-1]

    yield begin
    for dashboard in started:
        dashboard.stop(signal.SIGKILL)


Until = Callable[..., None]
AsyncUntil = Callable[[Callable[[], bool]], Coroutine[None, None, None]]


@pytest.fixture
def until() -> Until:
    """Waits until a condition holds: ``until(condition, within_s=10)``."""

    def wait(condition: Callable[[], bool], within_s: float = 10.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that in time"
            time.sleep(0.05)

    return wait


@pytest.fixture
def async_until() -> AsyncUntil:
    """As ``until``, for what goes on in the loop of the test itself."""

    async def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it did not come to that in time"
            await asyncio.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
def make_metrics() -> type[FakeMetrics]:
    return FakeMetrics


@pytest.fixture
def start_prometheus(program: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts a Prometheus on a free port and tells its URL: ``start(config, *options)``."""
    started: list[tuple[subprocess.Popen[str], threading.Thread]] = []

    def start(config: str = "{}", *options: str) -> str:
        path = tmp_path / "prometheus.yml"
        path.write_text(config)
        command = [
            program("prometheus"),
            f"--config.file={path}",
            f"--storage.tsdb.path={tmp_path / 'prometheus'}",
            "--storage.tsdb.retention.time=100y",
            "--web.listen-address=127.0.0.1:0",
            *options,
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        # All that it says has to be read, lest it waits for a reader.
        told: queue.SimpleQueue[str] = queue.SimpleQueue()
        reader = threading.Thread(target=lambda: [told.put(line) for line in process.stderr or ()])
        reader.start()
        started.append((process, reader))
        url, ready = "", False
        while not (url and ready):  # it says both, in either order
            line = told.get(timeout=20)
            ready = ready or "ready to receive web requests" in line
            found = re.search(r'msg="Listening on" address=(127\.0\.0\.1:\d+)', line)
            url = f"http://{found[1]}" if found else url
        return url

    yield start
    for process, _ in started:
        process.terminate()
    for process, reader in started:
        process.wait(timeout=20)
        reader.join()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def filled(scraped: Scraped, fake_metrics: FakeMetrics) -> Scraped:
    """Twenty seconds of traffic of two regions and both routings, two of them cold."""

    async def fill() -> None:
        run = {"run": "r1"}
        fake_metrics.gauge("loadgen_run_start_timestamp_seconds", START + 0.5, **run)
        fake_metrics.gauge("loadgen_run_end_timestamp_seconds", START + 19.5, **run)
        fake_metrics.gauge("loadgen_run_info", 1, objective="p99<0.5s", **run)
        for second in range(START, START + 20):
            for region, latency in (("us-east", 0.01), ("eu-west", 0.1)):
                for routing in ("sticky", "non_sticky"):
                    labels = {"region": region, "routing": routing}
                    cold = second < START + 2
                    outcome = "cold_start" if cold else "ok"
                    fake_metrics.count("loadgen_requests_total", 10, **labels, outcome=outcome)
                    fake_metrics.gauge("loadgen_users", 1, **labels)
                    if cold:
                        continue
                    values = [latency] * 9 + [latency * 3]
                    for name in (
                        "loadgen_request_duration_seconds",
                        "loadgen_response_time_seconds",
                        "loadgen_time_to_first_byte_seconds",
                        "loadgen_edge_overhead_seconds",
                    ):
                        fake_metrics.observe(name, *values, **labels)
                    container = "same" if second % 4 else "moved"
                    fake_metrics.count(
                        "loadgen_session_requests_total", 10, **labels, container=container
                    )
            if second == START + 2:
                fake_metrics.observe(
                    "loadgen_cold_start_wait_seconds", 2.0, region="us-east", routing="sticky"
                )
            fake_metrics.count(
                "loadgen_cold_start_giveups_total", 0, region="us-east", routing="sticky"
            )
            fake_metrics.observe("loadgen_schedule_lag_seconds", 0.001)
            fake_metrics.gauge("loadgen_cpu_ratio", 0.25, process="master")
            fake_metrics.gauge("loadgen_workers", 2)
            fake_metrics.gauge("edge_target_concurrency", 8)
            fake_metrics.gauge("target_requests_in_flight", 5, container="a")
            fake_metrics.count("target_session_cache_total", 3, result="hit", region="us-east")
            fake_metrics.count("target_session_cache_total", 1, result="miss", region="us-east")
            await scraped.look(fake_metrics, second)
            await scraped.count_containers(second, {("us-east", "live"): 3})

    asyncio.run(fill())
    return scraped


async def _finished_run(
    scraped: Scraped,
    metrics: FakeMetrics,
    start: int,
    *,
    asked_for: float | None = 1.05,
    live: float | None = 3.05,
    more_events: Sequence[Event] = (),
    settings: bool = True,
    also: Callable[[FakeMetrics, int], None] = lambda metrics, second: None,
    first: int = 1,
    ends: bool = True,
    **info: str,
) -> None:
    """A run from 1 s to 41 s of ten requests a second of 20 ms. Those of the first two seconds are
    refused, four times each, and answered in the second or third after that by the one container.
    """
    run = {"run": "r1"}
    told = {"load_model": "open", "arrival_process": "constant", **info}
    place = {"region": "us-east", "routing": "non_sticky"}
    metrics.gauge("loadgen_run_start_timestamp_seconds", start + 1.0, **run)
    metrics.gauge("loadgen_run_end_timestamp_seconds", 0, **run)
    metrics.gauge("loadgen_run_info", 1, **run, **told)
    for second in range(first, 43):
        if 2 <= second <= 41:
            metrics.count("loadgen_requests_total", 0, **place, outcome="cold_start")
            if second < 4:
                metrics.count("loadgen_cold_start_requests_total", 10, **place)
                metrics.count("loadgen_requests_total", 40, **place, outcome="cold_start")
            else:
                waited = 10 if second in (4, 5) else 0
                answers = [0.02] * (10 + waited)
                metrics.count("loadgen_requests_total", len(answers), **place, outcome="ok")
                metrics.observe("loadgen_request_duration_seconds", *answers, **place)
                metrics.observe("loadgen_response_time_seconds", *answers, **place)
                metrics.observe("loadgen_cold_start_wait_seconds", *[1.5] * waited, **place)
        metrics.gauge("loadgen_users", 30, **place)
        if settings:
            metrics.gauge("edge_min_containers", 0)
            metrics.gauge("edge_max_containers", 4)
            metrics.gauge("edge_buffer_containers", 0)
            metrics.gauge("edge_target_concurrency", 8)
            metrics.gauge("edge_scaleup_window_seconds", 0)
            metrics.gauge("edge_scaledown_window_seconds", 10)
        also(metrics, second)
        if ends and second > 40:
            metrics.gauge("loadgen_run_end_timestamp_seconds", start + 41.0, **run)
        await scraped.look(metrics, start + second)
    life = {"container_starting": asked_for, "container_live": live}
    await scraped.store.add_events(
        [
            *(
                Event(at=start + at, kind=kind, text="a", labels={"container": "a"})
                for kind, at in life.items()
                if at is not None
            ),
            *more_events,
        ]
    )


@pytest.fixture
def finished_run() -> Callable[..., Coroutine[None, None, None]]:
    """Stores a run that woke a container: ``await finished_run(scraped, metrics, start)``."""
    return _finished_run


Ask = Callable[..., dict[str, PanelData]]


@pytest.fixture
def api() -> Ask:
    """What the interface answers for every panel of a store, by the panel's id."""

    async def ask(scraped: Scraped, query: dict[str, object]) -> dict[str, PanelData]:
        source = scraped.source()
        transport = httpx.ASGITransport(create_app(Config(), source))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answers = {}
            for id_ in PANELS:
                answer = await client.get(f"/api/panels/{id_}/data", params=query)
                answers[id_] = PanelData.model_validate_json(answer.text)
        source.close()
        return answers

    return lambda scraped, **query: asyncio.run(ask(scraped, query))
