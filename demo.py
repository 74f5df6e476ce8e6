"""``make demo``: a local edge with three regions at zero, Locust traffic, and the dashboard.

The parts are ordinary processes, the same that a user starts by hand; honcho runs them side by
side, passes signals on, and stops all when one ends. A killed dashboard is started again, since it
continues from what it stored. Exit status: 0 after Ctrl-C or SIGTERM, 1 when a part ended on its
own, 2 when a port is taken.
"""

import argparse
import os
import shlex
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from honcho.manager import Manager
from honcho.printer import Printer

HOST: Final = "127.0.0.1"
REGIONS: Final = ("us-east", "eu-west", "ap-south")
STARTED_WITHIN_S: Final = 60.0
STOPPED_WITHIN_S: Final = 5.0

# Run by the shell with the part's command in $PART. 128 and above is death by a signal.
START_AGAIN_WHEN_KILLED: Final = (
    'while eval "$PART"; status=$?; [ "$status" -gt 128 ]; do '
    'echo "killed by signal $((status - 128)); starting it again"; done; exit "$status"'
)
# Locust's workers outlive a killed master for a minute, and would keep honcho from noticing.
ONCE: Final = 'eval "$PART"; status=$?; trap "" TERM; kill -TERM 0; exit "$status"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the parts listen."""

    edge_admin: int
    first_region: int
    locust: int
    locust_master: int
    metrics: int
    dashboard: int

    def with_options(self) -> list[tuple[int, str]]:
        """Every port with the option that changes it."""
        return [
            (self.edge_admin, "--edge-admin-port"),
            *((self.first_region + n, "--first-region-port") for n in range(len(REGIONS))),
            (self.locust, "--locust-port"),
            (self.locust_master, "--locust-master-port"),
            (self.metrics, "--metrics-port"),
            (self.dashboard, "--dashboard-port"),
        ]

    def admin_url(self) -> str:
        return f"http://{HOST}:{self.edge_admin}"

    def locust_url(self) -> str:
        return f"http://{HOST}:{self.locust}"

    def dashboard_url(self) -> str:
        return f"http://{HOST}:{self.dashboard}"


class Parts(Manager):  # type: ignore[misc] # honcho publishes no types
    """honcho's manager, which also knows what ended first and survives a signal while starting."""

    def __init__(self) -> None:
        super().__init__(Printer(sys.stdout))
        self.ended_first: dict[str, int] = {}
        self.told_to_stop = False
        self._stop_when_started = False

    def terminate(self) -> None:
        self.told_to_stop = self.told_to_stop or not self._any_stopped()
        if super()._all_started():
            super().terminate()
        else:
            # honcho knows no process id yet; asked for again on each turn of its loop.
            self._stop_when_started = True

    def process_groups(self) -> list[int]:
        """The group each started part was given."""
        return [part["pid"] for part in self._processes.values() if "pid" in part]

    def _all_started(self) -> bool:
        started = bool(super()._all_started())
        if started and self._stop_when_started:
            self._stop_when_started = False
            super().terminate()
        return started

    def _any_stopped(self) -> bool:
        if not self.ended_first:
            self.ended_first = {
                name: part["returncode"]
                for name, part in self._processes.items()
                if part.get("returncode") is not None
            }
        return bool(self.ended_first)


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    if options.wait_for is not None:
        return 0 if _answers(options.wait_for, within_s=STARTED_WITHIN_S) else 1
    ports = Ports(
        edge_admin=options.edge_admin_port,
        first_region=options.first_region_port,
        locust=options.locust_port,
        locust_master=options.locust_master_port,
        metrics=options.metrics_port,
        dashboard=options.dashboard_port,
    )
    if problem := port_problem(ports.with_options()):
        print(f"demo: {problem}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="flashgauge-demo-") as scratch:
        return _run(ports, users=options.users, store=Path(scratch, "dashboard.sqlite"))


def port_problem(ports: Iterable[tuple[int, str]]) -> str | None:
    """What is wrong with the ports, in one line, or ``None``."""
    seen: dict[int, str] = {}
    for port, option in ports:
        if not 0 < port < 65536:
            return f"port {port} is no port; choose one from 1 to 65535 with {option}"
        if port in seen:
            return f"port {port} is given to {seen[port]} and {option}; change one of them"
        seen[port] = option
        with socket.socket() as probe:
            # As servers do: a port whose last connections linger is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                return f"port {port} is in use ({error.strerror}); choose another with {option}"
    return None


def _run(ports: Ports, *, users: int, store: Path) -> int:
    parts = Parts()
    wait = shlex.join([sys.executable, __file__, "--wait-for", f"{ports.admin_url()}/healthz"])
    for name, command, script in (
        ("edge", _edge(ports), ONCE),
        ("locust", _locust(ports, users=users), f"{wait} && {ONCE}"),
        ("dashboard", _dashboard(ports, store=store), START_AGAIN_WHEN_KILLED),
    ):
        env = {**os.environ, "PYTHONUNBUFFERED": "1", "PART": shlex.join(command)}
        parts.add_process(name, script, env=env, cwd=str(Path(__file__).parent))
    # A closed terminal ends the demo as kill does; honcho itself sees to SIGTERM and SIGINT.
    signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    threading.Thread(target=_announce, args=(ports,), daemon=True).start()
    try:
        parts.loop()
    finally:
        _end_groups(parts.process_groups())
    if parts.told_to_stop:
        print("demo: stopped", flush=True)
        return 0
    for name, status in parts.ended_first.items():
        print(f"demo: {name} {_ending(status)}; the other parts were stopped", file=sys.stderr)
    return 1


def _edge(ports: Ports) -> list[str]:
    regions = [word for region in REGIONS for word in ("--region", region)]
    return [
        *(sys.executable, "-m", "flash.edge", *regions),
        *("--admin-port", str(ports.edge_admin), "--first-port", str(ports.first_region)),
        # A pause long enough to see, and a stop shorter than honcho's patience.
        *("--boot-delay", "3", "--exit-grace-period", "1"),
    ]


def _locust(ports: Ports, *, users: int) -> list[str]:
    return [
        *(sys.executable, "-m", "locust", "-f", "loadgen", "--flash-edge", ports.admin_url()),
        *("--web-host", HOST, "--web-port", str(ports.locust), "--processes", "2"),
        *("--master-bind-host", HOST, "--master-bind-port", str(ports.locust_master)),
        *("--master-host", HOST, "--master-port", str(ports.locust_master)),
        *("--metrics-port", str(ports.metrics), "--dashboard-url", ports.dashboard_url()),
        *("--autostart", "--users", str(users), "--spawn-rate", "4", "--generate", "0.2"),
    ]


def _dashboard(ports: Ports, *, store: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "dashboard", "--port", str(ports.dashboard)),
        *("--store", str(store), "--scrape", f"http://{HOST}:{ports.metrics}/metrics"),
        *("--flash-edge", ports.admin_url(), "--locust-url", ports.locust_url()),
    ]


def _announce(ports: Ports) -> None:
    pages = {"Dashboard": ports.dashboard_url(), "Locust": ports.locust_url()}
    for name, url in pages.items():
        if not _answers(url, within_s=STARTED_WITHIN_S):
            return
        if name == "Dashboard":
            print(f"\n  Dashboard: {url}\n  (Ctrl-C stops everything)\n", flush=True)
        else:
            print(f"\n  Locust's own page: {url}\n", flush=True)


def _answers(url: str, *, within_s: float) -> bool:
    opener = build_opener(ProxyHandler({}))
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        try:
            with opener.open(url, timeout=2):
                return True
        except (URLError, OSError):
            time.sleep(0.1)
    return False


def _end_groups(groups: Iterable[int]) -> None:
    """Make sure that no process of a part outlives it, whatever became of the part itself."""
    remaining = [group for group in groups if _signalled(group, signal.SIGTERM)]
    give_up = time.monotonic() + STOPPED_WITHIN_S
    while remaining and time.monotonic() < give_up:
        time.sleep(0.05)
        remaining = [group for group in remaining if _signalled(group, 0)]
    for group in remaining:
        _signalled(group, signal.SIGKILL)


def _signalled(group: int, signal_number: int) -> bool:
    try:
        os.killpg(group, signal_number)
    except (ProcessLookupError, PermissionError):
        return False  # gone; a group of zombies alone answers with the latter on macOS
    return True


def _ending(status: int) -> str:
    # A shell adds 128 to the number of the signal that killed its command.
    number = -status if status < 0 else status - 128
    if number in set(signal.Signals):
        return f"was killed by {signal.Signals(number).name}"
    return f"ended with status {status}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="demo.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Through make: make demo DEMO='--users 40 --dashboard-port 8010'",
    )
    parser.add_argument("--users", type=int, default=24, help="virtual users (default 24)")
    for option, default, what in (
        ("--edge-admin-port", 7400, "the edge's admin interface"),
        ("--first-region-port", 7401, "the first region; the others follow"),
        ("--locust-port", 8089, "Locust's own page"),
        ("--locust-master-port", 5557, "where Locust's processes meet"),
        ("--metrics-port", 9646, "the load generator's metrics"),
        ("--dashboard-port", 8000, "the dashboard"),
    ):
        parser.add_argument(option, type=int, default=default, help=f"{what} (default {default})")
    parser.add_argument("--wait-for", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
