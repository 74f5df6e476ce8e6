"""Secrets of every kind are given to every process, and looked for in all that it leaves behind."""

import base64
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

pytestmark = pytest.mark.end_to_end

# Each one is told apart, and in no other text.
PROXY_ID, PROXY_SECRET = "wk-canary1q", "ws-canary2q/+"
MODAL_ID, MODAL_SECRET = "ak-canary3q", "as-canary4q/+"
DASHBOARD = "canary5q/+%&="
BEARER = "canary6q/+%&="
USER, PASSWORD = "me", "canary7q/+%&:"
FOREIGN = "wk-canary8q:ws-canary9q"
SECRETS = {
    "FLASH_EDGE_PROXY_TOKEN": f"{PROXY_ID}:{PROXY_SECRET}",
    "FLASH_EDGE_FOREIGN_TOKEN": FOREIGN,
    "MODAL_PROXY_TOKEN_ID": PROXY_ID,
    "MODAL_PROXY_TOKEN_SECRET": PROXY_SECRET,
    "MODAL_TOKEN_ID": MODAL_ID,
    "MODAL_TOKEN_SECRET": MODAL_SECRET,
    "DASHBOARD_TOKEN": DASHBOARD,
}
# Whole, as in an address, and as a basic authorization would carry it.
BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
FORMS = ["canary", BASIC, base64.b64encode(PASSWORD.encode()).decode()]


def leaks(text: bytes) -> list[str]:
    return [form for form in FORMS if form.encode() in text or quote(form).encode() in text]


def command_lines(processes: list[int]) -> bytes:
    """What `ps` shows of the processes' groups to everybody."""
    shown = b""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(entry.name)) in processes:
                shown += (entry / "cmdline").read_bytes() + (entry / "comm").read_bytes()
        except (ProcessLookupError, FileNotFoundError):
            continue
    return shown


class Prometheus(BaseHTTPRequestHandler):
    """Answers nothing useful, but only to who has the credentials."""

    asked: set[str]

    def do_GET(self) -> None:
        type(self).asked.add(self.headers.get("Authorization", ""))
        body = b'{"status": "error", "errorType": "execution", "error": "not today"}'
        self.send_response(422)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def prometheus() -> Iterator[tuple[str, set[str]]]:
    handler = type("Asked", (Prometheus,), {"asked": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
        server.shutdown()
        thread.join()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_no_secret_is_in_any_output_answer_file_help_or_list_of_processes(
    start, http, free_ports, prometheus, tmp_path: Path
) -> None:
    admin, first, metrics, board, board2, board3 = free_ports(6)
    folder = tmp_path / "files"
    folder.mkdir()
    edge = start(
        "-m", "flash.edge", "--region", "us-east", "--admin-port", str(admin), "--first-port",
        str(first), "--boot-delay", "0", "--no-rtt", **SECRETS,
    )  # fmt: skip
    http.until(
        lambda: http.get(f"http://127.0.0.1:{admin}/healthz").status == 200,
        within_s=20,
        what="the edge answers",
    )
    at = f"http://127.0.0.1:{admin}"
    dashboard = start(
        "-m", "dashboard", "--port", str(board), "--store", str(folder / "s.sqlite"),
        "--flash-edge", at, "--scrape", f"http://127.0.0.1:{metrics}/metrics", **SECRETS,
    )  # fmt: skip
    url, asked = prometheus
    over = [
        start(
            "-m",
            "dashboard",
            "--port",
            str(port),
            "--store",
            str(folder / f"{port}.sqlite"),
            "--prometheus",
            url,
            "--scrape",
            f"http://127.0.0.1:{metrics}/metrics",
            **SECRETS,
            **credentials,
        )
        for port, credentials in (
            (board2, {"DASHBOARD_PROMETHEUS_TOKEN": BEARER}),
            (
                board3,
                {"DASHBOARD_PROMETHEUS_USER": USER, "DASHBOARD_PROMETHEUS_PASSWORD": PASSWORD},
            ),
        )
    ]
    bearer = {"Authorization": f"Bearer {DASHBOARD}"}
    for port in (board, board2, board3):
        http.until(
            lambda port=port: http.get(f"http://127.0.0.1:{port}/healthz").status == 200,
            within_s=20,
            what="the dashboard answers",
        )
    load = start(
        "-m", "locust", "-f", "loadgen", "--headless", "--flash-edge", at, "--users", "4",
        "--spawn-rate", "4", "--run-time", "6s", "--metrics-port", str(metrics),
        "--summary-json", str(folder / "summary.json"), "--csv", str(folder / "run"),
        "--html", str(folder / "locust.html"), "--logfile", str(folder / "locust.log"),
        "--loglevel", "DEBUG", **SECRETS,
    )  # fmt: skip
    http.until(
        lambda: http.total(f"http://127.0.0.1:{metrics}/metrics", "loadgen_requests_total",
                           outcome="ok") > 20,
        within_s=30,
        what="requests are answered, so the proxy token was sent",
    )  # fmt: skip
    processes = [running.process.pid for running in (edge, dashboard, load, *over)]
    seen: dict[str, bytes] = {"process list": command_lines(processes)}
    assert b"flash.edge" in seen["process list"]
    for base, paths in (
        (at, ("/flash_urls", "/containers", "/config", "/events", "/metrics")),
        (f"http://127.0.0.1:{metrics}", ("/metrics",)),
        *(
            (
                f"http://127.0.0.1:{port}",
                ("/", "/api/targets", "/api/runs", "/api/events", "/api/summary", "/metrics",
                 "/sd/targets", "/openapi.json", "/api/panels/throughput/data", "/api/labels"),
            )
            for port in (board, board2, board3)
        ),
    ):  # fmt: skip
        for path in paths:
            answer = http.get(base + path, headers=bearer)
            seen[base + path] = answer.body + str(answer.headers).encode()
    # What is refused does not tell what would have been right.
    for headers in ({}, {"Authorization": "Bearer nearly"}):
        refused = http.get(f"http://127.0.0.1:{board}/api/runs", headers=headers)
        assert refused.status == 401
        seen[f"refused {headers}"] = refused.body + str(refused.headers).encode()
    assert load.wait(within_s=60) == 0, load.output()
    assert asked == {f"Bearer {BEARER}", f"Basic {BASIC}"}
    # A run's files, and each command's help and complaints.
    for number, arguments in enumerate(
        (
            ("report", "-o", str(folder / "report.html")),
            ("export", "-o", str(folder / "run.csv")),
            ("check", "--slo", "p99 < 60s", "--json", str(folder / "check.json")),
        )
    ):
        done = start("-m", "dashboard", *arguments, "--store", str(folder / "s.sqlite"), **SECRETS)
        assert done.wait(within_s=60) in (0, 1), done.output()
        seen[f"command {number}"] = done.output().encode()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments in (
            ("-m", "dashboard", "--help"),
            ("-m", "dashboard", "--port", port),
            ("-m", "flash.edge", "--help"),
            ("-m", "flash.edge", "--admin-port", port),
            ("-m", "loadgen", "--help"),
            ("-m", "loadgen", "--headless", "--users", "-3"),
        ):
            told = start(*arguments, **SECRETS)
            told.wait(within_s=60)
            seen[" ".join(arguments)] = told.output().encode()
    for running in (dashboard, edge, *over):
        running.process.send_signal(signal.SIGTERM)
        assert running.wait(within_s=30) == 0
    for file in tmp_path.rglob("*"):
        if file.is_file():
            seen[str(file)] = file.read_bytes()
    assert {"s.sqlite", "report.html", "summary.json", "locust.log"} <= {
        Path(name).name for name in seen
    }
    assert {name: found for name, text in seen.items() if (found := leaks(text))} == {}
