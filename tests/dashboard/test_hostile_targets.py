"""Targets that misbehave on the wire: each is refused for what it does, and holds nobody up."""

from __future__ import annotations

import asyncio
import gzip
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from dashboard.collector import Collector
from dashboard.config import Config
from dashboard.errors import ScrapeError
from dashboard.own_metrics import OwnMetrics
from dashboard.scraper import HttpFetch
from dashboard.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import FakeTarget

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
PAGE = b"loadgen_users 1\n"
BOMB = gzip.compress(b"# " + b"x" * (200 << 20), 9)


@asynccontextmanager
async def target(behaviour: Behaviour) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A target that does what a test says once it was asked, and the requests it got."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked.append(await reader.readuntil(b"\r\n\r\n"))
                await behaviour(writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}/metrics", asked
    server.close()
    server.close_clients() if hasattr(server, "close_clients") else None
    await asyncio.sleep(0)


async def sent(writer: asyncio.StreamWriter, *parts: bytes) -> None:
    writer.writelines(parts)
    await writer.drain()


async def without_end(writer: asyncio.StreamWriter) -> None:
    await sent(writer, OK, b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        await sent(writer, b"10000\r\n", b"x" * 0x10000, b"\r\n")


async def in_drops(writer: asyncio.StreamWriter) -> None:
    await sent(writer, OK, b"Content-Length: 1000000\r\n\r\n")
    while True:
        await sent(writer, b"#")
        await asyncio.sleep(0.05)


async def headers_without_end(writer: asyncio.StreamWriter) -> None:
    await sent(writer, OK)
    while True:
        await sent(writer, b"x-more: " + b"y" * 1000 + b"\r\n")


async def bomb(writer: asyncio.StreamWriter) -> None:
    length = f"Content-Length: {len(BOMB)}\r\n\r\n".encode()
    await sent(writer, OK, b"Content-Encoding: gzip\r\n", length, BOMB)


async def cut_off(writer: asyncio.StreamWriter) -> None:
    await sent(writer, OK, b"Content-Length: 1000\r\n\r\n", PAGE)
    writer.close()


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def no_http(writer: asyncio.StreamWriter) -> None:
    await sent(writer, b"\x16\x03\x01 what is this\r\n\r\n")
    writer.close()


async def elsewhere(writer: asyncio.StreamWriter) -> None:
    to = b"Location: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n"
    await sent(writer, b"HTTP/1.1 302 Found\r\n", to)


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (without_end, "more than 32 MiB; this is no metrics page"),
        (in_drops, "no full answer within 0.5 s"),
        (headers_without_end, "(RemoteProtocolError|no full answer within 0.5 s)"),
        (bomb, "expected an answer as it is, got one in 'gzip'"),
        (cut_off, "RemoteProtocolError"),
        (silent, "no full answer within 0.5 s"),
        (no_http, "RemoteProtocolError"),
        (elsewhere, "expected status 200, got 302"),
    ],
)
def test_it_is_refused_for_what_it_does_in_time_and_in_little_memory(
    behaviour: Behaviour, why: str
) -> None:
    async def run() -> float:
        fetch = HttpFetch(timeout_s=5.0 if behaviour is without_end else 0.5)
        async with target(behaviour) as (url, _):
            began = time.monotonic()
            with pytest.raises(ScrapeError, match=why):
                await fetch(url)
            took = time.monotonic() - began
            await fetch.close()
        return took

    tracemalloc.start()
    took = asyncio.run(run())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 6
    # Up to the limit, which is joined once.
    assert peak < (80 << 20 if behaviour is without_end else 8 << 20)


def test_a_target_sets_no_cookies_and_learns_nothing_but_that_it_is_scraped() -> None:
    async def with_cookies(writer: asyncio.StreamWriter) -> None:
        cookies = b"".join(b"Set-Cookie: c%d=%s\r\n" % (n, b"v" * 100) for n in range(20))
        length = f"Content-Length: {len(PAGE)}\r\n\r\n".encode()
        await sent(writer, OK, cookies, length, PAGE)

    async def run() -> list[bytes]:
        fetch = HttpFetch(timeout_s=2.0)
        async with target(with_cookies) as (url, asked):
            for _ in range(3):
                assert await fetch(url) == PAGE
            await fetch.close()
            return asked

    first, *others = asyncio.run(run())
    assert others == [first, first]
    names = {line.partition(b":")[0].lower() for line in first.split(b"\r\n")[1:] if line}
    assert names == {b"host", b"accept", b"accept-encoding", b"connection", b"user-agent"}


def test_a_huge_page_of_new_names_each_second_does_not_hold_up_the_others(
    tmp_path: Path, fake_target: FakeTarget
) -> None:
    fake_target.metrics.gauge("loadgen_users", 1)
    turn = 0

    async def huge(writer: asyncio.StreamWriter) -> None:
        nonlocal turn
        turn += 1
        lines = (f'loadgen_x_total{{n="{turn}-{n}",m="{n}"}} 1\n' for n in range(100_000))
        body = "".join(lines).encode()
        await sent(writer, OK, f"Content-Length: {len(body)}\r\n\r\n".encode(), body)

    async def run() -> tuple[list[float], int, float]:
        async with target(huge) as (url, _):
            path = tmp_path / "s.sqlite"
            config = Config(store=path, scrape=(fake_target.url, url), scrape_given=True)
            store = Store(path)
            collector = Collector(config, store, metrics=OwnMetrics())
            task = asyncio.create_task(collector.run())
            stalls: list[float] = []
            seconds: set[float] = set()
            began = time.monotonic()
            while time.monotonic() - began < 5:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                stalls.append(time.monotonic() - before - 0.01)
                seconds.add(collector.status()[0].scraped_at or 0.0)
            good, bad = collector.status()
            assert good.error is None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            store.close()
            return stalls, len(seconds - {0.0}), float(bad.dropped_series)

    stalls, scrapes, dropped = asyncio.run(run())
    assert dropped == 95_000 or dropped == 100_000
    assert scrapes >= 3
    assert max(stalls) < 1.0
