"""Sticky users and their sessions, as a server sees them, with real Locust processes."""

import re
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

MODAL = '''
"""Plays the installed client for a server whose sessions are numbered, and keeps a log of them."""

import os
from types import SimpleNamespace

exception = SimpleNamespace(Error=type("Error", (Exception,), {}))
_numbers = iter(range(1, 1000))


def _log(what):
    with open(os.environ["PLAYED_LOG"], "a") as log:
        print(what, file=log)


async def _start(idle_timeout=600):
    number = next(_numbers)
    if os.environ.get("PLAYED_REFUSAL"):
        raise exception.Error(os.environ["PLAYED_REFUSAL"])
    _log(f"started secret-{number}")
    return SimpleNamespace(session_id=f"session-{number}", token=f"secret-{number}")


async def _terminate(token):
    _log(f"ended {token}")


class Server:
    @staticmethod
    def from_name(app, name):
        assert (app, name) == ("app", "Played")
        return Server()

    def get_url(self):
        return os.environ["PLAYED_URL"]

    sessions = SimpleNamespace(
        start=SimpleNamespace(aio=_start), terminate=SimpleNamespace(aio=_terminate)
    )
'''


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sent: list[tuple[str | None, str | None]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers = self.headers
        self.server.sent.append((headers["Modal-Session-ID"], headers["Modal-Authorization"]))
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


@pytest.fixture
def played(server, tmp_path) -> dict[str, str]:
    """The environment in which the client for Modal is played."""
    (tmp_path / "modal").mkdir()
    (tmp_path / "modal" / "__init__.py").write_text(MODAL)
    log = tmp_path / "sessions.txt"
    log.touch()
    return {"PYTHONPATH": str(tmp_path), "PLAYED_URL": server.url, "PLAYED_LOG": str(log)}


LOAD = (
    *("-m", "locust", "-f", "loadgen", "--headless", "--users", "3", "--spawn-rate", "3"),
    *("--run-time", "2s", "--stop-timeout", "10", "--think-time", "0.05"),
)


def test_sessions_make_as_many_requests_as_they_may(start, free_ports, server) -> None:
    (metrics,) = free_ports(1)
    locust = start(
        *(*LOAD, "--metrics-port", str(metrics), "--flash-url", f"us-east={server.url}"),
        *("--session-requests", "4", "StickyUser"),
    )
    assert locust.wait(within_s=30) == 0, locust.output()
    made = Counter(session for session, _ in server.sent)
    assert len(server.sent) > 30
    assert None not in made
    # All but each user's last session are full.
    assert sorted(made.values())[3:] == [4] * (len(made) - 3)


@pytest.mark.parametrize("processes", [None, 2])
def test_sessions_that_modal_starts_are_sent_renewed_and_ended(
    start, free_ports, server, played, processes
) -> None:
    metrics, master = free_ports(2)
    several = ("--master-bind-port", str(master), "--master-port", str(master))
    locust = start(
        *(*LOAD, "--metrics-port", str(metrics), "--modal-server", "app/Played"),
        *("--modal-sessions", "--session-requests", "5", "StickyUser"),
        *(("--processes", str(processes), *several) if processes else ()),
        **played,
    )
    assert locust.wait(within_s=40) == 0, locust.output()
    assert "secret" not in locust.output()
    log = Path(played["PLAYED_LOG"]).read_text().split("\n")
    started = Counter(line.removeprefix("started ") for line in log if line.startswith("started"))
    ended = Counter(line.removeprefix("ended ") for line in log if line.startswith("ended"))
    assert started == ended
    assert len(server.sent) > 20
    assert {session for session, _ in server.sent} == {None}
    made = Counter(sent for _, sent in server.sent)
    assert set(made) == {f"Bearer {token}" for token in started}
    assert max(made.values()) == 5 * (processes or 1)  # the numbers are each process's own


def test_a_server_without_sessions_is_a_failure_that_says_so(
    start, free_ports, server, played
) -> None:
    (metrics,) = free_ports(1)
    locust = start(
        *(*LOAD, "--metrics-port", str(metrics), "--modal-server", "app/Played"),
        *("--modal-sessions", "StickyUser"),
        **played,
        PLAYED_REFUSAL="`sessions` requires `@modal.sessioned()` on the Server.",
    )
    assert locust.wait(within_s=30) == 1, locust.output()
    text = locust.output()
    assert re.search(r"no session of server Played of Modal app app: .*requires `@modal", text)
    assert "Traceback" not in text
    assert server.sent == []


def test_sessions_of_modal_need_a_server_of_modal(start, free_ports, server) -> None:
    (metrics,) = free_ports(1)
    locust = start(
        *(*LOAD, "--metrics-port", str(metrics), "--host", server.url, "--modal-sessions")
    )
    assert locust.wait(within_s=30) == 2
    (told,) = (line for line in locust.output().splitlines() if "--modal-sessions" in line)
    assert "--modal-server" in told
    assert "Traceback" not in locust.output()
