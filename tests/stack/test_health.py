"""The probe of the stack's health checks."""

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stack.health import answers, connected, main

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:15B5 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0
   1: 020012AC:C350 030012AC:15B5 {state} 00000000:00000000 00:00000000 00000000     0 0 2 1 0
"""


class Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.send_header("Content-Length", "200000")
        self.end_headers()
        self.wfile.write(b"x" * 200_000)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def port():
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_only_status_200_is_well(port: int) -> None:
    assert answers(port, "/healthz")
    assert not answers(port, "/other")
    assert main([str(port), "/healthz"]) == 0
    assert main([str(port), "/other"]) == 1


def test_nobody_listening_is_not_well() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        assert not answers(taken.getsockname()[1], "/")


def test_a_connection_counts_once_it_is_established() -> None:
    assert connected(TABLE.format(state="01"), 5557)
    assert not connected(TABLE.format(state="02"), 5557)  # being made
    assert not connected(TABLE.format(state="01"), 5558)


def test_a_listener_is_no_connection_to_another() -> None:
    assert not connected(TABLE.format(state="06"), 5557)


def test_wrong_usage_is_status_2(capsys) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


def test_it_runs_without_anything_installed(port: int) -> None:
    file = Path(__file__).parents[2] / "stack" / "health.py"
    command = [sys.executable, "-IS", str(file), str(port)]
    assert subprocess.run([*command, "/healthz"], timeout=30).returncode == 0
    assert subprocess.run([*command, "/other"], timeout=30).returncode == 1
