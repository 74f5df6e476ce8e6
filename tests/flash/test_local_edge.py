"""The local edge's admin interface as read by everybody else."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from flash.local_edge import LocalEdgePlatform
from flash.platform import Container, ContainerState, PlatformUnreachableError

Serve = Callable[[dict[str, bytes]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[tuple[HTTPServer, Thread]] = []

    def start(answers: dict[str, bytes]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = answers.get(self.path)
                self.send_response(404 if body is None else 200)
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args: object) -> None:
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


def test_urls_and_containers_are_read(serve: Serve) -> None:
    container = {
        "task_id": "ta-1",
        "region": "us-east",
        "host": "127.0.0.1",
        "port": 4711,
        "state": "live",
        "in_flight": 3,
        "started_at": 1.5,
        "ready_at": None,
    }
    edge = LocalEdgePlatform(
        serve(
            {
                "/flash_urls": b'{"us-east": "http://127.0.0.1:7401/"}',
                "/containers": json.dumps([container]).encode(),
            }
        )
    )
    assert edge.healthy()
    assert edge.flash_urls() == {"us-east": "http://127.0.0.1:7401"}
    assert edge.containers() == [
        Container(
            task_id="ta-1",
            url="http://127.0.0.1:4711",
            state=ContainerState.LIVE,
            region="us-east",
            in_flight=3,
            started_at=1.5,
            ready_at=None,
        )
    ]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"us-east": 1}'])
def test_another_service_at_the_address_is_not_taken_for_an_edge(serve: Serve, body) -> None:
    edge = LocalEdgePlatform(serve({"/flash_urls": body}))
    assert not edge.healthy()
    with pytest.raises(PlatformUnreachableError, match="is a local edge listening there"):
        edge.flash_urls()


@pytest.mark.parametrize("body", [b"{}", b"[1]", b'[{"task_id": "x"}]'])
def test_containers_of_another_shape_are_an_error(serve: Serve, body: bytes) -> None:
    edge = LocalEdgePlatform(serve({"/containers": body}))
    with pytest.raises(PlatformUnreachableError, match="/containers did not answer"):
        edge.containers()


def test_nobody_at_the_address_is_an_error_that_says_how_to_start_one(serve: Serve) -> None:
    edge = LocalEdgePlatform(serve({}))
    with pytest.raises(PlatformUnreachableError, match=r"python -m flash\.edge"):
        edge.flash_urls()
