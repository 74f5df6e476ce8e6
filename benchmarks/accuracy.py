"""Are the figures true? What the load generator reports against what servers logged themselves.

``delays``: a server that delays by a known distribution and logs its exact service times.
``nginx``: the same server behind nginx, whose access log of ``$request_time`` counts as well.
``load``: nginx alone, and the generator at 80 % of its own capacity.
Prints every judgement; the exit status is 1 if one failed.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil, nan
from pathlib import Path

from benchmarks.locust_run import LocustRun, run_locust
from benchmarks.metrics_page import MetricsPage
from benchmarks.peers import free_port, machine, nginx, pinned, running

QUANTILES = (0.5, 0.95, 0.99, 0.999)
GENERATOR_CORE, SERVER_CORE = 0, 1
LOAD = 0.8
"""The share of its capacity at which the generator must not yet disturb what it measures."""
MOST_ADDED_P99_S = 0.002
# Locust rounds to two digits before it counts, which moves a percentile by up to 5 %.
LOCUST_ROUNDING = 0.05
NGINX_RESOLUTION_S = 0.001
WARM_UP_S = 4.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """One comparison: ``got`` is to be within ``slack`` of ``expected``, both in one unit."""

    what: str
    expected: float
    got: float
    slack: float = 0.0

    @property
    def passed(self) -> bool:
        return abs(self.got - self.expected) <= self.slack

    def row(self) -> str:
        off = f"{self.got / self.expected - 1:+.2%}" if self.expected else ""
        verdict = "ok" if self.passed else "FAILED"
        return f"| {self.what} | {self.expected:.7g} | {self.got:.7g} | {off} | {verdict} |"


@dataclass(frozen=True, slots=True)
class ServerLog:
    """Responses by status, and the times in seconds of all but 503, ascending."""

    codes: Counter[int]
    times_s: list[float]

    @classmethod
    def read(cls, path: Path) -> "ServerLog":
        """From lines ``STATUS SECONDS``."""
        codes: Counter[int] = Counter()
        times_s = []
        with path.open() as lines:
            for line in lines:
                status, seconds = line.split()
                codes[int(status)] += 1
                if status != "503":
                    times_s.append(float(seconds))
        return cls(codes, sorted(times_s))

    def quantile_s(self, q: float) -> float:
        """The sample of rank ceil(q n)."""
        return self.times_s[max(1, ceil(q * len(self.times_s))) - 1]


def main() -> int:
    options = _parser().parse_args()
    failed = 0
    print(machine())
    with tempfile.TemporaryDirectory(prefix="accuracy-") as name:
        for check in options.checks.split(","):
            folder = Path(name, check)
            folder.mkdir(mode=0o755)
            if check == "load":
                title, judgements = _load(options, folder)
            else:
                title, judgements = _delays(options, folder, by_nginx=check == "nginx")
            print(f"\n{title}\n\n| | expected | got | off | |\n|---|--:|--:|--:|---|")
            for judgement in judgements:
                print(judgement.row(), flush=True)
                failed += not judgement.passed
    print(f"\n{failed} failed" if failed else "\nall as expected")
    return 1 if failed else 0


def _delays(
    options: argparse.Namespace, folder: Path, *, by_nginx: bool
) -> tuple[str, list[Judgement]]:
    # Two servers on one core stand less than one before their own queueing shows.
    users = options.users // 4 if by_nginx else options.users
    requests = options.requests // 4 if by_nginx else options.requests
    exact, access = folder / "exact.log", folder / "access.log"
    server_port, port = free_port(), free_port()
    server = [sys.executable, "-m", "benchmarks.delay_server", "--port", str(server_port)]
    server += ["--median-ms", str(options.median_ms), "--log", str(exact)]
    server = server if options.no_pin else pinned(SERVER_CORE, server)
    with running(server, port=server_port, log=folder / "output.txt"):
        with _proxy(by_nginx, folder, access, port, server_port):
            run = run_locust(
                [
                    *("--users", str(users), "--spawn-rate", str(users)),
                    *("--flash-url", f"here=http://127.0.0.1:{port if by_nginx else server_port}"),
                    *("--think-time", "0"),
                ],
                requests=requests,
                core=None if options.no_pin else GENERATOR_CORE,
            )
    log = ServerLog.read(exact)
    cpu = run.page.total("loadgen_cpu_ratio")
    title = f"{len(log.times_s):,} requests of {users} users at {cpu:.2f} of a core, "
    title += "delays logged by the server"
    judgements = [*_counts(run, log), *_quantiles(run, log, options.tolerance)]
    if by_nginx:
        title += " and by nginx before it"
        judgements += _access_log(run, ServerLog.read(access), log, options.tolerance)
    return title, judgements


@contextmanager
def _proxy(wanted: bool, folder: Path, access: Path, port: int, server_port: int) -> Iterator[None]:
    if not wanted:
        yield
        return
    http = f"""log_format times '$status $request_time';
    upstream delaying {{ server 127.0.0.1:{server_port}; keepalive 10000; }}"""
    server = f"""listen 127.0.0.1:{port} backlog=10000; access_log {access} times buffer=256k;
    location / {{ proxy_pass http://delaying; proxy_http_version 1.1;
                  proxy_set_header Connection ""; proxy_next_upstream off; }}"""
    with nginx(folder / "nginx", server, core=SERVER_CORE, port=port, http=http):
        yield


def _counts(run: LocustRun, log: ServerLog) -> Iterator[Judgement]:
    """Everybody counted the same."""
    answered = len(log.times_s)
    failures, refused = log.codes[404], log.codes[503]
    duration = run.page.total("loadgen_request_duration_seconds_count")
    yield Judgement("requests: table, server", answered, run.table[0])
    yield Judgement("requests: CSV, server", answered, int(run.csv["Request Count"]))
    yield Judgement("requests: duration histogram, server", answered, duration)
    for name in ("time_to_first_byte", "response_time"):
        count = run.page.total(f"loadgen_{name}_seconds_count")
        yield Judgement(f"requests: {name} histogram, server", answered, count)
    yield Judgement("failures: table, server", failures, run.table[1])
    yield Judgement("failures: CSV, server", failures, int(run.csv["Failure Count"]))
    for outcome, count in (("ok", log.codes[200]), ("client_error", failures)):
        counted = run.page.total("loadgen_requests_total", outcome=outcome)
        yield Judgement(f"outcome {outcome}: metrics, server", count, counted)
    refusals = run.page.total("loadgen_requests_total", outcome="cold_start")
    yield Judgement("refusals: metrics, server", refused, refusals)
    for code in sorted(log.codes):
        counted = run.page.total("loadgen_responses_total", code=str(code))
        yield Judgement(f"responses {code}: metrics, server", log.codes[code], counted)
    attempts = run.page.total("loadgen_requests_total")
    yield Judgement("attempts: metrics, server", log.codes.total(), attempts)


def _quantiles(run: LocustRun, log: ServerLog, tolerance: float) -> Iterator[Judgement]:
    for q in QUANTILES:
        exact = log.quantile_s(q)
        seen = run.page.quantile_s("loadgen_request_duration_seconds", q)
        yield Judgement(f"p{q * 100:g} s: metrics, server", exact, seen, tolerance * exact)
    for q in QUANTILES:
        seen = run.page.quantile_s("loadgen_request_duration_seconds", q)
        by_locust = float(run.csv[f"{q * 100:g}%"]) / 1e3
        slack = (tolerance + LOCUST_ROUNDING) * seen
        yield Judgement(f"p{q * 100:g} s: CSV, metrics", seen, by_locust, slack)
    total_s = run.page.total("loadgen_request_duration_seconds_sum")
    mean_s = total_s / run.page.total("loadgen_request_duration_seconds_count")
    by_locust = float(run.csv["Average Response Time"]) / 1e3
    yield Judgement("mean s: CSV, metrics", mean_s, by_locust, 1e-6 * mean_s)
    server_mean_s = sum(log.times_s) / len(log.times_s)
    yield Judgement("mean s: metrics, server", server_mean_s, mean_s, tolerance * server_mean_s)


def _access_log(
    run: LocustRun, access: ServerLog, exact: ServerLog, tolerance: float
) -> Iterator[Judgement]:
    for code in sorted(exact.codes):
        counted = run.page.total("loadgen_responses_total", code=str(code))
        yield Judgement(f"responses {code}: metrics, nginx", access.codes[code], counted)
    for q in QUANTILES:
        logged = access.quantile_s(q)
        seen = run.page.quantile_s("loadgen_request_duration_seconds", q)
        slack = tolerance * logged + NGINX_RESOLUTION_S
        yield Judgement(f"p{q * 100:g} s: metrics, nginx", logged, seen, slack)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The middle of a run: without its beginning, when users connect, and its end."""

    rate: float
    waited: float
    page: MetricsPage

    @property
    def p50_s(self) -> float:
        return self.page.quantile_s("loadgen_request_duration_seconds", 0.5)

    @property
    def p99_s(self) -> float:
        return self.page.quantile_s("loadgen_request_duration_seconds", 0.99)

    def __str__(self) -> str:
        return (
            f"{self.rate:,.0f}/s, p50 {self.p50_s * 1e3:.2f} ms, p99 {self.p99_s * 1e3:.2f} ms, "
            f"{self.waited:.2%} of the time the core was others'"
        )


def _load(options: argparse.Namespace, folder: Path) -> tuple[str, list[Judgement]]:
    """The capacity with pauses so short that they do not matter, then 80 % of it, in two ways.

    Of users who pause nobody can say beforehand what rate they will have to the percent; arrivals
    have theirs.
    """
    port = free_port()
    access = folder / "access.log"
    server = (
        f"listen 127.0.0.1:{port} backlog=10000; access_log {access} times buffer=256k;"
        f"location / {{ return 200 '{'x' * 200}'; }}"
    )
    http = "log_format times '$status $request_time';"
    users = options.load_users
    made = 0.0

    def run(*load: str) -> _Stretch:
        stretches = []

        def watch(pid: int, metrics_port: int) -> None:
            time.sleep(WARM_UP_S)
            waited_s = _waited_s(pid)
            page, took_s = MetricsPage.grown(metrics_port, options.seconds)
            rate = page.total("loadgen_requests_total") / took_s
            stretches.append(_Stretch(rate, (_waited_s(pid) - waited_s) / took_s, page))

        whole = run_locust(
            [
                *("--users", str(users), "--spawn-rate", str(users)),
                *("--flash-url", f"here=http://127.0.0.1:{port}"),
                *("--run-time", f"{options.seconds + 1.5 * WARM_UP_S:.0f}s"),
                *load,
            ],
            core=GENERATOR_CORE,
            during=watch,
        )
        nonlocal made
        made += whole.page.total("loadgen_requests_total")
        return stretches[0]

    with nginx(folder / "nginx", server, core=SERVER_CORE, port=port, http=http, first=True):
        most = run("--think-time", "0.0005")
        pausing = run("--think-time", f"{users / (LOAD * most.rate):.6f}")
        arriving = run("--arrival-rate", f"{LOAD * most.rate:.0f}")
    log = ServerLog.read(access)
    title = f"{users} users without a pause: {most}\nwith pauses: {pausing}\narriving: {arriving}"
    return title, [
        Judgement("requests: metrics, nginx", log.codes.total(), made),
        Judgement("pauses: share of the capacity", LOAD, pausing.rate / most.rate, 0.1),
        Judgement("arrivals: share of the capacity", LOAD, arriving.rate / most.rate, 0.01),
        # nginx logs whole milliseconds, and what it does here takes microseconds: 0.
        Judgement("pauses: added p99 s", log.quantile_s(0.99), pausing.p99_s, MOST_ADDED_P99_S),
        Judgement("arrivals: added p99 s", log.quantile_s(0.99), arriving.p99_s, MOST_ADDED_P99_S),
    ]


def _waited_s(pid: int) -> float:
    """How long a process was ready to run while others had its core; NaN where nobody tells."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return nan


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument(
        "--checks", default="delays,nginx,load", help="which, comma separated; all by default"
    )
    parser.add_argument(
        "--requests", type=int, default=1_000_000, help="default 1,000,000; nginx a quarter"
    )
    parser.add_argument("--users", type=int, default=800, help="default 800; nginx a quarter")
    parser.add_argument("--median-ms", type=float, default=50.0, help="of the delays (default 50)")
    parser.add_argument(
        "--tolerance", type=float, default=0.05, help="of quantiles, relative (default 0.05)"
    )
    parser.add_argument("--load-users", type=int, default=1000, help="of the load (default 1000)")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the load (default 20)")
    parser.add_argument("--no-pin", action="store_true", help="let delays use any core")
    return parser


if __name__ == "__main__":
    sys.exit(main())
