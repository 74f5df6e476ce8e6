"""The dashboard over a day's run: answers, ingest, size, memory, live streams, beside Prometheus.

A store is filled with a synthetic run of a day at one second, five regions, sticky and non-sticky
(with ``--data DIR`` it is kept and used again). Then the dashboard is started on it, scraping the
same run as it goes on:

``answers``: every panel over HTTP for several ranges, the newest data included.
``ingest``: processor time a second of the whole process, nobody watching.
``live``: many clients of the live stream; how old the newest point is when it arrives.
``prometheus``: the latency panel beside a real Prometheus' ``histogram_quantile`` on the same data:
the last hour at one second; before that it has every tenth second only, a tenth of our data.
Exit status 1 if a judgement failed.
"""

import argparse
import asyncio
import http.client
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import quote

import numpy as np
import psutil

from benchmarks.peers import free_port, machine, program, running, wait_for_port
from benchmarks.synthetic_run import LATENCY, LINES, PER_SECOND, SyntheticRun, braces
from dashboard.config import Config
from dashboard.model import Target
from dashboard.panels import PANELS
from dashboard.promql import bucket_rate
from dashboard.retention import Retention
from dashboard.scraper import Watched
from dashboard.store import Store
from dashboard.window import window
from flash.buckets import LE

MIB: Final = 1 << 20
HOUR: Final = 3600
RANGES_S: Final = (900, HOUR, 6 * HOUR, 24 * HOUR)
CHECKS: Final = ("answers", "ingest", "live", "prometheus")

MOST_ANSWER_MS: Final = 50.0
MOST_INGEST_MS: Final = 20.0
MOST_STORE_MB: Final = 100.0
MOST_MEMORY_MIB: Final = 300.0
MOST_LAG_S: Final = 1.0

_BATCH: Final = 60
_ROLLED_UP_LATER_S: Final = 68
_THEIRS_EVERY_S: Final = 10
_THEIR_REPEATS: Final = 20
_THEIR_BLOCK_S: Final = 7200


@dataclass(frozen=True, slots=True)
class Limit:
    """A measured value and the most that it may be."""

    what: str
    got: float
    most: float

    @property
    def kept(self) -> bool:
        return self.got <= self.most

    def row(self) -> str:
        return f"| {self.what} | {self.got:.4g} | {self.most:.4g} | {_verdict(self.kept)} |"


def main() -> int:
    options = _parser().parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="bench-dashboard-") as name:
        folder = Path(options.data or name)
        folder.mkdir(parents=True, exist_ok=True)
        run = SyntheticRun()
        page = Page(run)
        try:
            limits = _measured(options, folder, run, page)
        finally:
            page.close()
    print("\n| | got | at most | |\n|---|--:|--:|---|")
    for limit in limits:
        print(limit.row())
    failed = sum(not limit.kept for limit in limits)
    print(f"\n{failed} failed" if failed else "\nall kept")
    return 1 if failed else 0


def _measured(
    options: argparse.Namespace, folder: Path, run: SyntheticRun, page: "Page"
) -> list[Limit]:
    checks, store = options.checks.split(","), folder / "store.sqlite"
    theirs = folder / "openmetrics" if "prometheus" in checks else None
    end = _filled(store, theirs, run, page, hours=options.hours)
    limits = [Limit("store, MB", store.stat().st_size / 1e6, MOST_STORE_MB)]
    ranges = [r for r in RANGES_S if r <= options.hours * HOUR]
    log = folder / "dashboard.log"
    with page.served(), _dashboard(store, page, log) as (port, process):
        ours = _answers(port, end, ranges, options.repeats)
        if "answers" in checks:
            _tell_answers(ours)
            worst = max(_p95(times) for times in ours.values())
            limits.append(Limit("slowest panel's answer, p95, ms", worst, MOST_ANSWER_MS))
        if "ingest" in checks:
            cpu = _cpu_ms(process, options.seconds)
            limits.append(Limit("processor time of a second, ms", cpu, MOST_INGEST_MS))
        if "live" in checks:
            lags = asyncio.run(_lags(port, options.clients, options.seconds))
            late = float(np.quantile(lags, 0.99))
            limits.append(Limit(f"{options.clients} live streams, lag p99, s", late, MOST_LAG_S))
            limits.append(Limit("the same, highest, s", max(lags), MOST_LAG_S))
        memory = process.memory_info().rss / MIB
        limits.append(Limit("memory at the end, MiB", memory, MOST_MEMORY_MIB))
    if theirs is not None:
        limits += _beside_prometheus(folder, theirs, ours, end)
    return limits


# The store.


class Page:
    """The synthetic run's page, served by a process of its own that goes on by a second a look."""

    def __init__(self, run: SyntheticRun) -> None:
        self._run = run
        page = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = page.body
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                page.go_on()

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(HTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                pass  # the dashboard was stopped

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/metrics"
        self.body = b""

    def go_on(self) -> None:
        self._run.advance(int(time.time()))
        self.body = self._run.page()

    @contextmanager
    def served(self) -> Iterator[None]:
        self.go_on()
        process = get_context("fork").Process(target=self._server.serve_forever, daemon=True)
        process.start()
        try:
            yield
        finally:
            process.terminate()
            process.join()

    def close(self) -> None:
        self._server.server_close()


def _filled(path: Path, theirs: Path | None, run: SyntheticRun, page: Page, *, hours: float) -> int:
    """Fill the store, and files for Prometheus; the Unix second up to which that went."""
    told = path.with_name("end")
    if path.exists() and told.exists():
        return int(told.read_text())
    end = int(time.time()) // 60 * 60
    began = time.perf_counter()
    store = Store(path, clock=lambda: end - hours * HOUR)
    try:
        asyncio.run(_fill(store, theirs, run, page, end, hours))
    finally:
        store.close()
    told.write_text(str(end))
    print(f"{hours:g} hours stored in {time.perf_counter() - began:.0f} s", flush=True)
    return end


async def _fill(
    store: Store, theirs: Path | None, run: SyntheticRun, page: Page, end: int, hours: float
) -> None:
    target = Target(key=page.url, job="loadgen", url=page.url)
    retention = Retention(Config(), store)
    text = None if theirs is None else TheirText(theirs)
    batch = []
    for second in range(end - int(hours * HOUR), end):
        run.advance(second)
        batch.append(run.result(target, second))
        if text is not None and (second >= end - HOUR or second % _THEIRS_EVERY_S == 0):
            text.add(run, second)
        if len(batch) == _BATCH:
            await store.write(batch)
            batch.clear()
            await store.roll_up(second - _ROLLED_UP_LATER_S)
            if second % HOUR > HOUR - _BATCH:
                await retention.keep(second)
    await store.write(batch)
    # What the page stands at, for the scraper that goes on from here.
    page.body = run.page()

    async def fetch(url: str) -> bytes:
        return page.body

    watched = Watched(target, None, float(end))
    await store.write([await watched.scrape(fetch, end)])
    if text is not None:
        text.close()


# The dashboard.


@contextmanager
def _dashboard(store: Path, page: Page, log: Path) -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    command = [
        *(sys.executable, "-m", "dashboard", "--port", str(port)),
        *("--store", str(store), "--scrape", page.url),
    ]
    with running(command, port=port, log=log) as process:
        yield port, psutil.Process(process.pid)


Answers = dict[tuple[str, int], list[float]]
"""Milliseconds of each answer, by panel and range."""


def _answers(port: int, end: int, ranges: list[int], repeats: int) -> Answers:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    found: Answers = {(panel, length): [] for length in ranges for panel in PANELS}
    for repeat in range(repeats + 1):
        for panel, length in found:
            took, _ = _timed(connection, _panel_path(panel, end - length, end))
            if repeat:  # the first round warms up
                found[panel, length].append(took)
    connection.close()
    return found


def _panel_path(panel: str, start: int, end: int) -> str:
    return f"/api/panels/{panel}/data?start={start}&end={end}"


def _timed(connection: http.client.HTTPConnection, path: str) -> tuple[float, bytes]:
    began = time.perf_counter()
    connection.request("GET", path, headers={"Accept-Encoding": "identity"})
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1e3
    if answer.status != 200:
        raise SystemExit(f"benchmark: {path} answered {answer.status}: {body[:200]!r}")
    return took, body


def _tell_answers(answers: Answers) -> None:
    ranges = list(dict.fromkeys(length for _, length in answers))
    titles = " | ".join(f"{length / HOUR:g} h" for length in ranges)
    print(f"\nAnswers, median and p95 in ms\n\n| panel | {titles} |\n|---|{'--:|' * len(ranges)}")
    for panel in PANELS:
        told = (
            f"{np.median(answers[panel, length]):.1f} / {_p95(answers[panel, length]):.1f}"
            for length in ranges
        )
        print(f"| `{panel}` | {' | '.join(told)} |", flush=True)


def _cpu_ms(process: psutil.Process, seconds: float) -> float:
    """Processor time of the process in a second, while nobody asks it anything."""
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    used = sum(process.cpu_times()[:2]) - before
    return float(used / (time.monotonic() - began) * 1e3)


VIEWS: Final = ("", "step=10", "region=us-east", "routing=sticky&panel=latency,throughput")
"""What the clients look at: most of them at the same, some at what they chose."""


async def _lags(port: int, clients: int, seconds: float) -> list[float]:
    """How long after its scrape each newest point arrived, of all clients that see seconds."""
    until = time.monotonic() + seconds
    lags: list[float] = []
    await asyncio.gather(*(_watch(port, n, until, lags) for n in range(clients)))
    return lags


async def _watch(port: int, n: int, until: float, lags: list[float]) -> None:
    view = VIEWS[0] if n % 2 else VIEWS[n // 2 % len(VIEWS)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=8 * MIB)
    writer.write(f"GET /api/live?{view} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    first = True
    try:
        while time.monotonic() < until:
            line = await asyncio.wait_for(reader.readline(), 30)
            if not line:
                raise SystemExit("benchmark: a live stream ended")
            found = re.match(rb"id: (\d+)$", line.strip())
            if found and "step" not in view:
                # The points up to this second; the last ones were scraped a second earlier.
                if not first:
                    lags.append(time.time() - (int(found[1]) - 1))
                first = False
    finally:
        writer.close()


# Prometheus.


class TheirText:
    """The latency histogram as OpenMetrics text, a file for each of Prometheus' blocks."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._block = -1
        self._file: TextIO | None = None
        self._prefixes = [
            f"{LATENCY}_bucket{braces((*line, ('le', le)))} " for line in LINES for le in LE
        ]

    def add(self, run: SyntheticRun, second: int) -> None:
        if second // _THEIR_BLOCK_S != self._block:
            self.close()
            self._block = second // _THEIR_BLOCK_S
            self._file = (self._folder / f"{self._block}.txt").open("w")
        values = run.cumulative(LATENCY).astype(np.int64).ravel().tolist()
        tail = f" {second}\n"
        assert self._file is not None
        self._file.write(
            "".join([f"{p}{v}{tail}" for p, v in zip(self._prefixes, values, strict=True)])
        )

    def close(self) -> None:
        if self._file is not None:
            self._file.write("# EOF\n")
            self._file.close()
            self._file = None


def _beside_prometheus(folder: Path, texts: Path, ours: Answers, end: int) -> list[Limit]:
    data = folder / "prometheus"
    if not data.exists():
        began = time.perf_counter()
        for text in sorted(texts.glob("*.txt")):
            command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "-q"]
            subprocess.run([*command, str(text), str(data)], check=True)
            text.unlink()
        print(f"\nPrometheus filled in {time.perf_counter() - began:.0f} s", flush=True)
    (folder / "prometheus.yml").write_text("{}")
    port = free_port()
    command = [
        *(program("prometheus"), f"--config.file={folder / 'prometheus.yml'}"),
        *(f"--storage.tsdb.path={data}", "--storage.tsdb.retention.time=10y"),
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    limits = []
    print("\nOne quantile there, the panel's three here: median / p95 in ms, their samples")
    print("\n| range | Prometheus | here | |\n|---|--:|--:|---|")
    with running(command, port=port, log=folder / "prometheus.log"):
        wait_for_port(port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        _until_ready(connection)
        for length in dict.fromkeys(length for _, length in ours):
            every = 1 if length <= HOUR else _THEIRS_EVERY_S
            times = [
                _timed(connection, _their_path(end, length, every))[0]
                for _ in range(_THEIR_REPEATS + 1)
            ][1:]
            here = ours["latency", length]
            told = [f"{np.median(t):.1f} / {_p95(t):.1f}" for t in (times, here)]
            print(f"| {length / HOUR:g} h | {told[0]} | {told[1]} | every {every} s |", flush=True)
            what = f"latency over {length / HOUR:g} h against Prometheus' fastest, ms"
            limits.append(Limit(what, _p95(here), min(times)))
        _check_same(connection, end)
    return limits


def _until_ready(connection: http.client.HTTPConnection) -> None:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        connection.request("GET", "/-/ready")
        answer = connection.getresponse()
        answer.read()
        if answer.status == 200:
            return
        time.sleep(0.2)
    raise SystemExit("benchmark: Prometheus does not become ready")


def _their_path(end: int, length: int, every: int, q: float = 0.99) -> str:
    step = window(end - length, end, None, now=end).step
    span = f"{max(step, every) + every}s"
    query = f"histogram_quantile({q}, {_buckets(span)})"
    times = f"start={end - length}&end={end}&step={step}"
    return f"/api/v1/query_range?query={quote(query)}&{times}"


def _buckets(span: str) -> str:
    return bucket_rate(LATENCY, by=("region", "routing"), window=span)


def _check_same(connection: http.client.HTTPConnection, end: int) -> None:
    """Both have the same run: the samples of its last quarter of an hour are all there."""
    query = f'sum(increase({LATENCY}_bucket{{le="+Inf"}}[{RANGES_S[0]}s]))'
    _, body = _timed(connection, f"/api/v1/query?query={quote(query)}&time={end - 1}")
    counted = float(json.loads(body)["data"]["result"][0]["value"][1])
    expected = len(LINES) * PER_SECOND * RANGES_S[0]
    if abs(counted / expected - 1) > 0.001:
        raise SystemExit(f"benchmark: Prometheus counts {counted:.0f} samples, not {expected}")


def _p95(times: list[float]) -> float:
    return float(np.quantile(times, 0.95))


def _verdict(kept: bool) -> str:
    return "ok" if kept else "FAILED"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_dashboard", description=__doc__
    )
    checks = ",".join(CHECKS)
    parser.add_argument("--checks", default=checks, help=f"which, comma separated ({checks})")
    parser.add_argument("--hours", type=float, default=24.0, help="length of the run (default 24)")
    parser.add_argument("--repeats", type=int, default=60, help="of each question (default 60)")
    parser.add_argument("--seconds", type=float, default=20.0, help="to watch (default 20)")
    parser.add_argument("--clients", type=int, default=200, help="live streams (default 200)")
    parser.add_argument("--data", help="folder that keeps the stores, to use them again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
