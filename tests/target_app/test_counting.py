"""Each request is counted once, when its response has ended, however it ends."""

import asyncio
import logging
from collections.abc import Callable

import httpx
import pytest


def scope(method: str, path: str, query: bytes = b"") -> dict[str, object]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [(b"modal-session-id", b"s-1")],
    }


class Client:
    """The other end of one request: closes its connection when told to."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []
        self.gone = asyncio.Event()
        self.first_piece = asyncio.Event()
        self._asked = False

    async def receive(self) -> dict[str, object]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, object]) -> None:
        self.sent.append(message)
        if message["type"] == "http.response.body":
            self.first_piece.set()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 # a counter tells nobody of its change
        await asyncio.sleep(0)


def counted(server, route: str, code: str) -> float | None:
    return server.value("target_requests_total", route=route, code=code)


def test_requests_are_counted_by_route_and_code(server) -> None:
    asked = [
        ("GET", "/", "/", "200"),
        ("POST", "/", "/", "200"),
        ("GET", "/work?bytes=3", "/work", "200"),
        ("GET", "/work?bytes=x", "/work", "422"),
        ("POST", "/generate?tokens=1&prompt_tokens=0", "/generate", "200"),
        ("GET", "/generate", "/generate", "405"),
        ("GET", "/secret/1", "other", "404"),
        ("GET", "/secret/2", "other", "404"),
    ]
    for method, path, _, _ in asked:
        server.ask(method, path)
    for route, code in {(route, code) for *_, route, code in asked}:
        expected = sum((route, code) == (r, c) for *_, r, c in asked)
        assert counted(server, route, code) == expected
    for route in {route for _, _, route, _ in asked}:
        name = "target_request_duration_seconds_count"
        assert server.value(name, route=route) == sum(route == r for _, _, r, _ in asked)
    assert server.value("target_requests_in_flight") == 0


def test_a_scrape_counts_itself_only_once_it_has_ended(server) -> None:
    assert 'route="/metrics"' not in server.ask("GET", "/metrics").text
    text = server.ask("GET", "/metrics").text
    line = 'target_requests_total{code="200",container="ta-test1",route="/metrics"} 1.0'
    assert line in text
    assert 'target_requests_in_flight{container="ta-test1"} 0.0' in text


def test_requests_in_flight_are_seen_while_they_are_and_not_counted_yet(server) -> None:
    async def script(client: httpx.AsyncClient) -> None:
        pending = [asyncio.create_task(client.get("/work?sleep_ms=60000")) for _ in range(3)]
        await until(lambda: server.value("target_requests_in_flight") == 3)
        assert counted(server, "/work", "200") == 0
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    server.asked(script)
    assert server.value("target_requests_in_flight") == 0


def test_a_client_that_leaves_before_the_answer_is_counted_once_as_499(server) -> None:
    async def run() -> list[dict[str, object]]:
        client = Client()
        task = asyncio.create_task(
            server.app(scope("GET", "/work", b"sleep_ms=60000"), client.receive, client.send)
        )
        await until(lambda: server.value("target_requests_in_flight") == 1)
        client.gone.set()
        await asyncio.wait_for(task, 5)
        return client.sent

    assert asyncio.run(run()) == []
    assert counted(server, "/work", "499") == 1
    assert counted(server, "/work", "200") == 0
    assert server.value("target_requests_in_flight") == 0


def test_a_client_that_leaves_a_stream_ends_it_and_is_counted_once(server) -> None:
    async def run() -> Client:
        client = Client()
        query = b"tokens=10000&tokens_per_s=0.1&prompt_tokens=0"
        task = asyncio.create_task(
            server.app(scope("POST", "/generate", query), client.receive, client.send)
        )
        await client.first_piece.wait()
        assert server.value("target_requests_in_flight") == 1
        client.gone.set()
        await asyncio.wait_for(task, 5)
        return client

    client = asyncio.run(run())
    assert client.sent[-1]["more_body"] is True
    assert counted(server, "/generate", "200") == 1
    assert server.value("target_requests_in_flight") == 0


def test_a_client_that_leaves_during_the_prefill_leaves_no_prefix_behind(server) -> None:
    async def run() -> None:
        client = Client()
        query = b"prompt_tokens=1000000&prefill_tokens_per_s=1"
        task = asyncio.create_task(
            server.app(scope("POST", "/generate", query), client.receive, client.send)
        )
        await until(lambda: server.value("target_session_cache_total", result="miss") == 1)
        client.gone.set()
        await asyncio.wait_for(task, 5)

    asyncio.run(run())
    assert counted(server, "/generate", "499") == 1
    assert server.app.cache.cached_tokens("s-1") is None


def test_work_on_the_cpu_stops_when_its_client_leaves(server) -> None:
    async def run() -> None:
        client = Client()
        client.gone.set()
        await asyncio.wait_for(
            server.app(scope("GET", "/work", b"cpu_ms=10000"), client.receive, client.send), 5
        )

    asyncio.run(run())
    assert counted(server, "/work", "499") == 1


def test_a_defect_costs_one_answer_and_is_logged(server, caplog, monkeypatch) -> None:
    def broken(accept: str) -> tuple[bytes, str]:
        raise RuntimeError("no exposition today")

    # The one way to have a defect where none is known.
    monkeypatch.setattr(server.app.metrics, "exposition", broken)
    with caplog.at_level(logging.ERROR, logger="target_app"):
        response = server.ask("GET", "/metrics")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal"
    assert response.headers["x-container-id"] == "ta-test1"
    assert "no exposition today" in caplog.text
    assert counted(server, "/metrics", "500") == 1
    assert server.ask("GET", "/healthz").status_code == 200


def test_other_protocols_are_refused(server) -> None:
    client = {"type": "websocket", "path": "/"}
    with pytest.raises(NotImplementedError, match="no websocket here"):
        asyncio.run(server.app(client, None, None))
