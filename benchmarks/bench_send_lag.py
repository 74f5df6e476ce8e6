"""How late requests of the open model leave: first byte sent less intended start.

Locust runs headless with everything recorded and its metrics page scraped each second, on one
core; nginx answers on the other. The kernel's timers take turns with gevent's own, which are what
gevent.sleep and Locust's wait times have. The first requests of each user, which connect, are left
out. Figures are medians over the rounds.
"""

import argparse
import statistics
import sys
import tempfile
import threading
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from benchmarks.peers import free_port, machine, nginx, pinned, program, running

_GENERATOR_CORE, _SERVER_CORE = 0, 1
_QUANTILES = (0.5, 0.9, 0.99, 0.999)
_OPENER = build_opener(ProxyHandler({}))
_USERS_FILE = str(Path(__file__).with_name("lag_users.py"))
_TICKERS = {"kernel": "timerfd (ours)", "loop": "gevent's timers"}


def main() -> int:
    options = _parser().parse_args()
    table: dict[tuple[int, str], list[list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-send-lag-") as name:
        folder, port = Path(name), free_port()
        server = f"listen 127.0.0.1:{port}; location / {{ return 200 '{'x' * 200}'; }}"
        with nginx(folder / "nginx", server, core=_SERVER_CORE, port=port):
            for _ in range(options.rounds):
                for rate in options.rates:
                    for ticker in _TICKERS:
                        lags = _measure(ticker, rate, port, options, folder)
                        table.setdefault((rate, ticker), []).append(lags)
    print(f"{machine()}\n")
    print("| requests/s | timer | p50 ms | p90 ms | p99 ms | p99.9 ms |\n|--:|---|--:|--:|--:|--:|")
    for (rate, ticker), rounds in table.items():
        cells = " | ".join(
            f"{statistics.median(lags[place] for lags in rounds) * 1e3:.3f}"
            for place in range(len(_QUANTILES))
        )
        print(f"| {rate:,} | {_TICKERS[ticker]} | {cells} |")
    return 0


def _measure(
    ticker: str, rate: int, port: int, options: argparse.Namespace, folder: Path
) -> list[float]:
    noted, metrics, seconds = folder / "lags", free_port(), options.seconds
    command = [
        *("env", f"LAG_FILE={noted}", f"LAG_TICKER={ticker}"),
        *(sys.executable, "-m", "locust", "-f", _USERS_FILE, "--headless", "--only-summary"),
        *("--metrics-port", str(metrics), "--host", f"http://127.0.0.1:{port}"),
        *("--users", str(options.users), "--spawn-rate", str(options.users)),
        *("--arrival-rate", f"0:{rate},{seconds}:{rate},{seconds}:0", "--stop-timeout", "5"),
        *("--run-time", f"{seconds + 2}s"),
    ]
    if options.realtime:
        command = [program("chrt"), "-f", "10", *command]
    log, stop = folder / "locust.txt", threading.Event()
    with running(pinned(_GENERATOR_CORE, command), port=metrics, log=log) as process:
        page = f"http://127.0.0.1:{metrics}/metrics"
        threading.Thread(target=_scrape, args=(page, stop), daemon=True).start()
        status = process.wait(seconds + 60)
        stop.set()
    lags = list(map(float, noted.read_text().split())) if noted.exists() else []
    if status != 0 or len(lags) != rate * seconds:
        said = log.read_text(errors="replace")[-2000:]
        print(f"benchmark: Locust ended with {status}, {len(lags)} sent\n{said}", file=sys.stderr)
        sys.exit(1)
    lags = sorted(lags[options.users :])
    return [lags[int(q * len(lags))] for q in _QUANTILES]


def _scrape(page: str, stop: threading.Event) -> None:
    while not stop.wait(1.0):
        try:
            _OPENER.open(page, timeout=10).read()
        except OSError:
            return  # the run is over


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_send_lag", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rates", type=int, nargs="+", default=[1000], help="requests per second")
    parser.add_argument("--users", type=int, default=100, help="(default 100)")
    parser.add_argument("--seconds", type=int, default=10, help="of each run (default 10)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="run the generator before all other programs (root only), so that those of a machine "
        "that is not idle do not count",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
