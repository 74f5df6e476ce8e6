"""Connections that say nothing: their number and their time are bounded."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvicorn

from dashboard import http_connection
from dashboard.http_connection import HttpConnection

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"


async def hello(scope: object, receive: object, send: Callable[..., Awaitable[None]]) -> None:
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hi"})


def served(ask: Callable[[int], Awaitable[None]], limit: int) -> None:
    """Ask a server that has room for ``limit`` connections."""

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            config = uvicorn.Config(
                hello,
                http=HttpConnection,
                limit_concurrency=limit,
                lifespan="off",
                log_level="critical",
                timeout_graceful_shutdown=1,
            )
            server = uvicorn.Server(config)
            server.capture_signals = contextless  # type: ignore[method-assign]  # none in a test
            task = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
                await asyncio.sleep(0.01)
            await ask(listener.getsockname()[1])
            server.should_exit = True
            await task

    asyncio.run(run())


def contextless() -> object:
    from contextlib import nullcontext

    return nullcontext()


async def end_of(reader: asyncio.StreamReader) -> bytes:
    """What is left to read until the connection is closed, however it is."""
    try:
        return await asyncio.wait_for(reader.read(), 5)
    except ConnectionError:
        return b""


def test_there_are_no_more_of_them_than_there_is_room_for() -> None:
    async def ask(port: int) -> None:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        # As many as there may be: one more is closed at once, and another after it.
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            assert await end_of(reader) == b""
            writer.close()
        kept[0][1].close()
        await kept[0][1].wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD + b"Connection: close\r\n\r\n")
        assert (await end_of(reader)).startswith(b"HTTP/1.1 503 ")
        for _, other in (*kept, (reader, writer)):
            other.close()

    served(ask, limit=4)


@pytest.mark.parametrize(
    "said", [b"", b"GET / HT", HEAD, HEAD + b"\r\n" + HEAD, (HEAD + b"\r\n") * 2 + HEAD]
)
def test_a_head_that_does_not_come_is_not_awaited_for_long(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "HEAD_WITHIN_S", 0.3)

    async def ask(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        answers = await end_of(reader)
        assert answers.count(b"HTTP/1.1 200 OK") == said.count(HEAD + b"\r\n")
        writer.close()

    served(ask, limit=100)


def test_who_is_quick_may_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "HEAD_WITHIN_S", 0.3)

    async def ask(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(4):
            writer.write(HEAD + b"\r\n")
            await reader.readuntil(b"hi")
            await asyncio.sleep(0.15)
        writer.close()

    served(ask, limit=100)
