"""Memory over a long run, and how long thousands of users take to start.

``soak``: users without pauses against nginx; the generator's resident memory must stay flat.
``start``: the time until every user runs and has its first answer, as nginx logged it.
Exit status 1 if a judgement failed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy
import psutil

from benchmarks.accuracy import GENERATOR_CORE, SERVER_CORE, Judgement
from benchmarks.locust_run import run_locust
from benchmarks.metrics_page import MetricsPage
from benchmarks.peers import free_port, machine, nginx

MIB = 1 << 20
MOST_GROWTH_MIB = 4.0
"""What the second half of the run may add by its trend: a byte a request would be far more."""
MOST_START_S = 10.0
_LOG = "log_format first '$msec $connection_requests $status';"


def main() -> int:
    options = _parser().parse_args()
    print(machine())
    failed = 0
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as name:
        for check in options.checks.split(","):
            folder = Path(name, check)
            folder.mkdir(mode=0o755)
            title, judgements = (_soak if check == "soak" else _start)(options, folder)
            print(f"\n{title}\n\n| | expected | got | off | |\n|---|--:|--:|--:|---|")
            for judgement in judgements:
                print(judgement.row(), flush=True)
                failed += not judgement.passed
    print(f"\n{failed} failed" if failed else "\nall as expected")
    return 1 if failed else 0


def _soak(options: argparse.Namespace, folder: Path) -> tuple[str, list[Judgement]]:
    port = free_port()
    samples: list[tuple[float, float]] = []
    seconds = options.minutes * 60

    def watch(pid: int, _: int) -> None:
        process, began = psutil.Process(pid), time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            samples.append((now, process.memory_info().rss / MIB))
            time.sleep(1.0)

    server = f"listen 127.0.0.1:{port} backlog=10000; location / {{ return 200 '{'x' * 200}'; }}"
    with nginx(folder / "nginx", server, core=SERVER_CORE, port=port):
        run = run_locust(
            [
                *("--users", str(options.users), "--spawn-rate", str(options.users)),
                *("--flash-url", f"here=http://127.0.0.1:{port}", "--think-time", "0"),
                *("--run-time", f"{seconds:.0f}s"),
            ],
            core=GENERATOR_CORE,
            during=watch,
            within_s=seconds + 120,
        )
    half = [sample for sample in samples if sample[0] > seconds / 2]
    slope = float(numpy.polyfit(*zip(*half, strict=True), 1)[0])
    for at in range(0, len(samples), max(1, len(samples) // 10)):
        print(f"after {samples[at][0]:4.0f} s: {samples[at][1]:.1f} MiB", file=sys.stderr)
    made = run.page.total("loadgen_requests_total")
    answered = run.page.total("loadgen_requests_total", outcome="ok")
    title = (
        f"{options.users} users, {options.minutes:g} minutes, {made:,.0f} requests; "
        f"{samples[-1][1]:.1f} MiB at the end, {slope * 60:+.2f} MiB a minute"
    )
    return title, [
        Judgement("second half: growth MiB", 0.0, slope * seconds / 2, MOST_GROWTH_MIB),
        Judgement("requests answered", made, answered),
    ]


def _start(options: argparse.Namespace, folder: Path) -> tuple[str, list[Judgement]]:
    port, users = free_port(), options.start_users
    log = folder / "first.log"
    server = (
        f"listen 127.0.0.1:{port} backlog=10000; access_log {log} first;"
        f"location / {{ return 200 '{'x' * 200}'; }}"
    )
    began = time.time()
    pages: list[tuple[float, MetricsPage]] = []

    def watch(_: int, metrics_port: int) -> None:
        while not pages or pages[-1][1].total("loadgen_users") < users:
            pages.append((time.time(), MetricsPage.scrape(metrics_port)))
            if pages[-1][0] > began + 60:
                return
            time.sleep(0.1)

    with nginx(folder / "nginx", server, core=SERVER_CORE, port=port, http=_LOG):
        began = time.time()
        run_locust(
            [
                *("--users", str(users), "--spawn-rate", str(users)),
                *("--flash-url", f"here=http://127.0.0.1:{port}", "--think-time", "1"),
                *("--run-time", f"{options.start_seconds:.0f}s"),
            ],
            core=GENERATOR_CORE,
            during=watch,
        )
    firsts = sorted(
        float(at)
        for at, number, status in map(str.split, log.read_text().splitlines())
        if (number, status) == ("1", "200")
    )
    answered_s = firsts[min(users, len(firsts)) - 1] - began
    title = (
        f"{users:,} users; all running after {pages[-1][0] - began:.1f} s from the command, first "
        f"answer after {firsts[0] - began:.1f} s, last user's first answer after {answered_s:.1f} s"
    )
    return title, [
        Judgement("users running", users, pages[-1][1].total("loadgen_users")),
        Judgement("users with an answer", users, len(firsts)),
        Judgement("s until all run", 0.0, pages[-1][0] - began, MOST_START_S),
        Judgement("s until all have an answer", 0.0, answered_s, MOST_START_S),
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_memory", description=__doc__)
    parser.add_argument("--checks", default="start,soak", help="which, comma separated")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the soak (default 10)")
    parser.add_argument("--users", type=int, default=500, help="of the soak (default 500)")
    parser.add_argument("--start-users", type=int, default=5000, help="default 5000")
    parser.add_argument("--start-seconds", type=float, default=15.0, help="default 15")
    return parser


if __name__ == "__main__":
    sys.exit(main())
