"""``locust`` as a person types it: one's own locustfile, the end of a run, and mistakes."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytestmark = pytest.mark.end_to_end

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
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join(10)


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
