"""The latency that generators report of one and the same fast server, at a rate far below capacity.

A hundred users at ten requests a second each: whoever sends them in bursts, or is slow to read what
has come, reports its own queue as the server's latency. nginx answers on one core, the generator
has the other; what wrk sees at one request at a time is the floor. Figures are medians over the
rounds.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers import free_port, machine, nginx, pinned, program, running
from benchmarks.wrk_output import WrkOutput

_GENERATOR_CORE, _SERVER_CORE = 0, 1
_USERS, _RATE = 100, 1000
_USERS_FILE = str(Path(__file__).with_name("reported_users.py"))
_PEERS = {
    "Requests": ("HttpUser, constant_throughput", "Requests", ()),
    "Fast": ("FastHttpUser, constant_throughput", "Fast", ()),
    "Flash": ("ours, constant_throughput", "Flash", ()),
    "FlashOpen": ("ours, --arrival-rate", "Flash", ("--arrival-rate", str(_RATE))),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """``rate`` in requests/s, p50 and p99 in milliseconds as reported."""

    rate: float
    p50_ms: float
    p99_ms: float


def main() -> int:
    options = _parser().parse_args()
    table: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-reported-") as name:
        folder, port = Path(name), free_port()
        server = f"listen 127.0.0.1:{port}; location / {{ return 200 '{'x' * 200}'; }}"
        with nginx(folder / "nginx", server, core=_SERVER_CORE, port=port):
            url = f"http://127.0.0.1:{port}"
            for _ in range(options.rounds):
                for peer in _PEERS:
                    figures = _locust(peer, url, options.seconds, folder)
                    table.setdefault(peer, []).append(figures)
                    print(f"{peer}: p50 {figures.p50_ms:.3f} ms", file=sys.stderr)
                table.setdefault("wrk", []).append(_floor(url, options.seconds))
    base = _median(table["Fast"], "p50_ms")
    print(f"{machine()}\n")
    print("| generator | requests/s | p50 ms | p99 ms | p50, FastHttpUser's over this |")
    print("|---|--:|--:|--:|--:|")
    for peer, runs in table.items():
        title = "wrk, one connection without a pause" if peer == "wrk" else _PEERS[peer][0]
        p50_ms = _median(runs, "p50_ms")
        print(
            f"| {title} | {_median(runs, 'rate'):,.0f} | {p50_ms:.3f} | "
            f"{_median(runs, 'p99_ms'):.3f} | {base / p50_ms:.1f} |"
        )
    return 0


def _locust(peer: str, url: str, seconds: int, folder: Path) -> Figures:
    _, kind, more = _PEERS[peer]
    reported, log = folder / "reported", folder / "locust.txt"
    reported.unlink(missing_ok=True)
    command = [
        *("env", f"REPORTED_FILE={reported}", sys.executable, "-m", "locust", "-f", _USERS_FILE),
        *(kind, "--headless", "--only-summary", "--host", url, "--metrics-port", "0"),
        *("--users", str(_USERS), "--spawn-rate", str(_USERS), "--run-time", f"{seconds}s"),
        *("--stop-timeout", "5", *more),
    ]
    with running(pinned(_GENERATOR_CORE, command), log=log) as process:
        status = process.wait(seconds + 60)
    if status != 0 or not reported.exists():
        said = log.read_text(errors="replace")[-2000:]
        print(f"benchmark: Locust ended with {status}\n{said}", file=sys.stderr)
        sys.exit(1)
    # The first request of each user connects.
    times_ms = sorted(list(map(float, reported.read_text().split()))[_USERS:])
    return Figures(
        rate=len(times_ms) / seconds,
        p50_ms=times_ms[len(times_ms) // 2],
        p99_ms=times_ms[int(0.99 * len(times_ms))],
    )


def _floor(url: str, seconds: int) -> Figures:
    command = [program("wrk"), "-t1", "-c1", f"-d{seconds}s", "--latency", f"{url}/"]
    done = subprocess.run(
        pinned(_GENERATOR_CORE, command), capture_output=True, text=True, check=True
    )
    seen = WrkOutput.read(done.stdout)
    return Figures(seen.rate, seen.p50_ms, seen.p99_ms)


def _median(runs: list[Figures], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_reported", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seconds", type=int, default=10, help="of each run (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
