from collections.abc import Iterator

import pytest
from gevent import socket

from loadgen.metrics_server import MetricsServer


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    made = MetricsServer("127.0.0.1", 0, lambda content_type: b"loadgen_workers 1\n")
    yield made
    made.close()


def status_of(server: MetricsServer, request: str) -> str:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(f"{request} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := connection.recv(4096):
            answer += part
    return answer.split(b" ", 2)[1].decode()


def test_who_scrapes_gets_one_more_look_at_the_end(server):
    slept: list[float] = []
    assert status_of(server, "GET /metrics") == "200"
    server.await_last_look(slept.append)
    (seconds,) = slept
    assert seconds > 1.0, "somebody who looks once a second would be too late"


@pytest.mark.parametrize(("request_", "status"), [("GET /", "404"), ("POST /metrics", "405")])
def test_nobody_is_waited_for_who_does_not_scrape(server, request_, status):
    slept: list[float] = []
    server.await_last_look(slept.append)
    assert status_of(server, request_) == status
    server.await_last_look(slept.append)
    assert slept == []
