"""``locust`` as a person types it: one's own locustfile, the end of a run, and mistakes."""

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest

pytestmark = pytest.mark.end_to_end

OPENER = build_opener(ProxyHandler({}))

OWN = """
from locust import constant, task
from loadgen import FlashUser

class Asker(FlashUser):
    routing = "sticky"
    wait_time = constant(0.01)

    @task
    def ask(self):
        self.client.get("/ask", name="ask")
"""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sessions: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.sessions.append(self.headers["Modal-Session-ID"])
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(serving) -> Iterator[Server]:
    with serving(Server()) as running:
        yield running


def test_a_locustfile_of_ones_own_is_measured_and_summed_up(
    start, free_ports, server, tmp_path
) -> None:
    file = tmp_path / "locustfile.py"
    file.write_text(OWN)
    (metrics,) = free_ports(1)
    locust = start(
        *("-m", "locust", "-f", str(file), "--headless", "--users", "3", "--spawn-rate", "3"),
        *("--run-time", "2s", "--stop-timeout", "10", "--metrics-port", str(metrics)),
        *("--flash-url", f"us-east={server.url}"),
    )
    assert locust.wait(within_s=30) == 0, locust.output()
    made = len(server.sessions)
    assert made > 20
    assert len(set(server.sessions)) == 3
    assert None not in server.sessions
    text = locust.output()
    # Locust prints its table every two seconds and at the end.
    rows = [line.split() for line in text.splitlines() if "(0.00%)" in line]
    assert [row[2] for row in rows if row[:2] == ["GET", "ask"]][-1] == str(made)
    title = next(n for n, line in enumerate(text.splitlines()) if "Cold starts and latency" in line)
    summary = next(line for line in text.splitlines()[title:] if line.startswith("us-east"))
    assert summary.split()[:3] == ["us-east", "sticky", str(made)]


def test_a_metrics_port_in_use_is_one_line_and_status_2(start, server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        locust = start(
            *("-m", "locust", "-f", "loadgen", "--headless", "--metrics-port", str(port)),
            *("--host", server.url),
        )
        assert locust.wait(within_s=30) == 2
    assert f"port {port}" in locust.output()
    assert "--metrics-port" in locust.output()
    assert "Traceback" not in locust.output()
    assert server.sessions == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--flash-url", "us-east"), "REGION=URL"),
        (("--flash-url", "us-east=ftp://127.0.0.1"), "ftp://127.0.0.1"),
        (("--modal-app", "lonely"), "--modal-cls"),
        (("--flash-edge", "http://127.0.0.1:1"), "python -m flash.edge"),
        (("--host", "http://127.0.0.1:1", "--cold-start-timeout", "soon"), "--cold-start-timeout"),
        (("--host", "http://127.0.0.1:1", "--generate", "2"), "--generate"),
        (("--modal-cls", "C", "--modal-server", "s"), "--modal-cls and --modal-server contradict"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_without_a_trace(
    start, free_ports, arguments, said
) -> None:
    (metrics,) = free_ports(1)
    locust = start(
        *("-m", "locust", "-f", "loadgen", "--headless", "--metrics-port", str(metrics)),
        *arguments,
    )
    assert locust.wait(within_s=30) == 2
    assert said in locust.output()
    assert "Traceback" not in locust.output()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("think-time = soon", "argument --think-time: expected a number from 0 to 86400, got"),
        ("think-tyme = 1", "unrecognized arguments: --think-tyme=1"),
    ],
)
def test_a_mistake_in_a_configuration_file_is_told_without_a_trace(
    start, tmp_path, line, said
) -> None:
    file = tmp_path / "locust.conf"
    file.write_text(f"headless = true\nhost = http://127.0.0.1:1\n{line}\n")
    locust = start("-m", "locust", "-f", "loadgen", "--config", str(file))
    assert locust.wait(within_s=30) == 2
    assert said in locust.output()
    assert "Traceback" not in locust.output()


def test_the_package_as_a_command_is_locust_with_its_options_in_the_help(start) -> None:
    locust = start("-m", "loadgen", "--help")
    assert locust.wait(within_s=30) == 0
    for option in ("--users", "--headless", "--flash-url", "--think-time", "LOADGEN_THINK_TIME"):
        assert option in locust.output()


def test_the_package_as_a_command_runs_and_ends_as_locust_does(start, free_ports, server) -> None:
    (metrics,) = free_ports(1)
    options = ("--headless", "--run-time", "1s", "--stop-timeout", "10", "--host", server.url)
    locust = start("-m", "loadgen", *options, "--metrics-port", str(metrics), "StickyUser")
    assert locust.wait(within_s=30) == 0, locust.output()
    assert len(set(server.sessions)) == 1
    mistaken = start("-m", "loadgen", *options, "--arrival-process", "poisson")
    assert mistaken.wait(within_s=30) == 2
    assert "loadgen: --arrival-process needs --arrival-rate" in mistaken.output()
    assert "Traceback" not in mistaken.output()


def test_the_page_starts_no_run_with_what_the_command_line_would_refuse(
    start, free_ports, server, http
) -> None:
    web, metrics = free_ports(2)
    ports = ("--web-port", str(web), "--metrics-port", str(metrics))
    locust = start("-m", "loadgen", *ports, "--host", server.url, "--think-time", "0.01")
    page = f"http://127.0.0.1:{web}"
    http.until(lambda: http.get(page).status == 200, within_s=30, what="Locust's page")

    def swarm(**form: str) -> dict:
        fields = urlencode({"user_count": "1", "spawn_rate": "1", "host": server.url, **form})
        with OPENER.open(f"{page}/swarm", fields.encode(), timeout=10) as answer:
            return json.load(answer)

    for form, told in (
        ({"think_time": "-1"}, "--think-time: expected a number"),
        ({"generate": "lots"}, "--generate: expected a number"),
        ({"metrics_port": "1"}, "--metrics-port cannot be changed"),
        ({"arrival_process": "poisson"}, "--arrival-process needs --arrival-rate"),
    ):
        answer = swarm(**form)
        assert not answer["success"]
        assert told in answer["message"]
    assert http.get(f"{page}/stats/requests").json()["state"] == "ready"
    assert server.sessions == []
    assert swarm(think_time="0.02", path="", arrival_process="constant")["success"]
    http.until(lambda: server.sessions, within_s=10, what="a request")
    http.send("GET", f"{page}/stop")
    assert locust.terminate(within_s=20) == 0, locust.output()
