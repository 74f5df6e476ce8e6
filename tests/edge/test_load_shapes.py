"""Shapes of load that hold many things open: the real edge, measured from outside."""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from urllib.request import ProxyHandler, build_opener

import psutil
import pytest

pytestmark = pytest.mark.end_to_end

OPENER = build_opener(ProxyHandler({}))
CONNECTIONS = 10_000
SPARE = 500
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def many_files() -> Iterator[None]:
    """As many open files as the test needs, where the system lets it have them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in (resource.RLIM_INFINITY, -1) and hard < CONNECTIONS + SPARE:
        pytest.skip(f"{CONNECTIONS} connections need more than the {hard} files allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, CONNECTIONS + SPARE), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def edge() -> Iterator[tuple[subprocess.Popen[str], str, int]]:
    """An edge at zero that stays there for a minute; its process, admin URL and region's port."""
    command = [
        *(sys.executable, "-m", "flash.edge", "--region", "us-east", "--admin-port", "0"),
        *("--first-port", "0", "--no-rtt", "--boot-delay", "60", "--exit-grace-period", "0"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().replace(",", "").split()
            yield process, words[2], int(words[4].rpartition(":")[2])
        finally:
            process.terminate()
            assert process.wait(20) == 0


def test_ten_thousand_users_of_a_region_at_zero_are_all_refused_at_once(many_files, edge) -> None:
    process, admin, port = edge
    watched = psutil.Process(process.pid)
    before = watched.memory_info().rss
    files = watched.num_fds()

    async def stampede() -> tuple[Counter[bytes], float, int]:
        turns = asyncio.Semaphore(200)

        async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            async with turns:
                return await asyncio.open_connection("127.0.0.1", port)

        connections = await asyncio.gather(*(connect() for _ in range(CONNECTIONS)))
        for _, writer in connections:
            writer.write(HEAD[:-9])
        while watched.num_fds() < CONNECTIONS:  # noqa: ASYNC110 - another process opens them
            await asyncio.sleep(0.01)
        # While ten thousand heads are half there, another client is served.
        reader, writer = await connect()
        began = time.perf_counter()
        writer.write(HEAD)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
        took_s = time.perf_counter() - began
        writer.close()
        memory = watched.memory_info().rss

        async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
            writer.write(HEAD[-9:])
            answer = await reader.readuntil(b"\r\n\r\n")
            return answer.split(b" ")[1]

        codes = Counter(await asyncio.gather(*(ask(*one) for one in connections)))
        for _, writer in connections:
            writer.close()
        return codes, took_s, memory

    codes, took_s, memory = asyncio.run(stampede())
    assert codes == {b"503": CONNECTIONS}
    assert took_s < 1.0
    assert (memory - before) / CONNECTIONS < 10_000

    # One container is enough for those that nobody serves; the sockets are given back.
    with OPENER.open(f"{admin}/containers", timeout=5) as response:
        assert [one["state"] for one in json.load(response)] == ["starting"]
    with OPENER.open(f"{admin}/metrics", timeout=5) as response:
        refused = f'edge_requests_total{{code="503",region="us-east"}} {float(CONNECTIONS + 1)}\n'
        assert refused in response.read().decode()
    give_up = time.monotonic() + 20
    while watched.num_fds() > files + 10:
        assert time.monotonic() < give_up
        time.sleep(0.05)
