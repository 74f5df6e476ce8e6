import json
from collections.abc import Iterator

import pytest
from gevent import socket

from loadgen.metrics_server import MetricsServer
from loadgen.refused_sessions import RefusedSession

REFUSED = [
    RefusedSession(n, 100.0, "us-east", f"session-{n}", None, 6, 5, 2.5, 80, 0, True)
    for n in (1, 2)
]


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    made = MetricsServer(
        *("127.0.0.1", 0, lambda content_type: b"loadgen_workers 1\n", lambda n: REFUSED[n:])
    )
    yield made
    made.close()


def answer_to(server: MetricsServer, request: str) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"{request} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(4096):
            answer += part
    return answer


def status_of(server: MetricsServer, request: str) -> str:
    return answer_to(server, request).split(b" ", 2)[1].decode()


def test_who_scrapes_gets_one_more_look_at_the_end(server):
    slept: list[float] = []
    assert status_of(server, "GET /metrics") == "200"
    server.await_last_look(slept.append)
    (seconds,) = slept
    assert seconds > 1.0, "somebody who looks once a second would be too late"


@pytest.mark.parametrize(("since", "sessions"), [("", [1, 2]), ("?since=1", [2])])
def test_refused_sessions_are_told_after_a_number(server, since, sessions):
    body = answer_to(server, f"GET /refused_sessions{since}").partition(b"\r\n\r\n")[2]
    told = json.loads(body)
    assert [one["session"] for one in told] == [f"session-{n}" for n in sessions]
    assert told[-1] == REFUSED[1]._asdict()


@pytest.mark.parametrize("since", ["-1", "one", "1" * 13])
def test_a_number_that_is_none_is_refused(server, since):
    answer = answer_to(server, f"GET /refused_sessions?since={since}")
    assert answer.split(b" ", 2)[1] == b"422"
    assert b'"where": "since"' in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [("GET /", "404"), ("POST /metrics", "405"), ("GET /refused_sessions", "200")],
)
def test_nobody_is_waited_for_who_does_not_scrape(server, request_, status):
    slept: list[float] = []
    server.await_last_look(slept.append)
    assert status_of(server, request_) == status
    server.await_last_look(slept.append)
    assert slept == []
