"""The whole edge as a process, in front of containers that are processes."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets.sync.client import connect

HERE = Path(__file__).parent
SERVER = (sys.executable, str(HERE / "small_server.py"))
WEBSOCKETS = (
    sys.executable,
    "-c",
    "import os; from websockets.sync.server import serve\n"
    "def echo(peer):\n"
    "    for message in peer: peer.send(message[::-1])\n"
    "serve(echo, '127.0.0.1', int(os.environ['PORT'])).serve_forever()",
)


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self) -> Any:
        return json.loads(self.body)


def marked(mark: str) -> list[psutil.Process]:
    """All processes whose environment has a mark."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and (
                process.environ().get("EDGE_TEST_MARK") == mark
            ):
                found.append(process)
    return found


class Edge:
    """A started edge with one region, at its addresses."""

    def __init__(self, folder: Path, options: tuple[str, ...], command: tuple[str, ...]) -> None:
        self.mark = uuid.uuid4().hex
        self._errors = folder / "errors.txt"
        environ = {name: text for name, text in os.environ.items() if not name.startswith("FLASH_")}
        with self._errors.open("wb") as errors:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "flash.edge", "--region", "us-east", "--no-rtt"),
                    *("--admin-port", "0", "--first-port", "0", "--boot-delay", "0"),
                    *(*options, "--", *command),
                ],
                env={**environ, "EDGE_TEST_MARK": self.mark},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        assert self.process.stdout is not None
        self.readiness = self.process.stdout.readline()
        urls = [word.strip(",\n") for word in self.readiness.split() if word.startswith("http")]
        assert len(urls) == 2, self.errors()
        self.admin, self.region = (int(url.rpartition(":")[2]) for url in urls)

    def errors(self) -> str:
        return self._errors.read_text()

    def ask(self, path: str = "/", *, method: str = "GET", port: int = 0, **more: Any) -> Answer:
        client = http.client.HTTPConnection("127.0.0.1", port or self.region, timeout=10)
        with contextlib.closing(client):
            client.request(method, path, **more)
            return Answer(client.getresponse())

    def tell(self, path: str, *, method: str = "GET", **more: Any) -> Any:
        answer = self.ask(path, method=method, port=self.admin, **more)
        assert answer.status == 200, answer.body
        return answer.json()

    def containers(self) -> list[dict[str, Any]]:
        return self.tell("/containers")

    def live(self) -> list[str]:
        return [one["task_id"] for one in self.containers() if one["state"] == "live"]

    def metric(self, line: str) -> float:
        page = self.ask("/metrics", port=self.admin).body.decode()
        return float(page.split(f"\n{line} ")[1].split("\n")[0])

    def events(self) -> list[str]:
        return [event["kind"] for event in self.tell("/events")]

    def processes(self) -> list[psutil.Process]:
        """The edge, its containers and its reaper, as far as they live."""
        return marked(self.mark)

    def end(self) -> None:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                self.process.send_signal(number)
                self.process.wait(3)
        assert self.process.stdout is not None
        self.process.stdout.close()
        until(lambda: not self.processes(), what="nothing is left")


def until(condition: Callable[[], Any], *, what: str, within_s: float = 15.0) -> Any:
    give_up = time.monotonic() + within_s
    while time.monotonic() < give_up:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(f"not within {within_s:g} s: {what}")


Start = Callable[..., Edge]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Edge] = []

    def run(*options: str, command: tuple[str, ...] = SERVER, live: int = 0) -> Edge:
        if live:
            options = (*options, "--min-containers", str(live))
        edge = Edge(tmp_path, options, command)
        started.append(edge)
        if live:
            until(lambda: len(edge.live()) == live, what=f"{live} are live: {edge.errors()}")
        return edge

    yield run
    for edge in started:
        edge.end()


def in_background(work: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except (OSError, http.client.HTTPException) as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_it_wakes_from_zero_serves_and_goes_back_to_zero(start) -> None:
    edge = start("--scaledown-window", "1")
    assert edge.containers() == []
    first = edge.ask()
    assert (first.status, first.body, first.headers["content-length"]) == (503, b"", "0")
    assert first.headers["x-edge-region"] == "us-east"
    assert first.headers["x-edge-container"] is None
    answer = until(lambda: (a := edge.ask()).status == 200 and a, what="it answers")
    (container,) = edge.containers()
    assert list(container) == [
        *("task_id", "region", "host", "port", "state", "in_flight", "started_at", "ready_at")
    ]
    assert answer.headers["x-edge-container"] == container["task_id"]
    assert answer.body.decode().split()[0] == container["task_id"]
    until(lambda: not edge.containers(), what="it went back to zero", within_s=5)
    assert edge.ask().status == 503
    assert edge.events()[:3] == ["requested", "process_started", "live"]
    assert {"draining", "terminated", "gone"} <= set(edge.events())
    assert edge.metric('edge_container_starts_total{result="ready"}') == 1


def test_a_killed_container_is_noticed_at_once_and_replaced(start) -> None:
    edge = start(live=1)
    (old,) = edge.live()
    pid = int(edge.ask().body.split()[1])
    thread, results = in_background(lambda: edge.ask("/wait?30"))
    until(lambda: edge.containers()[0]["in_flight"] == 1, what="a request is in flight")
    os.kill(pid, signal.SIGKILL)
    until(lambda: old not in edge.live(), what="its end is noticed", within_s=0.9)
    thread.join(5)
    assert results[0].status == 502
    until(lambda: edge.live(), what="another one is live")
    (new,) = edge.live()
    assert edge.ask().headers["x-edge-container"] == new != old
    assert edge.tell(f"/containers/{new}/kill", method="POST")["task_id"] == new
    until(lambda: new not in [one["task_id"] for one in edge.containers()], what="it is gone")


def test_a_stopped_container_finishes_what_it_serves_and_gets_nothing_new(start) -> None:
    edge = start("--max-containers", "2", live=2)
    thread, results = in_background(lambda: edge.ask("/wait?0.7"))
    busy = until(
        lambda: next((c["task_id"] for c in edge.containers() if c["in_flight"]), None),
        what="a request is in flight",
    )
    edge.tell(f"/containers/{busy}/stop", method="POST")
    states = {one["task_id"]: one["state"] for one in edge.containers()}
    assert states[busy] == "draining"
    for _ in range(6):
        assert edge.ask().headers["x-edge-container"] != busy
    thread.join(10)
    assert results[0].status == 200
    assert results[0].headers["x-edge-container"] == busy
    until(
        lambda: busy not in [one["task_id"] for one in edge.containers()],
        what="it is gone",
        within_s=3,
    )


def test_what_outlasts_the_grace_period_is_cut_off(start) -> None:
    stubborn = (
        sys.executable,
        "-c",
        "import signal, runpy, sys; sys.argv[1:] = []\n"
        f"import asyncio; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"sys.path.insert(0, {str(HERE)!r})\n"
        "asyncio.SelectorEventLoop.add_signal_handler = lambda *a: None\n"
        f"runpy.run_path({str(HERE / 'small_server.py')!r}, run_name='__main__')",
    )
    edge = start("--exit-grace-period", "0.2", command=stubborn, live=1)
    thread, results = in_background(lambda: edge.ask("/wait?60"))
    until(lambda: edge.containers()[0]["in_flight"] == 1, what="a request is in flight")
    began = time.monotonic()
    edge.process.terminate()
    assert edge.process.wait(15) == 0
    assert time.monotonic() - began < 8
    thread.join(5)
    assert isinstance(results[0], Exception)
    until(lambda: not edge.processes(), what="nothing is left", within_s=2)


def test_a_deaf_container_is_out_of_routing_until_it_listens_again(start) -> None:
    edge = start(live=1)
    (name,) = edge.live()
    assert edge.ask("/deaf?2.5").status == 200
    until(lambda: edge.ask().status == 503, what="it is out of routing", within_s=3)
    assert edge.live() == []
    until(lambda: edge.ask().status == 200, what="it is back", within_s=5)
    assert edge.live() == [name]
    assert "unhealthy" in edge.events()


def test_a_start_that_takes_too_long_is_ended_and_counted(start) -> None:
    edge = start("--startup-timeout", "0.3", command=(*SERVER, "--never"))
    assert edge.ask().status == 503
    line = 'edge_container_starts_total{result="timeout"}'
    until(lambda: edge.metric(line) == 1, what="the start failed")
    until(lambda: not edge.containers(), what="it is gone")
    assert "did not open port" in edge.errors()


def test_failing_starts_wait_longer_each_time(start) -> None:
    edge = start("--min-containers", "1", command=(*SERVER, "--fail"))
    line = 'edge_container_starts_total{result="exited"}'
    until(lambda: edge.metric(line) == 2, what="two starts failed")
    assert edge.errors().count("the next start waits") == 2
    assert "cannot find the model" in edge.errors()


def test_demand_above_the_target_starts_another_container(start) -> None:
    edge = start("--target-concurrency", "2", "--max-containers", "2", live=1)
    waiting = [in_background(lambda: edge.ask("/wait?1.5"))[0] for _ in range(4)]
    until(lambda: len(edge.live()) == 2, what="a second one is live", within_s=5)
    for thread in waiting:
        thread.join()


def test_above_the_hard_limit_requests_are_turned_away(start) -> None:
    edge = start("--max-concurrency", "1", "--max-containers", "1", live=1)
    thread, results = in_background(lambda: edge.ask("/wait?1"))
    until(lambda: edge.containers()[0]["in_flight"] == 1, what="a request is in flight")
    assert edge.ask().status == 429
    thread.join()
    assert results[0].status == 200
    assert edge.ask().status == 200


def test_a_real_websocket_passes(start) -> None:
    edge = start(command=WEBSOCKETS, live=1)
    with connect(f"ws://127.0.0.1:{edge.region}/", open_timeout=5) as peer:
        for message in ("abc", "x" * 100_000):
            peer.send(message)
            assert peer.recv(timeout=5) == message[::-1]
        assert edge.containers()[0]["in_flight"] == 1
    until(lambda: edge.containers()[0]["in_flight"] == 0, what="the socket is closed")


@pytest.mark.parametrize(
    "size", [100_000_000, pytest.param(1_000_000_000, marks=pytest.mark.floods)]
)
def test_large_bodies_pass_both_ways_in_little_memory(start, size) -> None:
    edge = start(live=1)
    block = os.urandom(1 << 16) * 16
    resident = psutil.Process(edge.process.pid).memory_info().rss
    most = 0
    with socket.create_connection(("127.0.0.1", edge.region), timeout=20) as peer:
        peer.sendall(
            b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n"
            b"Expect: 100-continue\r\n\r\n" % size
        )
        reader = peer.makefile("rb")
        assert reader.readline().startswith(b"HTTP/1.1 100 ")
        reader.readline()

        def send() -> None:
            left = size
            while left:
                piece = block[:left]
                peer.sendall(piece)
                left -= len(piece)

        thread, _ = in_background(send)
        while reader.readline() != b"\r\n":
            pass
        got = 0
        while got < size:
            data = reader.read(min(len(block), size - got))
            assert data == block[: len(data)]
            got += len(data)
            most = max(most, psutil.Process(edge.process.pid).memory_info().rss)
        thread.join()
    print(f"{size:,} bytes each way: {(most - resident) / 1e6:.0f} MB more at most")
    assert most - resident < 50_000_000


def test_the_end_of_a_killed_edge_is_the_end_of_its_containers(start) -> None:
    edge = start("--max-containers", "2", live=2)
    assert len(edge.processes()) == 4
    edge.process.kill()
    edge.process.wait(5)
    until(lambda: not edge.processes(), what="nothing is left", within_s=5)


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param((signal.SIGTERM,), id="term"),
        pytest.param((signal.SIGTERM, signal.SIGTERM), id="term twice"),
        pytest.param((signal.SIGINT,), id="interrupt"),
    ],
)
def test_a_signal_at_any_moment_of_the_start_leaves_no_process(tmp_path, signals) -> None:
    mark = uuid.uuid4().hex
    # Who signals twice does not wait for a container that does not want to end.
    container = ("sh", "-c", "trap '' TERM; exec sleep 60") if len(signals) > 1 else SERVER
    command = [
        *(sys.executable, "-m", "flash.edge", "--region", "us-east", "--no-rtt"),
        *("--admin-port", "0", "--first-port", "0", "--boot-delay", "0.05"),
        *("--min-containers", "4", "--exit-grace-period", "0", "--", *container),
    ]
    with (tmp_path / "output.txt").open("wb") as output:
        for tenth in (0, 3, 5, 6, 8):
            edge = subprocess.Popen(
                command,
                env={**os.environ, "EDGE_TEST_MARK": mark},
                stdout=subprocess.DEVNULL,
                stderr=output,
                # What a shell starts in the background ignores it.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )
            time.sleep(tenth / 10)
            for number in signals:
                edge.send_signal(number)
                time.sleep(0.03)
            # A signal before the edge is ready for it ends it as it would end any program.
            assert edge.wait(20) in (0, *(-number for number in signals), 1, 130)
    until(lambda: not marked(mark), what=f"nothing is left: {marked(mark)}")
    if signal.SIGINT not in signals:
        assert "Traceback" not in (tmp_path / "output.txt").read_text()


def test_a_second_edge_on_the_same_ports_ends_and_disturbs_nobody(start) -> None:
    edge = start(live=1)
    (container,) = edge.live()
    mark = uuid.uuid4().hex
    ports = ("--admin-port", str(edge.admin), "--first-port", str(edge.region))
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-m", "flash.edge", "--region", "us-east", "--no-rtt", *ports],
            env={**os.environ, "EDGE_TEST_MARK": mark},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert f"port {edge.admin}" in done.stderr
    assert marked(mark) == []
    assert edge.ask().headers["x-edge-container"] == container


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_finish_and_leaves_nothing(start, number) -> None:
    edge = start(live=1)
    thread, results = in_background(lambda: edge.ask("/wait?0.8"))
    until(lambda: edge.containers()[0]["in_flight"] == 1, what="a request is in flight")
    edge.process.send_signal(number)
    thread.join(10)
    assert results[0].status == 200
    assert edge.process.wait(10) == 0
    assert not edge.processes()
    assert "Traceback" not in edge.errors()


def test_a_second_signal_does_not_wait(start) -> None:
    edge = start("--exit-grace-period", "30", live=1)
    thread, _ = in_background(lambda: edge.ask("/wait?20"))
    until(lambda: edge.containers()[0]["in_flight"] == 1, what="a request is in flight")
    began = time.monotonic()
    edge.process.terminate()
    until(lambda: edge.containers()[0]["state"] == "draining", what="it drains")
    edge.process.terminate()
    assert edge.process.wait(10) == 0
    assert time.monotonic() - began < 5
    thread.join(5)
    assert not edge.processes()


@pytest.mark.parametrize(
    ("taken", "option"), [("--admin-port", "--admin-port"), ("--first-port", "--first-port")]
)
def test_a_port_in_use_is_one_line_that_names_the_option(taken, option) -> None:
    other = {"--admin-port": "--first-port", "--first-port": "--admin-port"}[taken]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "flash.edge", taken, str(port), other, "0"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"port {port}" in line
    assert option in line
    assert done.stdout == ""


def test_it_says_on_one_line_that_it_is_ready(start) -> None:
    edge = start()
    assert edge.readiness.count("\n") == 1
    assert edge.tell("/flash_urls") == {"us-east": f"http://127.0.0.1:{edge.region}"}
    assert edge.ask("/healthz", port=edge.admin).status == 200
