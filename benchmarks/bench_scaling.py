"""What workers add: requests/s and CPU of 1, 2 and 4 workers and their master, on this machine.

Nothing is pinned: master, workers and nginx share all cores, as they would if somebody started them
by hand. So beyond the number of cores the rate cannot grow; what can be carried over to larger
machines is the CPU that a request costs a worker, and a worker costs its master.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.metrics_page import MetricsPage
from benchmarks.peers import free_port, machine, nginx, program, running

_USERS_FILE = str(Path(__file__).with_name("load_users.py"))
_LOCUST = (sys.executable, "-m", "locust", "-f", _USERS_FILE, "Flash")
_JOINED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One run: requests per second, a request's CPU in the workers in µs, cores of the master."""

    rate: float
    worker_cpu_us: float
    master_cores: float


def main() -> int:
    options = _parser().parse_args()
    table: dict[int, list[Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-scaling-") as name:
        folder, port = Path(name), free_port()
        server = f"listen 127.0.0.1:{port}; location / {{ return 200 '{'x' * 200}'; }}"
        with nginx(folder / "nginx", server, core=None, port=port):
            for round_ in range(options.rounds):
                for workers in options.workers:
                    url = f"http://127.0.0.1:{port}"
                    figures = _measure(workers, options.users, url, options.seconds, folder)
                    table.setdefault(workers, []).append(figures)
                    print(
                        f"round {round_ + 1}, {workers} workers: {figures.rate:,.0f}/s",
                        file=sys.stderr,
                    )
    print(_markdown(table))
    return 0


def _measure(workers: int, users: int, url: str, seconds: float, folder: Path) -> Figures:
    bind, metrics = free_port(), free_port()
    with ExitStack() as stack:
        master = stack.enter_context(
            running(
                [
                    *(*_LOCUST, "--headless", "--master", "--master-bind-port", str(bind)),
                    *("--expect-workers", str(workers), "--metrics-port", str(metrics)),
                    *("--users", str(users), "--spawn-rate", str(users), "--host", url),
                ],
                port=metrics,
                log=folder / "master.txt",
            )
        )
        started = [
            stack.enter_context(
                running(
                    [*_LOCUST, "--worker", "--master-port", str(bind), "--host", url],
                    log=folder / f"worker-{number}.txt",
                )
            )
            for number in range(workers)
        ]
        _wait_for_load(metrics)
        time.sleep(max(2.0, seconds / 4))
        processes = [psutil.Process(process.pid) for process in started]
        leader = psutil.Process(master.pid)
        page, since = MetricsPage.scrape(metrics), time.monotonic()
        worker_s, master_s = _cpu_s(*processes), _cpu_s(leader)
        time.sleep(seconds)
        made = MetricsPage.scrape(metrics).since(page).total("loadgen_requests_total", outcome="ok")
        elapsed = time.monotonic() - since
        return Figures(
            rate=made / elapsed,
            worker_cpu_us=(_cpu_s(*processes) - worker_s) / made * 1e6,
            master_cores=(_cpu_s(leader) - master_s) / elapsed,
        )


def _wait_for_load(metrics: int) -> None:
    give_up = time.monotonic() + _JOINED_WITHIN_S
    while not MetricsPage.scrape(metrics).total("loadgen_requests_total", outcome="ok"):
        if time.monotonic() > give_up:
            print("benchmark: the workers made no requests", file=sys.stderr)
            sys.exit(1)
        time.sleep(0.2)


def _cpu_s(*processes: psutil.Process) -> float:
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


def _markdown(table: dict[int, list[Figures]]) -> str:
    lines = [
        f"{machine()}; medians (range) of {len(next(iter(table.values())))} rounds",
        "",
        "| workers | requests/s | CPU of a worker per request | CPU of the master |",
        "|---|---|---|---|",
    ]
    for workers, runs in table.items():
        rates = [run.rate for run in runs]
        lowest, highest = min(rates), max(rates)
        lines.append(
            f"| {workers} | {statistics.median(rates):,.0f} ({lowest:,.0f} to {highest:,.0f})"
            f" | {statistics.median(run.worker_cpu_us for run in runs):.0f} µs"
            f" | {statistics.median(run.master_cores for run in runs):.1%} of a core |"
        )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_scaling", description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--users", type=int, default=64, help="of all workers together")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    return parser


if __name__ == "__main__":
    program("nginx")
    sys.exit(main())
