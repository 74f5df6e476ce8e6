"""The edge under floods: a thousand connections of each kind here, ten thousand on demand."""

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter

import psutil
import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

SMALL_SERVER = str(Path(__file__).parents[1] / "edge" / "small_server.py")
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
WAIT = b"GET /wait?12 HTTP/1.1\r\nHost: h\r\n\r\n"
MEBIBYTE = 1 << 20


class Edge:
    """A running edge with one region; ``admin`` and ``port`` are where it listens."""

    def __init__(self, running, http, admin: int, port: int) -> None:
        self.running, self._http = running, http
        self.admin, self.port = f"http://127.0.0.1:{admin}", port

    def codes(self) -> Counter[int]:
        return Counter(
            {
                int(dict(labels)["code"]): int(value)
                for (name, labels), value in self._http.samples(f"{self.admin}/metrics").items()
                if name == "edge_requests_total"
            }
        )

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.running.process.pid)

    def live(self) -> list[str]:
        containers = self._http.get(f"{self.admin}/containers").json()
        return [one["task_id"] for one in containers if one["state"] == "live"]


@pytest.fixture
def edge(start, http, free_ports):
    def run(*options: str, files: int | None = None, command: tuple[str, ...] = ()) -> Edge:
        admin, port = free_ports(2)
        arguments = [
            *("-m", "flash.edge", "--region", "us-east", "--no-rtt", "--admin-port", str(admin)),
            *("--first-port", str(port), *options),
        ]
        if command:
            arguments += ["--", *command]
        if files is None:
            running = start(*arguments)
        else:
            limited = f'ulimit -n {files} && exec "$@"'
            running = start("-c", limited, "sh", sys.executable, *arguments, program="/bin/sh")
        made = Edge(running, http, admin, port)
        http.until(
            lambda: http.get(f"{made.admin}/healthz").status == 200,
            within_s=30,
            what="the edge answers",
        )
        return made

    return run


class Connections:
    """Open connections to a port, and what came back on them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.open: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def add(self, number: int, data: bytes) -> list[tuple]:
        turns = asyncio.Semaphore(200)

        async def one() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            async with turns:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(data)
                return reader, writer

        made = await asyncio.gather(*(one() for _ in range(number)))
        self.open += made
        return made

    def close(self) -> None:
        for _, writer in self.open:
            writer.transport.abort()


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one response that has a length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length is not None
    return int(head.split()[1]), await reader.readexactly(int(length[1]))


@pytest.mark.parametrize("number", [400, pytest.param(3400, marks=pytest.mark.floods)])
def test_idle_slow_and_waiting_connections_keep_nobody_from_being_served(
    edge, http, number
) -> None:
    it = edge(
        *("--boot-delay", "0", "--min-containers", "1", "--max-containers", "1"),
        *("--target-concurrency", "10000"),
        command=(sys.executable, SMALL_SERVER),
    )

    http.until(it.live, within_s=20, what="a container is live")

    async def flood() -> None:
        async with asyncio.timeout(200):
            connections = Connections(it.port)
            try:
                await within(connections)
            finally:
                connections.close()

    async def within(connections: Connections) -> None:
        began = perf_counter()
        idle = await connections.add(number, b"")
        slow = await connections.add(number, b"GET / HTTP/1.1\r\nHost: h\r\nX: y")
        waiting = await connections.add(number, WAIT)
        took = []
        # Until the slow ones have had their time, others are served as ever.
        while perf_counter() - began < 9.0:
            ((reader, writer),) = await connections.add(1, GET)
            asked = perf_counter()
            assert (await answer(reader))[0] == 200
            took.append(perf_counter() - asked)
            writer.close()
            for _, late in slow[:50]:
                late.write(b"y")  # a byte now and then buys no time
            await asyncio.sleep(0.1)
        median = sorted(took)[len(took) // 2]
        print(f"served meanwhile: {len(took)}, half of them within {median * 1e3:.1f} ms")
        assert median < 0.25
        refused = await asyncio.gather(*(reader.read() for reader, _ in slow))
        assert perf_counter() - began < 40
        assert Counter(head.split(b"\r\n")[0] for head in refused) == {
            b"HTTP/1.1 408 Request Timeout": number
        }
        for _, writer in idle:
            writer.write(GET)
        good = await asyncio.gather(*(answer(reader) for reader, _ in [*idle, *waiting]))
        assert Counter(status for status, _ in good) == {200: 2 * number}
        assert it.codes() == {200: 2 * number + len(took), 408: number}

    before, files = it.process.memory_info().rss, it.process.num_fds()
    asyncio.run(flood())
    grown = it.process.memory_info().rss - before
    print(f"{3 * number} connections: {grown / MEBIBYTE:.0f} MiB more")
    assert grown < 10 * MEBIBYTE + 3 * number * 10_000
    http.until(
        lambda: it.process.num_fds() <= files + 2, within_s=10, what="all connections are closed"
    )
    assert "Traceback" not in it.running.output()


def test_too_few_files_are_told_and_cost_no_container(edge, http) -> None:
    it = edge(
        *("--boot-delay", "0", "--min-containers", "1", "--max-containers", "1"),
        files=256,
        command=(sys.executable, SMALL_SERVER),
    )
    http.until(it.live, within_s=20, what="a container is live")
    (container,) = it.live()

    async def flood() -> None:
        async with asyncio.timeout(60):
            connections = Connections(it.port)
            made = await connections.add(600, b"")
            closed = [asyncio.ensure_future(reader.read(1)) for reader, _ in made]
            await asyncio.wait(closed, timeout=2.5)
            stay = [pair for pair, task in zip(made, closed, strict=True) if not task.done()]
            for task in closed:
                task.cancel()
            await asyncio.gather(*closed, return_exceptions=True)
            # As many as there are files for; nobody else is served worse for it.
            assert 80 <= len(stay) <= 96
            for _, writer in stay:
                writer.write(GET)
            assert {(await answer(reader))[0] for reader, _ in stay} == {200}
            connections.close()
            await asyncio.sleep(0.5)
            again = Connections(it.port)
            for reader, _ in await again.add(50, GET):
                assert (await answer(reader))[0] == 200
            again.close()

    asyncio.run(flood())
    assert it.live() == [container]
    told = it.running.output()
    assert told.count("at most 96 connections at a time: the system allows 256 open files") == 1
    assert told.count("the edge turned a connection away, 96 are open") == 1
    assert "Traceback" not in told
    assert container not in told


@pytest.mark.parametrize(
    ("users", "run_s"), [(500, 9), pytest.param(5000, 45, marks=pytest.mark.floods)]
)
def test_a_stampede_on_a_region_at_zero_is_answered_to_the_last_user(
    edge, start, http, free_ports, tmp_path, users, run_s
) -> None:
    # All users are there before the first container is.
    boot_s = 2 + users / 1000
    it = edge(
        *("--boot-delay", str(boot_s), "--max-containers", "2", "--target-concurrency", "1000")
    )
    (metrics,) = free_ports(1)
    summary = tmp_path / "summary.json"
    before = it.process.memory_info().rss
    locust = start(
        *("-m", "locust", "-f", "loadgen", "--headless", "--flash-edge", it.admin),
        *("-u", str(users), "-r", str(users), "-t", f"{run_s}s", "--stop-timeout", "60"),
        *("--think-time", str(users / 250), "--metrics-port", str(metrics)),
        *("--summary-json", str(summary), "NonStickyUser"),
    )
    most = 0
    while locust.process.poll() is None:
        most = max(most, it.process.memory_info().rss)
        psutil.wait_procs([psutil.Process(locust.process.pid)], timeout=0.2)
    assert locust.wait(within_s=1) == 0, locust.output()[-3000:]
    totals = json.loads(summary.read_text())["totals"]
    outcomes = {name: count for name, count in totals["outcomes"].items() if count}
    assert set(outcomes) == {"ok", "cold_start"}, outcomes
    assert totals["requests"] == outcomes["ok"] >= users
    assert totals["affected"] >= users * 0.9
    assert totals["giveups"] == 0
    assert it.codes() == {200: outcomes["ok"], 503: outcomes["cold_start"]}
    served = sum(
        http.total(
            f"http://127.0.0.1:{container['port']}/metrics", "target_requests_total", route="/"
        )
        for container in http.get(f"{it.admin}/containers").json()
    )
    assert served == outcomes["ok"]
    print(f"{users} users: {outcomes}, the edge took {(most - before) / MEBIBYTE:.0f} MiB more")
    assert most - before < 10 * MEBIBYTE + users * 20_000
