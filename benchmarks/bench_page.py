"""The dashboard's page in a real browser: first chart, transfer, and what a live update costs.

A dashboard scrapes a pretended load generator, five regions sticky and non-sticky, and headless
Chromium opens its page with an empty cache. Exit status 1 if a goal is missed, 2 without a browser.
"""

import argparse
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.peers import machine
from flash.buckets import LE, bucket_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

REGIONS: Final = {
    "us-east": 0.01,
    "us-west": 0.06,
    "ca-central": 0.03,
    "eu-west": 0.08,
    "ap-south": 0.19,
}
ROUTINGS: Final = ("sticky", "non_sticky")
HISTOGRAMS: Final = (
    "loadgen_request_duration_seconds",
    "loadgen_time_to_first_byte_seconds",
    "loadgen_response_time_seconds",
    "loadgen_edge_overhead_seconds",
)
PER_SECOND: Final = 20
"""Requests of each region and routing."""

FIRST_CHART_S: Final = 1.0
TRANSFER_BYTES: Final = 500_000
UPDATE_BYTES: Final = 20_000
FRAME_MS: Final = 16.0

ARGUMENTS: Final = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync")
FIRST_CHART: Final = """
new MutationObserver((_, observer) => {
  if (!document.querySelector('.js-plotly-plot .scatterlayer path.js-line')) return;
  observer.disconnect();
  // A message that is sent as a frame begins comes when that frame has been painted.
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => { window.firstChart = performance.now(); };
  requestAnimationFrame(() => port2.postMessage(null));
}).observe(document, { childList: true, subtree: true });
"""


DRAWINGS: Final = """
() => {
  const draw = window.Plotly.react;
  window.drawings = [];
  window.Plotly.react = (...given) => {
    const began = performance.now();
    const drawn = draw(...given);
    window.drawings.push(performance.now() - began);
    return drawn;
  };
}
"""
"""Notes how long the drawing of each chart takes; the page draws one in each animation frame."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; ``goal`` is the most that it may be, both in ``unit``."""

    what: str
    values: list[float]
    goal: float
    unit: str

    @property
    def met(self) -> bool:
        return statistics.median(self.values) <= self.goal

    def row(self) -> str:
        middle, most = statistics.median(self.values), max(self.values)
        verdict = "met" if self.met else "MISSED"
        return (
            f"| {self.what} | {self.goal:g} {self.unit} | {middle:.4g} | {most:.4g} | {verdict} |"
        )


@dataclass
class PretendedGenerator:
    """A metrics page whose counters grow with time."""

    counts: dict[tuple[str, str, str], list[int]] = field(default_factory=dict)
    sums: dict[tuple[str, str, str], float] = field(default_factory=dict)
    requests: int = 0
    last: float = field(default_factory=time.monotonic)
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def exposition(self) -> bytes:
        now = time.monotonic()
        fresh = int((now - self.last) * PER_SECOND)
        self.last += fresh / PER_SECOND
        self.requests += fresh
        lines = ["# TYPE loadgen_requests_total counter\n"]
        each = [(region, routing) for region in REGIONS for routing in ROUTINGS]
        for region, routing in each:
            labels = f'region="{region}",routing="{routing}"'
            lines.append(f'loadgen_requests_total{{{labels},outcome="ok"}} {self.requests}\n')
        lines.append("# TYPE loadgen_users gauge\n")
        lines += [f'loadgen_users{{region="{a}",routing="{b}"}} 20\n' for a, b in each]
        for name in HISTOGRAMS:
            lines.append(f"# TYPE {name} histogram\n")
            for region, routing in each:
                lines += self._histogram(name, region, routing, fresh)
        return "".join(lines).encode()

    def _histogram(self, name: str, region: str, routing: str, fresh: int) -> Iterator[str]:
        key = (name, region, routing)
        counts = self.counts.setdefault(key, [0] * len(LE))
        for _ in range(fresh):
            value = REGIONS[region] * self.rng.lognormvariate(0.0, 0.3)
            counts[bucket_of(value)] += 1
            self.sums[key] = self.sums.get(key, 0.0) + value
        labels = f'region="{region}",routing="{routing}"'
        total = 0
        for le, count in zip(LE, counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{le}"}} {total}\n'
        yield f"{name}_sum{{{labels}}} {self.sums.get(key, 0.0)!r}\n"
        yield f"{name}_count{{{labels}}} {total}\n"


def main() -> int:
    options = _parser().parse_args()
    chromium = options.chromium or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        print("no chromium is installed; name one with --chromium PATH", file=sys.stderr)
        return 2
    from playwright.sync_api import sync_playwright

    print(machine())
    with tempfile.TemporaryDirectory(prefix="bench-page-") as name, generator() as metrics:
        with dashboard(Path(name, "store.sqlite"), metrics) as url, sync_playwright() as started:
            time.sleep(options.seconds)

            def browser() -> "Browser":
                return started.chromium.launch(executable_path=chromium, args=[*ARGUMENTS])

            figures = [*_loads(browser, url, options.loads), *_updates(browser, url, options)]
    print("\n| figure | goal | median | most | |\n|---|--:|--:|--:|---|")
    for figure in figures:
        print(figure.row())
    missed = sum(not figure.met for figure in figures)
    print(f"\n{missed} missed" if missed else "\nall met")
    return 1 if missed else 0


def _loads(browser: Callable[[], "Browser"], url: str, loads: int) -> list[Figure]:
    """First chart and transfer, each time in a new browser."""
    first: list[float] = []
    files: list[float] = []
    for _ in range(loads):
        opened = browser()
        page = opened.new_page(viewport={"width": 1280, "height": 900})
        page.add_init_script(FIRST_CHART)
        session = page.context.new_cdp_session(page)
        received = _received(session)
        page.goto(f"{url}/")
        page.wait_for_function("() => window.firstChart !== undefined")
        first.append(page.evaluate("() => window.firstChart") / 1e3)
        page.wait_for_timeout(1000)
        paths = {address.removeprefix(url): size for address, size in received().items()}
        files.append(sum(s for p, s in paths.items() if p == "/" or p.startswith("/static/")))
        opened.close()
    return [
        Figure("first chart painted, cold cache", first, FIRST_CHART_S, "s"),
        Figure("page and its files, compressed", files, TRANSFER_BYTES, "bytes"),
    ]


def _received(session: "CDPSession") -> Callable[[], dict[str, float]]:
    """Bytes over the wire by address, headers included."""
    addresses: dict[str, str] = {}
    sizes: dict[str, float] = {}

    def ended(event: dict[str, Any]) -> None:
        sizes[event["requestId"]] = event["encodedDataLength"]

    session.on(
        "Network.requestWillBeSent",
        lambda event: addresses.__setitem__(event["requestId"], event["request"]["url"]),
    )
    session.on("Network.loadingFinished", ended)
    session.send("Network.enable")
    return lambda: {addresses[id_]: size for id_, size in sizes.items() if id_ in addresses}


def _updates(
    browser: Callable[[], "Browser"], url: str, options: argparse.Namespace
) -> list[Figure]:
    """Bytes of the live stream's updates, and the time that scripts take for one."""
    opened = browser()
    page = opened.new_page(viewport={"width": 1280, "height": 900})
    session = page.context.new_cdp_session(page)
    sizes: list[float] = []

    def came(event: dict[str, Any]) -> None:
        if event["eventName"] == "points":
            sizes.append(float(len(event["data"].encode())))

    session.on("Network.eventSourceMessageReceived", came)
    session.send("Network.enable")
    session.send("Performance.enable")
    page.goto(f"{url}/")
    page.get_by_text("Live", exact=True).wait_for()
    # Until the first drawing of all that is in sight is over.
    page.wait_for_timeout(4000)
    sizes.clear()
    page.evaluate(DRAWINGS)
    scripting: list[float] = []
    for _ in range(options.updates):
        before, seen = _scripting_s(session), len(sizes)
        while len(sizes) == seen:
            page.wait_for_timeout(100)
        page.wait_for_timeout(700)
        scripting.append((_scripting_s(session) - before) * 1e3 / (len(sizes) - seen))
    drawings: list[float] = page.evaluate("() => window.drawings")
    opened.close()
    return [
        Figure("one live update, uncompressed", sizes, UPDATE_BYTES, "bytes"),
        Figure("drawing of one chart, in a frame of its own", drawings, FRAME_MS, "ms"),
        Figure("all scripting of one live update", scripting, FRAME_MS, "ms"),
    ]


def _scripting_s(session: "CDPSession") -> float:
    told = session.send("Performance.getMetrics")["metrics"]
    return next(float(one["value"]) for one in told if one["name"] == "ScriptDuration")


@contextmanager
def generator() -> Iterator[str]:
    """The address of a pretended generator's metrics."""
    pretended = PretendedGenerator()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = pretended.exposition()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def dashboard(store: Path, metrics: str) -> Iterator[str]:
    """The address of a dashboard that scrapes ``metrics``."""
    command = [sys.executable, "-m", "dashboard", "--port", "0", "--store", str(store)]
    process = subprocess.Popen([*command, "--scrape", metrics], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[1].rstrip("/")
    finally:
        process.terminate()
        process.communicate(timeout=10)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.bench_page", description=__doc__)
    parser.add_argument("--chromium", metavar="PATH", help="the browser (default: on the PATH)")
    parser.add_argument("--loads", type=int, default=7, help="loads of the page (default 7)")
    parser.add_argument("--updates", type=int, default=20, help="live updates (default 20)")
    parser.add_argument("--seconds", type=float, default=30, help="scraped before (default 30)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
