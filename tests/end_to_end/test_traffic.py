"""Traffic told by options and by files, as a server receives it from real Locust processes."""

import json
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.end_to_end

EVENTS = 5


class Received(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server(ThreadingHTTPServer):
    """Keeps what it receives; below ``/stream`` it answers with server-sent events."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[Received] = []
        self.streamed = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append(Received(self.command, self.path, headers, body))
        self.send_response(200)
        if self.path.startswith("/stream"):
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for number in range(EVENTS):
                event = b"data: %d\n\n" % number
                self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
            self.wfile.write(b"0\r\n\r\n")
            self.server.streamed += 1
            return
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(serving) -> Iterator[Server]:
    with serving(Server()) as running:
        yield running


@pytest.fixture
def headless(start, free_ports, server):
    """Run Locust without its page against the server, to its end."""

    def run(*arguments: str, status: int = 0, seconds: int = 2, **environ: str) -> str:
        metrics, master = free_ports(2)
        locust = start(
            *("-m", "locust", "-f", "loadgen", "--headless", "--metrics-port", str(metrics)),
            *("--master-port", str(master), "--master-bind-port", str(master)),
            *("--flash-url", f"us-east={server.url}", "--think-time", "0.02"),
            *("--run-time", f"{seconds}s", "--stop-timeout", "10", *arguments),
            **environ,
        )
        assert locust.wait(within_s=60) == status, locust.output()
        assert "Traceback" not in locust.output()
        return locust.output()

    return run


def counted(output: str, method: str, name: str) -> int:
    """The requests of a name in the last table that Locust printed."""
    rows = [line.split() for line in output.splitlines() if "(0.00%)" in line]
    return [int(row[2]) for row in rows if row[:2] == [method, name]][-1]


def written(folder: Path, *requests: dict) -> str:
    file = folder / "requests.jsonl"
    file.write_text("".join(json.dumps(request) + "\n" for request in requests))
    return str(file)


def test_method_path_body_and_headers_are_sent_by_both_kinds_of_users(
    headless, server, tmp_path
) -> None:
    body = tmp_path / "prompt.json"
    body.write_bytes(b'{"prompt": "\xc3\xa9"}\n')
    output = headless(
        *("--users", "2", "--spawn-rate", "2", "--path", "/v1/chat?debug=1"),
        *("--body-file", str(body), "--header", "X-Tenant: a, b:c"),
        # And those of the environment are left aside, as there are others on the command line.
        LOADGEN_HEADERS="X-Other: 1",
    )
    assert len(server.received) > 20
    for method, path, headers, content in server.received:
        assert (method, path, content) == ("POST", "/v1/chat?debug=1", body.read_bytes())
        assert headers["content-type"] == "application/json"
        assert headers["x-tenant"] == "a, b:c"
        assert "x-other" not in headers
    with_session = ["modal-session-id" in one.headers for one in server.received]
    assert set(with_session) == {True, False}
    assert counted(output, "POST", "/v1/chat?debug=1") == len(server.received)


def test_a_file_is_sent_in_order_with_its_bodies_and_streams(headless, server, tmp_path) -> None:
    (tmp_path / "raw").write_bytes(b"\0\1")
    requests = (
        {"path": "/items/1?x=2"},
        {"path": "/items/2", "name": "item", "method": "delete", "headers": {"X-Secret": "own"}},
        {"path": "/stream", "json": {"tokens": 5}, "stream": True},
        {"path": "/raw", "body_file": "raw", "method": "PUT"},
        {"path": "/text", "body": "é"},
    )
    output = headless(
        *("--users", "1", "--request-file", written(tmp_path, *requests), "StickyUser"),
        LOADGEN_HEADERS="X-Secret: s3cret\nContent-Type: text/x-own",
    )
    received = server.received
    assert len(received) > 20
    expected = [
        ("GET", "/items/1?x=2", b"", "s3cret"),
        ("DELETE", "/items/2", b"", "own"),
        ("POST", "/stream", b'{"tokens":5}', "s3cret"),
        ("PUT", "/raw", b"\0\1", "s3cret"),
        ("POST", "/text", "é".encode(), "s3cret"),
    ]
    for number, one in enumerate(received):
        sent = (one.method, one.path, one.body, one.headers["x-secret"])
        assert sent == expected[number % len(expected)]
    assert len({one.headers["modal-session-id"] for one in received}) == 1
    assert received[2].headers["content-type"] == "text/x-own"
    assert "s3cret" not in output
    times = Counter(one.path for one in received)
    assert server.streamed == times["/stream"]
    for method, name, path in (
        ("GET", "/items/1", "/items/1?x=2"),
        ("DELETE", "item", "/items/2"),
        ("POST", "/stream", "/stream"),
        ("PUT", "/raw", "/raw"),
        ("POST", "/text", "/text"),
    ):
        assert counted(output, method, name) == times[path]


def test_workers_share_a_file_each_from_its_own_place(headless, server, tmp_path) -> None:
    file = written(tmp_path, *({"path": f"/{number}"} for number in range(1000)))
    headless(
        *("--users", "2", "--spawn-rate", "2", "--processes", "2"),
        *("--request-file", file, "StickyUser"),
        seconds=3,
    )
    by_session: dict[str, list[int]] = {}
    for one in server.received:
        by_session.setdefault(one.headers["modal-session-id"], []).append(int(one.path[1:]))
    taken = sorted(by_session.values())
    assert [numbers[0] for numbers in taken] == [0, 500]
    for numbers in taken:
        assert len(numbers) > 10
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_file_is_sent_at_a_given_rate_and_at_random(headless, server, tmp_path) -> None:
    file = written(tmp_path, *({"path": f"/{number}", "name": "any"} for number in range(5)))
    output = headless(
        *("--users", "10", "--spawn-rate", "10", "--arrival-rate", "0:200,1:200,1:0"),
        *("--request-file", file, "--request-order", "random"),
        seconds=4,
    )
    assert len(server.received) == 200
    assert counted(output, "GET", "any") == 200
    times = Counter(one.path for one in server.received)
    # Binomial with a deviation of 6 from the mean of 40.
    assert len(times) == 5
    assert all(5 < count < 85 for count in times.values())


@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
def test_bad_lines_are_told_before_anything_is_sent(headless, server, tmp_path, processes) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"path": "/"}\n{"path": "/", "headers": {"a": "s3cret\\u0000"}}\nnone\n')
    output = headless("--users", "1", "--request-file", str(file), *processes, status=2)
    assert f"loadgen: {file}, line 2: the value of the header 'a' must be" in output
    assert f"{file}, line 3: not JSON" in output
    assert "s3cret" not in output
    assert server.received == []


def test_a_worker_without_its_master_s_file_ends_and_sends_nothing_else(
    start, free_ports, server, tmp_path, http
) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"path": "/"}\n')
    metrics, master = free_ports(2)
    common = ("-m", "locust", "-f", "loadgen", "--flash-url", f"us-east={server.url}")
    leader = start(
        *(*common, "--headless", "--master", "--master-bind-port", str(master)),
        *("--expect-workers", "1", "--users", "1", "--metrics-port", str(metrics)),
        *("--request-file", str(file)),
    )
    page = f"http://127.0.0.1:{metrics}/metrics"
    http.until(lambda: http.get(page).status == 200, within_s=30, what="the master's metrics")
    file.unlink()
    worker = start(*common, "--worker", "--master-port", str(master))
    assert worker.wait(within_s=30) == 2, worker.output()
    assert f"loadgen: there is no file {file}" in worker.output()
    assert server.received == []
    leader.end()
