"""The whole chain at a steady rate for a long time: edge and containers, Locust's fleet, dashboard.

Requests come due by a schedule, so their number is known beforehand, and all parties have to count
just as many. Of every process the memory must not grow by more than two hundredths after the
warm-up, nor the open files; every second must have been scraped, and the store must grow as it did
at first. Exit status 1 if a judgement failed.
"""

import argparse
import json
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.request import ProxyHandler, build_opener

import psutil

from benchmarks.accuracy import Judgement
from benchmarks.metrics_page import MetricsPage
from benchmarks.peers import free_port, free_ports, machine, running

REGIONS = ("us-east", "eu-west")
MIB = 1 << 20
LARGEST_GROWTH = 0.02
"""Share of a process's memory that may be added after the warm-up."""
KEPT_CONNECTIONS = 4
"""So many more may be open to be used again, after a moment in which more were needed at once."""
STORE_SLACK = 0.15
"""Share by which the store's growth in the second half may differ from that in the first; twice as
much in less than ten minutes, in which a few pages make a difference."""

_OPENER = build_opener(ProxyHandler({}))
_USERS = 40


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure that is to be ``most`` at most; less is as good."""

    what: str
    most: float
    got: float

    @property
    def passed(self) -> bool:
        return self.got <= self.most

    def row(self) -> str:
        verdict = "ok" if self.passed else "FAILED"
        return f"| {self.what} | {self.most:.7g} at most | {self.got:.7g} | | {verdict} |"


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment.

    ``own_bytes`` is its resident memory without pages of files, where the system tells these
    apart: the dashboard has its store's pages mapped, and they are the system's to take.
    """

    at_s: float
    own_bytes: int
    open_files: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts are."""

    admin: str
    locust: str
    metrics: int
    board: str


class Watch:
    """Samples every process, and the store, once a second."""

    def __init__(self, roots: Sequence[tuple[str, int]], store: Path) -> None:
        self.processes: defaultdict[str, list[Sample]] = defaultdict(list)
        self.store: list[tuple[float, int]] = []
        self._roots, self._store = roots, store

    def look(self, at_s: float) -> None:
        for name, pid in self._roots:
            parent = psutil.Process(pid)
            for number, process in enumerate((parent, *parent.children(recursive=True))):
                with suppress(psutil.NoSuchProcess), process.oneshot():
                    memory = process.memory_info()
                    own_bytes = memory.rss - getattr(memory, "shared", 0)
                    sample = Sample(at_s, own_bytes, process.num_fds())
                    self.processes[f"{name} {number}" if number else name].append(sample)
        self.store.append((at_s, _store_bytes(self._store)))


def main() -> int:
    options = _parser().parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(2))  # with what was started
    print(machine(), flush=True)
    seconds = round(options.minutes * 60)
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        judgements = _soak(Path(name), seconds=seconds, rate=options.rate, busy=options.busy)
    print(f"\n{options.rate}/s for {seconds:,} s\n")
    print("| | expected | got | off | |\n|---|--:|--:|--:|---|")
    for judgement in judgements:
        print(judgement.row())
    failed = sum(not judgement.passed for judgement in judgements)
    print(f"\n{failed} failed" if failed else "\nall as expected")
    return 1 if failed else 0


def _soak(folder: Path, *, seconds: int, rate: int, busy: bool) -> list[Judgement | Limit]:
    store = folder / "dashboard.sqlite"
    with ExitStack() as stack:
        where, roots = _started(stack, folder, store, seconds=seconds, rate=rate)
        watch = Watch(roots, store)
        stack.enter_context(_page_open(where, window_s=_warm_s(seconds) - 30))
        began, started = time.monotonic(), time.time()
        before = _own_metrics(where)
        while (at_s := time.monotonic() - began) < seconds + 10:
            watch.look(at_s)
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began - at_s)))
        _until_stopped(where)
        time.sleep(3)  # the dashboard scrapes the end of the run
        own = _own_metrics(where).since(before)
        return [
            *_counts(where, rate * seconds, started=started),
            *([] if busy else _scrapes(where, own, started=started, seconds=seconds)),
            *_growth(watch, seconds),
        ]


def _started(
    stack: ExitStack, folder: Path, store: Path, *, seconds: int, rate: int
) -> tuple[Addresses, list[tuple[str, int]]]:
    """Start all parts; they end with ``stack``."""
    admin, web, master, metrics, board = (free_port() for _ in range(5))
    first = free_ports(len(REGIONS))
    where = Addresses(
        f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{web}", metrics, f"http://127.0.0.1:{board}"
    )
    python = (sys.executable, "-m")
    regions = [word for region in REGIONS for word in ("--region", region)]
    edge = (
        *(*python, "flash.edge", *regions, "--admin-port", str(admin), "--no-rtt"),
        *("--first-port", str(first), "--min-containers", "2", "--max-containers", "2"),
    )
    dashboard = (
        *(*python, "dashboard", "--port", str(board), "--store", str(store)),
        *("--scrape", f"http://127.0.0.1:{metrics}/metrics", "--flash-edge", where.admin),
    )
    locust = (
        *(*python, "locust", "-f", "loadgen", "--flash-edge", where.admin, "--processes", "2"),
        *("--master-bind-host", "127.0.0.1", "--master-bind-port", str(master)),
        *("--master-host", "127.0.0.1", "--master-port", str(master)),
        *("--web-port", str(web), "--metrics-port", str(metrics), "--autostart"),
        *("--arrival-rate", f"0:{rate},{seconds}:{rate},{seconds}:0", "-u", str(_USERS)),
        *("-r", str(_USERS), "--run-time", f"{seconds + 5}s", "--stop-timeout", "30"),
    )
    roots = []
    for name, command, port in (
        ("edge", edge, admin),
        ("dashboard", dashboard, board),
        ("locust", locust, web),
    ):
        process = stack.enter_context(running(command, port=port, log=folder / f"{name}.log"))
        roots.append((name, process.pid))
        if name == "edge":
            _until_live(where)
    return where, roots


@contextmanager
def _page_open(where: Addresses, *, window_s: float) -> Iterator[None]:
    """Do as a browser does that has the dashboard's page open, until the block is left.

    It shows the last ``window_s`` seconds.
    """
    over = threading.Event()

    def follow() -> None:
        stream = _OPENER.open(f"{where.board}/api/live?panel=latency,throughput", timeout=30)
        with stream, suppress(OSError):
            while not over.is_set():
                stream.readline()

    def ask() -> None:
        while not over.wait(5.0):
            since = f"start={time.time() - window_s:.0f}"
            for panel in ("latency", "throughput", "generator", "heatmap"):
                _json(f"{where.board}/api/panels/{panel}/data?{since}")

    threads = [threading.Thread(target=work, daemon=True) for work in (follow, ask)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(10)


def _counts(where: Addresses, meant: int, *, started: float) -> list[Judgement]:
    """Every party's count of the requests that were meant to be made."""
    page = MetricsPage.scrape(where.metrics)
    stats = _json(f"{where.locust}/stats/requests")["stats"]
    table = next(row for row in stats if row["name"] == "Aggregated")
    edge = MetricsPage.parse(_text(f"{where.admin}/metrics"))
    containers = [
        MetricsPage.parse(_text(f"http://{one['host']}:{one['port']}/metrics"))
        for one in _json(f"{where.admin}/containers")
    ]
    window = f"start={started - 10:.0f}&end={time.time() + 5:.0f}&step=1"
    shown = _json(f"{where.board}/api/panels/throughput/data?{window}")["lines"]
    values = [value or 0.0 for line in shown for _, value in line["points"]]
    return [
        Judgement("Locust's table", meant, table["num_requests"]),
        Judgement("/metrics, ok", meant, page.total("loadgen_requests_total", outcome="ok")),
        Judgement("/metrics, all", meant, page.total("loadgen_requests_total")),
        Judgement("latencies", meant, page.total("loadgen_request_duration_seconds_count")),
        Judgement("edge, 200", meant, edge.total("edge_requests_total", code="200")),
        Judgement(
            "containers",
            meant,
            sum(one.total("target_requests_total", route="/") for one in containers),
        ),
        Judgement("dashboard's store", meant, round(sum(values), 3)),
        Judgement("reports missed", 0, page.total("loadgen_worker_reports_total", result="missed")),
    ]


def _scrapes(
    where: Addresses, own: MetricsPage, *, started: float, seconds: int
) -> list[Judgement | Limit]:
    """Whether every second of the run was scraped, and in time."""
    name = "dashboard_scrape_duration_seconds"
    late = own.total(f"{name}_count") - own.total(f"{name}_bucket", le="1.0")
    window = f"start={started + 5:.0f}&end={started + seconds - 5:.0f}&step=1"
    shown = _json(f"{where.board}/api/panels/throughput/data?{window}")["lines"]
    there = {at for line in shown for at, value in line["points"] if value}
    return [
        Judgement("scrapes that took over 1 s", 0, late),
        Judgement("scrapes that failed", 0, own.total("dashboard_scrape_failures_total")),
        Judgement("seconds with answers", len(shown[0]["points"]), len(there)),
    ]


def _own_metrics(where: Addresses) -> MetricsPage:
    return MetricsPage.parse(_text(f"{where.board}/metrics"))


def _growth(watch: Watch, seconds: int) -> list[Judgement | Limit]:
    """What was added from the end of the warm-up to the end of the run."""
    warm_s, part_s = _warm_s(seconds), max(20.0, seconds / 20)
    judgements: list[Judgement | Limit] = []
    for name, samples in sorted(watch.processes.items()):
        first = [one for one in samples if warm_s <= one.at_s < warm_s + part_s]
        last = [one for one in samples if seconds - part_s <= one.at_s < seconds]
        if not first or not last:
            continue  # it was there at the start or the end only
        before, after = (median(one.own_bytes for one in part) / MIB for part in (first, last))
        judgements.append(Limit(f"{name}: MiB", before * (1 + LARGEST_GROWTH), after))
        # Connections come and go: what is always open is what leaks.
        opened, left = (min(one.open_files for one in part) for part in (first, last))
        judgements.append(Limit(f"{name}: open files", opened + KEPT_CONNECTIONS, left))
    middle_s = (warm_s + seconds) / 2
    predicted = _rate(watch.store, warm_s, middle_s)
    found = _rate(watch.store, middle_s, seconds)
    slack = predicted * STORE_SLACK * (1 if seconds >= 600 else 2)
    judgements.append(Judgement("store: bytes a second", predicted, found, slack))
    return judgements


def _warm_s(seconds: int) -> float:
    """Until then everything is made that stays, and the page shows as much as it ever will."""
    return min(seconds / 2, 960.0)


def _rate(sizes: Sequence[tuple[float, int]], from_s: float, until_s: float) -> float:
    part = [(at_s, size) for at_s, size in sizes if from_s <= at_s <= until_s]
    return (part[-1][1] - part[0][1]) / (part[-1][0] - part[0][0])


def _store_bytes(path: Path) -> int:
    """What the store holds, whether it is in the file yet or in the write-ahead log."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as reader:
        (pages,) = reader.execute("PRAGMA page_count").fetchone()
        (size,) = reader.execute("PRAGMA page_size").fetchone()
        return int(pages * size)


def _until_live(where: Addresses) -> None:
    give_up = time.monotonic() + 60
    while sum(one["state"] == "live" for one in _json(f"{where.admin}/containers")) < 2:
        if time.monotonic() > give_up:
            sys.exit("soak: the containers did not start within 60 s")
        time.sleep(0.1)


def _until_stopped(where: Addresses) -> None:
    give_up = time.monotonic() + 60
    while _json(f"{where.locust}/stats/requests")["state"] != "stopped":
        if time.monotonic() > give_up:
            sys.exit("soak: the run did not end within 60 s of its time")
        time.sleep(0.5)


def _text(url: str) -> str:
    with _OPENER.open(url, timeout=30) as answer:
        return answer.read().decode()


def _json(url: str) -> Any:
    return json.loads(_text(url))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="default 30; at least 3")
    parser.add_argument("--rate", type=int, default=100, help="requests a second (default 100)")
    parser.add_argument(
        "--busy",
        action="store_true",
        help="other work goes on beside it: scrapes may be late",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
