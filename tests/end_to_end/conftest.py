"""Real processes for the end-to-end tests: started on free ports, and gone when the test is."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from prometheus_client.parser import text_string_to_metric_families

ROOT = Path(__file__).parents[2]
OPENER = build_opener(ProxyHandler({}))


class Running:
    """One started command in its own process group, with its output in a file."""

    def __init__(self, command: list[str], *, log: Path, env: dict[str, str]) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self, *, within_s: float) -> int:
        """Exit status; fails the test when the process is still there by then."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {within_s} s:\n{self.output()[-4000:]}")

    def terminate(self, *, within_s: float) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.wait(within_s=within_s)

    def end(self) -> None:
        """Whatever is left of it, without ceremony."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(10)
            except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
                continue


Start = Callable[..., Running]


@pytest.fixture
def start(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Start]:
    """Start ``python ARGUMENTS``, or another program; more environment by keyword.

    Ended after the test.
    """
    started: list[Running] = []

    def run(*arguments: str, program: str = sys.executable, **environ: str) -> Running:
        env = {name: value for name, value in os.environ.items() if not _is_ours(name)}
        env |= {"PYTHONUNBUFFERED": "1", **environ}
        log = tmp_path / f"output-{len(started)}.txt"
        started.append(Running([program, *arguments], log=log, env=env))
        return started[-1]

    yield run
    for running in reversed(started):
        running.end()
    for running in started:
        request.node.add_report_section("teardown", running.log.name, running.output()[-4000:])


def _is_ours(name: str) -> bool:
    return name.startswith(("FLASH_", "LOADGEN_", "DASHBOARD_", "LOCUST_", "TARGET_", "MODAL_"))


class Ports:
    """Consecutive ports on which nobody listens; each told once before any is told again.

    They are below those that systems give to connections by themselves: thousands of these may be
    taken, and one that is free now may not be so in a moment. Each of pytest's processes has a part
    of its own, or two tests could be told the same one before either listens.
    """

    _FIRST = 10_000
    _OF_A_PROCESS = 2_000

    def __init__(self) -> None:
        process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
        self._first = self._FIRST + process % 5 * self._OF_A_PROCESS
        self._told = random.SystemRandom().randrange(self._OF_A_PROCESS)

    def __call__(self, count: int) -> list[int]:
        for _ in range(2 * self._OF_A_PROCESS):
            if self._told + count > self._OF_A_PROCESS:
                self._told = 0
            first = self._first + self._told
            ports = list(range(first, first + count))
            if all(map(_is_free, ports)):
                self._told += count
                return ports
            self._told += 1
        pytest.fail(f"no {count} consecutive free ports")


@pytest.fixture(scope="session")
def free_ports() -> Callable[[int], list[int]]:
    """So many consecutive ports on which nobody listens."""
    return Ports()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class ModalAccount:
    """A stand-in for Modal's control plane, to which the real ``modal`` client can be sent."""

    def __init__(self, start: Start, port: int, folder: Path) -> None:
        self._file = folder / "modal.json"
        self.tell()
        script = Path(__file__).with_name("modal_control_plane.py")
        self._running = start(str(script), str(port), str(self._file))
        self.environ = {
            "MODAL_SERVER_URL": f"http://127.0.0.1:{port}",
            "MODAL_TOKEN_ID": "ak-stand-in",
            "MODAL_TOKEN_SECRET": "as-stand-in",
            "MODAL_CONFIG_PATH": str(folder / "none.toml"),
        }

    def tell(
        self, *, urls: Sequence[str] = (), containers: Sequence[tuple[str, str, int]] = ()
    ) -> None:
        """From now on the flash URLs, and the live containers by id, host and port."""
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"urls": urls, "containers": containers}))
        new.replace(self._file)

    def asked(self) -> list[str]:
        """The names of the calls until now."""
        return self._running.output().split()


@pytest.fixture
def modal_account(start: Start, free_ports, tmp_path: Path) -> ModalAccount:
    return ModalAccount(start, *free_ports(1), tmp_path)


class Answer:
    """A response that was read whole."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        return json.loads(self.body)


class Http:
    """Plain requests from outside every room, and waiting for conditions."""

    def get(self, url: str, *, headers: dict[str, str] | None = None) -> Answer:
        return self.send("GET", url, headers=headers)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str] | None = None,
        body: object = None,
    ) -> Answer:
        headers = dict(headers or {})
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        return self._opened(Request(url, data=data, headers=headers, method=method))

    def submit(self, url: str, **fields: object) -> Answer:
        """A form, as a browser would send it."""
        return self._opened(Request(url, data=urlencode(fields).encode()))

    def _opened(self, request: Request) -> Answer:
        try:
            with OPENER.open(request, timeout=10) as response:
                return Answer(response.status, response.headers, response.read())
        except HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def samples(self, url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """A metrics page as values by name and labels."""
        text = self.get(url).body.decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def total(self, url: str, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have the labels."""
        return sum(
            value
            for (sample, have), value in self.samples(url).items()
            if sample == name and labels.items() <= dict(have).items()
        )

    def until(self, condition: Callable[[], Any], *, within_s: float, what: str) -> Any:
        """The first true answer of ``condition``; connection errors count as not yet."""
        give_up = time.monotonic() + within_s
        last: object = None
        while time.monotonic() < give_up:
            try:
                if last := condition():
                    return last
            except OSError as error:
                last = error
            time.sleep(0.05)
        pytest.fail(f"not within {within_s} s: {what} (last: {last!r})")


@pytest.fixture
def http() -> Http:
    return Http()


_Server = TypeVar("_Server", bound=ThreadingHTTPServer)


@pytest.fixture
def serving() -> Callable[[_Server], AbstractContextManager[_Server]]:
    """Have a server of the test itself answer in a thread until the block is left."""

    @contextmanager
    def run(server: _Server) -> Iterator[_Server]:
        with server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            yield server
            server.shutdown()
            thread.join(10)

    return run


@pytest.fixture
def counting_server(start: Start, http: Http) -> Callable[..., str]:
    """Start a server that answers at once and tells at ``/served`` how often; its address."""

    def run(host: str = "127.0.0.1") -> str:
        server = start(str(Path(__file__).with_name("stalling_server.py")), "0", "3600", host)
        port = int(http.until(server.output, within_s=10, what="the server's port"))
        return f"http://{host}:{port}"

    return run


class Fleet:
    """A master with a page, two workers that send to a server that counts, and a dashboard.

    ``python`` is what Python is started with for Locust's own arguments to follow; ``host`` is
    where the master listens.
    """

    def __init__(
        self,
        start: Start,
        http: Http,
        ports: Sequence[int],
        url: str,
        arguments: Sequence[str],
        python: Sequence[str],
        host: str,
        store: Path,
    ) -> None:
        self._start, self._http, self._python, self.url = start, http, python, url
        web, metrics, self._port, board = ports
        self._host = host
        self.web, self.page = f"http://127.0.0.1:{web}", f"http://127.0.0.1:{metrics}/metrics"
        self.board = f"http://127.0.0.1:{board}"
        self._began = int(time.time())
        self._as_master = (
            *("--master", "--master-bind-host", host, "--master-bind-port", str(self._port)),
            *("--metrics-port", str(metrics), "--web-port", str(web), "--web-host", "127.0.0.1"),
            *("--autostart", "--expect-workers", "2", "--flash-url", f"us-east={url}"),
            *("--stop-timeout", "5", *arguments),
        )
        self.dashboard = start(
            *("-m", "dashboard", "--port", str(board), "--store", str(store)),
            *("--scrape", self.page),
        )
        self.workers: list[Running] = []

    def start_master(self) -> None:
        self.master = self._start(*self._python, "-f", "loadgen", *self._as_master)

    def start_worker(self, *, program: str = sys.executable, before: Sequence[str] = ()) -> Running:
        """One more; ``program`` with the arguments ``before`` starts Python if it is not Python."""
        self.workers.append(
            self._start(
                *(*before, *self._python, "-f", "loadgen", "--worker"),
                *("--master-host", self._host, "--master-port", str(self._port)),
                *("--flash-url", f"us-east={self.url}"),
                program=program,
            )
        )
        return self.workers[-1]

    def served(self) -> int:
        return int(self._http.get(f"{self.url}/served").body)

    def until_served(self, count: int) -> None:
        self._http.until(
            lambda: self.served() >= count,
            within_s=30,
            what=f"{count} requests are served: {self.master.output()[-3000:]}",
        )

    def until_changed(self, change: str, count: int = 1, *, within_s: float = 10) -> None:
        """As many workers as that have joined, were lost, or returned."""
        self._http.until(
            lambda: self.total("loadgen_worker_changes_total", change=change) == count,
            within_s=within_s,
            what=f"{count} workers {change}: {self.master.output()[-3000:]}",
        )

    def run_over(self, *, within_s: float = 40) -> dict[str, Any]:
        """Locust's own table of all requests, once the run is over."""

        def stopped() -> dict[str, Any] | None:
            # A master without workers calls itself stopped, too.
            if not self.total("loadgen_run_end_timestamp_seconds"):
                return None
            stats = self._http.get(f"{self.web}/stats/requests").json()
            return stats if stats["state"] == "stopped" else None

        stats = self._http.until(
            stopped, within_s=within_s, what=f"the run is over: {self.master.output()[-3000:]}"
        )
        return next(row for row in stats["stats"] if row["name"] == "Aggregated")

    def total(self, name: str, **labels: str) -> float:
        return self._http.total(self.page, name, **labels)

    def charted(self) -> dict[int, float | None]:
        """Good answers per second by second, as the dashboard shows them."""
        query = f"start={self._began}&end={time.time() + 5:.0f}&step=1"
        data = self._http.get(f"{self.board}/api/panels/throughput/data?{query}").json()
        found: dict[int, float | None] = {}
        for line in data["lines"]:
            assert all(value is None or value >= 0 for _, value in line["points"])
            if line["labels"]["outcome"] == "ok":
                for at, value in line["points"]:
                    before = found.get(at)
                    found[at] = before if value is None else value + (before or 0.0)
        return found

    def assert_charts_tell(self, counted: float) -> dict[int, float | None]:
        """The dashboard counted as much, and shows no pause from the first answer to the last.

        A report that is a second late is in the next second's point.
        """
        self._http.until(
            lambda: round(sum(filter(None, self.charted().values())), 6) == counted,
            within_s=10,
            what=f"the dashboard counts {counted}: {self.dashboard.output()[-2000:]}",
        )
        charted = self.charted()
        busy = [at for at, value in charted.items() if value]
        inside = range(busy[0], busy[-1])
        assert [at for at in inside if charted[at] == charted[at + 1] == 0] == []
        return charted


@pytest.fixture
def fleet(
    start: Start,
    http: Http,
    free_ports: Callable[[int], list[int]],
    counting_server: Callable[..., str],
    tmp_path: Path,
) -> Callable[..., Fleet]:
    """Start a fleet that sends by an arrival schedule for a while."""

    def run(
        rate: str,
        run_time_s: int,
        *,
        host: str = "127.0.0.1",
        server_host: str = "127.0.0.1",
        python: Sequence[str] = ("-m", "locust"),
        workers: int = 2,
    ) -> Fleet:
        load = ("--arrival-rate", rate, "-u", "24", "-r", "100", "-t", f"{run_time_s}s")
        made = Fleet(
            *(start, http, free_ports(4), counting_server(server_host), load, python, host),
            tmp_path / "fleet.sqlite",
        )
        made.start_master()
        for _ in range(workers):
            made.start_worker()
        return made

    return run
