"""The local edge beside nginx and HAProxy: requests a second through one core, and added latency.

The proxy has one core; wrk and the origin (nginx, answering from memory) share another. Every peer
routes to an origin over kept connections, adds two response fields and two forwarding fields. Runs
of the peers alternate, so that what else the machine does falls on all of them alike. The figures
are medians over the rounds; a ratio, and what a proxy adds, is taken within each round before. wrk
saturates them all, and its latency only tells the rate once more. What a proxy adds to a request
shows where none is saturated: there our own load generator sends as many requests a second to each
of them, half of them in sessions.

    python -m benchmarks.bench_edge --rounds 3 --seconds 5
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.request import ProxyHandler, build_opener

from benchmarks.locust_run import run_locust
from benchmarks.metrics_page import MetricsPage
from benchmarks.peers import free_port, machine, nginx, pinned, program, running
from benchmarks.wrk_output import WrkOutput

PROXY_CORE = 0
LOAD_CORE = 1
SMALL_BYTES = 200
LARGE_BYTES = 256 * 1024
_WARM_UP_S = 2.0
_OPENER = build_opener(ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of traffic; ``script`` is wrk's Lua, empty for plain requests.

    With ``per_second`` our own load generator sends so many, and not wrk as many as it can.
    """

    name: str
    connections: int
    path: str
    script: str = ""
    per_second: int = 0


FIXED = 'wrk.headers["Modal-Session-ID"] = "session-1"'
ROTATING = """
local n, id = 0, math.random(1000000)
request = function()
  n = n + 1
  return wrk.format("GET", nil, {["Modal-Session-ID"] = id .. "-" .. (n % 5000)})
end
"""
CASES = (
    Case("plain, one connection", 1, "/small"),
    Case("plain, 4 connections", 4, "/small"),
    Case("plain, 50 connections", 50, "/small"),
    Case("plain, 500 connections", 500, "/small"),
    Case("one session, 50 connections", 50, "/small", FIXED),
    Case("rotating sessions, 50 connections", 50, "/small", ROTATING),
    Case("rotating sessions, 500 connections", 500, "/small", ROTATING),
    Case("256 KiB bodies, 50 connections", 50, "/large"),
    Case("1,000/s, 50 connections", 50, "/small", per_second=1000),
    Case("10,000/s, 50 connections", 50, "/small", per_second=10_000),
)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    cases = [case for case in CASES if re.search(options.cases, case.name)]
    table: dict[tuple[str, str], list[WrkOutput]] = {}
    with tempfile.TemporaryDirectory() as made, ExitStack() as stack:
        folder = Path(made)
        folder.chmod(0o755)  # nginx started by root reads files as nobody
        origin = stack.enter_context(_origin(folder / "origin"))
        ports = {
            name: stack.enter_context(start(folder / name, origin))
            for name, start in _PEERS.items()
            if name in options.peers.split(",")
        }
        for _ in range(options.rounds):
            for case in cases:
                for peer, port in ports.items():
                    run = _paced if case.per_second else _wrk
                    found = run(folder, case, port, options.seconds)
                    table.setdefault((case.name, peer), []).append(found)
                    print(f"{case.name}: {peer}: {found.rate:,.0f}/s", file=sys.stderr)
    print(_markdown(table, [case.name for case in cases], list(ports)))
    return int(any(run.failed for runs in table.values() for run in runs))


@contextmanager
def _origin(folder: Path) -> Iterator[int]:
    port = free_port()
    with nginx(folder, origin_server(folder, port), core=LOAD_CORE, port=port):
        yield port


def origin_server(folder: Path, port: int) -> str:
    """nginx's server block of an origin; its large file is written into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "large").write_bytes(b"x" * LARGE_BYTES)
    return (
        f"listen 127.0.0.1:{port} backlog=4096; default_type text/plain; "
        f'location = /small {{ return 200 "{"x" * SMALL_BYTES}"; }} '
        f"location = /large {{ root {folder}; }}"
    )


@contextmanager
def _direct(folder: Path, origin: int) -> Iterator[int]:
    yield origin


@contextmanager
def _nginx(folder: Path, origin: int) -> Iterator[int]:
    port = free_port()
    server = f"""listen 127.0.0.1:{port} backlog=4096;
      location / {{
        proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
        proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        add_header x-edge-region us-east; add_header x-edge-container $upstream_addr;
      }}"""
    http = (
        f"upstream origin {{ server 127.0.0.1:{origin}; keepalive 1024; "
        "keepalive_requests 1000000000; }"
    )
    with nginx(folder, server, core=PROXY_CORE, port=port, http=http):
        yield port


@contextmanager
def _haproxy(folder: Path, origin: int) -> Iterator[int]:
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "haproxy.cfg"
    config.write_text(
        f"""global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend edge
  bind 127.0.0.1:{port} backlog 4096
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-response set-header x-edge-region us-east
  http-response set-header x-edge-container one
  default_backend origin
backend origin
  http-reuse always
  server one 127.0.0.1:{origin} pool-max-conn 2000
"""
    )
    command = pinned(PROXY_CORE, [program("haproxy"), "-db", "-f", str(config)])
    with running(command, port=port, log=folder / "output.txt"):
        yield port


@contextmanager
def _edge(folder: Path, origin: int) -> Iterator[int]:
    folder.mkdir(parents=True, exist_ok=True)
    admin, port = free_port(), free_port()
    container = folder / "container.py"
    container.write_text(_CONTAINER.format(root=str(Path(__file__).parents[1]), folder=str(folder)))
    command = [
        *(sys.executable, "-m", "flash.edge", "--region", "us-east", "--no-rtt"),
        *("--admin-port", str(admin), "--first-port", str(port), "--boot-delay", "0"),
        *("--min-containers", "1", "--max-containers", "1"),
        *("--", sys.executable, str(container)),
    ]
    with running(pinned(PROXY_CORE, command), port=port, log=folder / "output.txt"):
        _wait_for(lambda: _states(admin) == ["live"], what="a live container")
        yield port


_CONTAINER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from benchmarks.bench_edge import LOAD_CORE, origin_server
from benchmarks.locust_run import run_locust
from benchmarks.metrics_page import MetricsPage
from benchmarks.peers import nginx
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
port = int(os.environ["PORT"])
folder = Path({folder!r}) / "container"
with nginx(folder, origin_server(folder, port), core=LOAD_CORE, port=port):
    signal.sigwait([signal.SIGTERM])
"""

_PEERS: dict[str, Callable[[Path, int], AbstractContextManager[int]]] = {
    "direct": _direct,
    "nginx": _nginx,
    "haproxy": _haproxy,
    "edge": _edge,
}


def _states(admin: int) -> list[str]:
    with _OPENER.open(f"http://127.0.0.1:{admin}/containers", timeout=5) as response:
        return [container["state"] for container in json.load(response)]


def _wait_for(condition: Callable[[], bool], *, what: str, within_s: float = 30.0) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > give_up:
            sys.exit(f"benchmark: no {what} within {within_s:g} s")
        time.sleep(0.1)


def _wrk(folder: Path, case: Case, port: int, seconds: float) -> WrkOutput:
    command = [program("wrk"), "-t1", f"-c{case.connections}", f"-d{seconds:g}s", "--latency"]
    if case.script:
        script = folder / "traffic.lua"
        script.write_text(case.script)
        command += ["-s", str(script)]
    command.append(f"http://127.0.0.1:{port}{case.path}")
    done = subprocess.run(
        pinned(LOAD_CORE, command),
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 60,
    )
    return WrkOutput.read(done.stdout)


def _paced(_: Path, case: Case, port: int, seconds: float) -> WrkOutput:
    """By our own load generator in the open model; its first seconds are not counted."""
    windows: list[tuple[MetricsPage, float]] = []

    def watch(_: int, metrics_port: int) -> None:
        time.sleep(_WARM_UP_S)
        windows.append(MetricsPage.grown(metrics_port, seconds))

    run_locust(
        [
            *("--users", str(case.connections), "--spawn-rate", str(case.connections)),
            *("--flash-url", f"here=http://127.0.0.1:{port}", "--path", case.path),
            *("--arrival-rate", str(case.per_second)),
            *("--run-time", f"{seconds + 2 * _WARM_UP_S:.0f}s"),
        ],
        core=LOAD_CORE,
        during=watch,
    )
    page, took_s = windows[0]
    requests = page.total("loadgen_requests_total")
    return WrkOutput(
        requests=int(requests),
        rate=requests / took_s,
        p50_ms=page.quantile_s("loadgen_request_duration_seconds", 0.5) * 1e3,
        p99_ms=page.quantile_s("loadgen_request_duration_seconds", 0.99) * 1e3,
        failed=int(requests - page.total("loadgen_requests_total", outcome="ok")),
    )


def _markdown(
    table: dict[tuple[str, str], list[WrkOutput]], cases: list[str], peers: list[str]
) -> str:
    lines = [
        machine(),
        "",
        "| traffic | proxy | requests/s | ratio to nginx | p50 ms | p99 ms | added p50 | added p99 "
        "| failed |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for case in cases:
        base = table.get((case, "nginx"), [])
        without = table.get((case, "direct"), [])
        for peer in peers:
            runs = table[case, peer]
            ratio = added = ""
            if base:
                pairs = list(zip(runs, base, strict=True))
                ratio = f"{median(run.rate / its.rate for run, its in pairs):.2f}"
            if without and peer != "direct":
                pairs = list(zip(runs, without, strict=True))
                added = f"{median(run.p50_ms - its.p50_ms for run, its in pairs):.2f} | "
                added += f"{median(run.p99_ms - its.p99_ms for run, its in pairs):.2f}"
            p50_ms, p99_ms = median(run.p50_ms for run in runs), median(run.p99_ms for run in runs)
            lines.append(
                f"| {case} | {peer} | {median(run.rate for run in runs):,.0f} | {ratio} | "
                f"{p50_ms:.2f} | {p99_ms:.2f} | {added or ' | '} | "
                f"{sum(run.failed for run in runs)} |"
            )
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_edge", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each run (default 5)")
    parser.add_argument("--peers", default=",".join(_PEERS), help="which, comma separated")
    parser.add_argument("--cases", default="", help="a pattern that names the traffic to send")
    return parser


if __name__ == "__main__":
    sys.exit(main())
