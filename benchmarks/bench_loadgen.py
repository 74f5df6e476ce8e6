"""The load generator against its peers in one run: requests/s, latency as seen, CPU a request.

Generators run on one core, nginx on the other. Locust's users run with its web UI up, its
statistics live and, for ours, the metrics page scraped each second. Figures are medians over the
rounds; the peers take turns within a round, so that a drift of the machine hits all of them.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import psutil

from benchmarks.peers import free_port, machine, nginx, pinned, program, running
from benchmarks.wrk_output import WrkOutput, found

GENERATOR_CORE, SERVER_CORE = 0, 1
_OPENER = build_opener(ProxyHandler({}))
_USERS_FILE = str(Path(__file__).with_name("load_users.py"))


@dataclass(frozen=True, slots=True)
class Figures:
    """One run: requests per second, p50 and p99 in ms as the generator saw them, CPU in µs."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def main() -> int:
    options = _parser().parse_args()
    peers = options.peers.split(",")
    table: dict[tuple[int, str], list[Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-loadgen-") as name:
        folder = Path(name)
        port = free_port()
        body = "x" * 200
        listen = f"listen 127.0.0.1:{port};"
        if options.tls:
            listen = f"listen 127.0.0.1:{port} ssl; {_certificate(folder)}"
        server = f"{listen} location / {{ return 200 '{body}'; }}"
        with nginx(folder / "nginx", server, core=SERVER_CORE, port=port):
            scheme = "https" if options.tls else "http"
            url = f"{scheme}://localhost:{port}/" if options.tls else f"http://127.0.0.1:{port}/"
            for round_ in range(options.rounds):
                for connections in options.connections:
                    for peer in peers:
                        figures = _measure(peer, url, connections, options.seconds, folder)
                        table.setdefault((connections, peer), []).append(figures)
                        print(
                            f"round {round_ + 1}, {connections} connections, {peer}: "
                            f"{figures.rate:,.0f}/s",
                            file=sys.stderr,
                        )
    print(_markdown(table, options.connections, peers))
    return 0


def _measure(peer: str, url: str, connections: int, seconds: float, folder: Path) -> Figures:
    tool: dict[str, Callable[[str, int, float], Figures]] = {"wrk": _wrk, "hey": _hey}
    if peer in tool:
        return tool[peer](url, connections, seconds)
    return _locust(peer, url, connections, seconds, folder)


def _locust(peer: str, url: str, users: int, seconds: float, folder: Path) -> Figures:
    web, metrics = free_port(), free_port()
    ours = peer.startswith("Flash")
    command = [
        *(sys.executable, "-m", "locust", "-f", _USERS_FILE, peer, "--autostart"),
        *("--web-host", "127.0.0.1", "--web-port", str(web), "--metrics-port", str(metrics)),
        *("--users", str(users), "--spawn-rate", str(users), "--host", url.rstrip("/")),
    ]
    stop = threading.Event()
    with running(pinned(GENERATOR_CORE, command), port=web, log=folder / "locust.txt") as process:
        if ours:
            page = f"http://127.0.0.1:{metrics}/metrics"
            threading.Thread(target=_scrape, args=(page, stop), daemon=True).start()
        stats = f"http://127.0.0.1:{web}/stats/requests"
        time.sleep(max(2.0, seconds / 4))
        watched = psutil.Process(process.pid)
        before, cpu_before, since = _requests(stats), _cpu_s(watched), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, until = _requests(stats), _cpu_s(watched), time.monotonic()
        last = json.loads(_OPENER.open(stats, timeout=30).read())
        stop.set()
    total = next(row for row in last["stats"] if row["name"] == "Aggregated")
    if total["num_failures"]:
        print(f"benchmark: {peer} had {total['num_failures']} failures", file=sys.stderr)
        sys.exit(1)
    made = after - before
    return Figures(
        rate=made / (until - since),
        p50_ms=total["median_response_time"],
        p99_ms=total["response_time_percentile_0.99"],
        cpu_us=(cpu_after - cpu_before) / made * 1e6,
    )


def _scrape(page: str, stop: threading.Event) -> None:
    while not stop.wait(1.0):
        _OPENER.open(page, timeout=10).read()


def _requests(stats: str) -> int:
    rows = json.loads(_OPENER.open(stats, timeout=30).read())["stats"]
    return int(next(row for row in rows if row["name"] == "Aggregated")["num_requests"])


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _wrk(url: str, connections: int, seconds: float) -> Figures:
    out, cpu_s = _finished(
        [program("wrk"), "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", url]
    )
    seen = WrkOutput.read(out)
    return Figures(
        rate=seen.rate,
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        cpu_us=cpu_s / seen.requests * 1e6,
    )


def _hey(url: str, connections: int, seconds: float) -> Figures:
    out, cpu_s = _finished(
        [program("hey"), "-z", f"{seconds:.0f}s", "-c", str(connections), "-cpus", "1", url]
    )
    rate = float(found(r"Requests/sec:\s+([\d.]+)", out))
    return Figures(
        rate=rate,
        p50_ms=float(found(r"50% in ([\d.]+)", out)) * 1e3,
        p99_ms=float(found(r"99% in ([\d.]+)", out)) * 1e3,
        cpu_us=cpu_s / (rate * seconds) * 1e6,
    )


def _finished(command: list[str]) -> tuple[str, float]:
    process = subprocess.Popen(
        pinned(GENERATOR_CORE, command), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    watched = psutil.Process(process.pid)
    cpu_s = 0.0
    while process.poll() is None:
        try:
            cpu_s = _cpu_s(watched)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.1)
    assert process.stdout is not None
    return process.stdout.read(), cpu_s


def _certificate(folder: Path) -> str:
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    key, chain, root = folder / "key.pem", folder / "chain.pem", folder / "root.pem"
    issued.private_key_pem.write_to_path(str(key))
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    authority.cert_pem.write_to_path(str(root))
    import os

    os.environ["SSL_CERT_FILE"] = os.environ["REQUESTS_CA_BUNDLE"] = str(root)
    return f"ssl_certificate {chain}; ssl_certificate_key {key};"


def _markdown(
    table: dict[tuple[int, str], list[Figures]], connections: list[int], peers: list[str]
) -> str:
    lines = [
        machine(),
        "",
        "| connections | generator | requests/s | ratio to FastHttpUser | p50 ms | p99 ms | "
        "CPU µs/request |",
        "|--:|---|--:|--:|--:|--:|--:|",
    ]
    for count in connections:
        base = _median(table.get((count, "Fast"), []), "rate")
        for peer in peers:
            runs = table[count, peer]
            rate = _median(runs, "rate")
            ratio = f"{rate / base:.2f}" if base and rate else ""
            lines.append(
                f"| {count} | {peer} | {rate:,.0f} | {ratio} | {_median(runs, 'p50_ms'):.2f} | "
                f"{_median(runs, 'p99_ms'):.2f} | {_median(runs, 'cpu_us'):.1f} |"
            )
    return "\n".join(lines)


def _median(runs: list[Figures], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs) if runs else 0.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_loadgen", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured seconds (default 8)")
    parser.add_argument(
        "--connections", type=int, nargs="+", default=[50, 500], help="default 50 500"
    )
    parser.add_argument(
        "--peers",
        default="Requests,Fast,Flash,FlashListened,hey,wrk",
        help="which, comma separated; all by default",
    )
    parser.add_argument("--tls", action="store_true", help="the same over TLS")
    return parser


if __name__ == "__main__":
    sys.exit(main())
