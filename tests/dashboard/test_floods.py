"""Many clients at once: those that do not read cost little, and the others get theirs in time."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from flash.file_limit import raise_file_limit

if TYPE_CHECKING:
    from conftest import Dashboard, FakeTarget, Until

REQUESTS = "loadgen_requests_total"
DURATIONS = "loadgen_request_duration_seconds"
MB = 1 << 20

pytestmark = pytest.mark.end_to_end


@contextmanager
def traffic(target: FakeTarget) -> Iterator[None]:
    """Requests of ten regions, so that each second's message is of a size as in earnest."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.1):
            with target.metrics.lock:
                for number in range(10):
                    for routing in ("sticky", "non_sticky"):
                        labels = {"region": f"region-{number}", "routing": routing}
                        target.metrics.count(REQUESTS, 3, outcome="ok", **labels)
                        for name in (DURATIONS, "loadgen_response_time_seconds"):
                            target.metrics.observe(name, 0.01 * (number + 1), 0.2, **labels)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def counter(dashboard: Dashboard, name: str) -> float:
    with urllib.request.urlopen(f"{dashboard.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return float(next(line for line in text.splitlines() if line.startswith(f"{name} ")).split()[1])


async def read_stream(port: int, until: float, lags: list[float]) -> None:
    """One client that reads: how long after each second's scrapes their points came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=8 * MB)
    writer.write(b"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    try:
        async with asyncio.timeout_at(until):
            while line := await reader.readline():
                if line.startswith(b"data: ") and b'"panels"' in line[:80]:
                    end = int(line[:60].partition(b'"end":')[2].partition(b",")[0])
                    # The last step is that of the second in which it was scraped.
                    lags.append(time.time() - (end - 1))
    except TimeoutError:
        pass
    finally:
        writer.close()


def deaf(port: int) -> socket.socket:
    """A client that asks for a stream and reads none of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    return client


@pytest.mark.parametrize(
    ("clients", "seconds"), [(40, 5), pytest.param(1000, 60, marks=pytest.mark.long)]
)
def test_streams_that_nobody_reads_hold_up_nobody_and_take_little_memory(
    tmp_path: Path,
    fake_target: FakeTarget,
    start: Callable[..., Dashboard],
    until: Until,
    clients: int,
    seconds: int,
) -> None:
    assert raise_file_limit() > clients + 100
    dashboard = start(tmp_path / "s.sqlite", "--scrape", fake_target.url)
    port = int(dashboard.url.rpartition(":")[2])
    process = psutil.Process(dashboard.process.pid)
    lags: list[list[float]] = [[] for _ in range(clients // 2)]

    async def read_all() -> None:
        end = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(read_stream(port, end, one) for one in lags))

    with traffic(fake_target):
        until(lambda: dashboard.get("/api/labels")["region"] != [])
        before = process.memory_info().rss
        silent = [deaf(port) for _ in range(clients // 2)]
        try:
            asyncio.run(read_all())
            grown = process.memory_info().rss - before
            # A browser that comes now is answered at once.
            began = time.monotonic()
            assert len(dashboard.get("/api/targets")) == 1
            took = time.monotonic() - began
            skips = counter(dashboard, "dashboard_live_skips_total")
        finally:
            for client in silent:
                client.close()
    until(lambda: counter(dashboard, "dashboard_live_clients") == 0)
    every = sorted(lag for one in lags for lag in one)
    told = {
        "clients": clients,
        "lag_p50_s": round(every[len(every) // 2], 3),
        "lag_p99_s": round(every[len(every) * 99 // 100], 3),
        "lag_max_s": round(every[-1], 3),
        "grown_mb": round(grown / MB, 1),
        "skips": skips,
        "answer_s": round(took, 3),
    }
    print(json.dumps(told))
    # Nobody who reads misses a second.
    assert min(len(one) for one in lags) >= seconds - 3
    assert told["lag_p99_s"] < 1.5, told
    assert grown < 30 * MB + clients * 0.15 * MB, told
    assert took < 2, told
    if seconds >= 60:
        assert skips > 0
    assert dashboard.stop() == (0, "")
