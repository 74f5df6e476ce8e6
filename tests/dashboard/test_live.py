from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.errors import PrometheusTimeoutError
from dashboard.live import LiveHub
from dashboard.own_metrics import OwnMetrics
from dashboard.source import Scalars

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

REQUESTS = "loadgen_requests_total"


class OnceFeed:
    """Tells what a test says has changed."""

    def __init__(self) -> None:
        self.changed: int | None = None

    async def settled(self, within_s: float) -> None:
        pass

    def take_changes(self) -> int | None:
        since, self.changed = self.changed, None
        return since


class Bench:
    """A hub over a store that a test fills, without any clock of its own."""

    def __init__(self, scraped: Scraped, metrics: FakeMetrics) -> None:
        self.scraped, self.metrics = scraped, metrics
        self.source = scraped.source()
        self.feed = OnceFeed()
        self.own = OwnMetrics()
        self.now = 1000.0
        self.hub = LiveHub(
            self.source, self.feed, metrics=self.own, status=lambda: "{}", clock=lambda: self.now
        )

    async def second(self, second: int, count: float) -> None:
        self.metrics.count(REQUESTS, count, region="us-east", routing="sticky", outcome="ok")
        await self.scraped.look(self.metrics, second)
        self.feed.changed = second if self.feed.changed is None else min(second, self.feed.changed)
        self.now = second + 0.5
        await self.hub.send(second)

    def stream(self, step: int = 1, since: int | None = None) -> AsyncIterator[bytes]:
        return self.hub.stream(step=step, panels=("throughput",), match={}, since=since)


async def events(stream: AsyncIterator[bytes], wanted: int) -> list[tuple[str, Any, str]]:
    """The next ``wanted`` events: name, data, id."""
    found: list[tuple[str, Any, str]] = []
    while len(found) < wanted:
        text = (await asyncio.wait_for(anext(stream), 5)).decode()
        for block in text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            if "event" in fields:
                found.append((fields["event"], json.loads(fields["data"]), fields.get("id", "")))
    return found


def points(found: list[tuple[str, Any, str]]) -> list[tuple[int, list[float]]]:
    return [
        (data["start"], data["panels"]["throughput"]["lines"][0][1])
        for name, data, _ in found
        if name == "points"
    ]


def test_each_second_brings_only_its_own_points(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> None:
        bench = Bench(scraped, fake_metrics)
        stream = bench.stream()
        await anext(stream)
        await bench.second(1000, 3)
        await bench.second(1001, 4)
        found = await events(stream, 5)
        assert points(found) == [(1000, [3.0]), (1001, [4.0])]
        assert [id_ for name, _, id_ in found if name == "points"] == ["1001", "1002"]
        told = found[2][1]["panels"]["throughput"]
        assert (told["names"], told["lines"][0][0]) == (
            ["outcome", "region", "routing"],
            ["ok", "us-east", "sticky"],
        )
        bench.source.close()

    asyncio.run(run())


def test_a_longer_step_is_sent_when_it_is_over(scraped: Scraped, fake_metrics: FakeMetrics) -> None:
    async def run() -> None:
        bench = Bench(scraped, fake_metrics)
        stream = bench.stream(step=5)
        await anext(stream)
        await anext(stream)
        for second in range(1000, 1006):
            await bench.second(second, 10)
        found = await events(stream, 7)
        assert points(found) == [(1000, [10.0])]
        bench.source.close()

    asyncio.run(run())


def test_a_late_scrape_is_sent_again_at_its_own_time(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> None:
        bench = Bench(scraped, fake_metrics)
        stream = bench.stream()
        await anext(stream)
        await anext(stream)
        await bench.second(1000, 1)
        await bench.second(1001, 1)
        other = type(fake_metrics)()
        other.count(REQUESTS, 5, region="us-east", routing="sticky", outcome="ok")
        await scraped.look(other, 1000, key="slow")
        bench.feed.changed = 1000
        await bench.second(1002, 1)
        assert points(await events(stream, 6))[-1] == (1000, [6.0, 1.0, 1.0])
        bench.source.close()

    asyncio.run(run())


def test_a_clock_that_is_set_back_is_followed_at_once(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> None:
        bench = Bench(scraped, fake_metrics)
        bench.now = 5000.0
        stream = bench.stream()
        await anext(stream)
        await anext(stream)
        await bench.second(5000, 3)
        await bench.second(1000, 4)
        await bench.second(1001, 5)
        assert points(await events(stream, 6)) == [(5000, [3.0]), (1000, [4.0]), (1001, [5.0])]
        bench.source.close()

    asyncio.run(run())


def test_who_comes_back_gets_what_was_missed(scraped: Scraped, fake_metrics: FakeMetrics) -> None:
    async def run() -> None:
        bench = Bench(scraped, fake_metrics)
        for second in range(1000, 1010):
            await bench.second(second, second - 999)
        bench.now = 1010.0
        stream = bench.stream(since=1007)
        ((start, values),) = points(await events(stream, 2))
        # A few seconds before are sent again, in case they had come late.
        assert start == 1002
        assert values == [3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
        bench.source.close()

    asyncio.run(run())


def test_a_slow_client_skips_and_is_told_so_and_holds_nobody_up(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> None:
        bench = Bench(scraped, fake_metrics)
        slow, quick = bench.stream(), bench.stream()
        for stream in (slow, quick):
            await anext(stream)
            await anext(stream)
        for second in range(1000, 1040):
            await bench.second(second, 1)
            await events(quick, 2)
        ((name, data, _),) = await events(slow, 1)
        assert name == "skipped"
        assert data["since"] <= 1010
        assert b"dashboard_live_skips_total 32.0" in bench.own.exposition()
        # What is left in its queue is bounded: eight seconds, two events each.
        rest = await events(slow, 16)
        assert points(rest)[0][0] == 1032
        bench.source.close()

    asyncio.run(run())


def test_while_the_source_fails_the_status_is_sent_and_the_points_come_later(
    scraped: Scraped, fake_metrics: FakeMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> Scalars:
        raise PrometheusTimeoutError("too late")

    async def run() -> None:
        bench = Bench(scraped, fake_metrics)
        stream = bench.stream()
        await anext(stream)
        await anext(stream)
        with monkeypatch.context() as broken:
            broken.setattr(bench.source, "increases", fail)
            await bench.second(1000, 3)
            assert [name for name, _, _ in await events(stream, 1)] == ["status"]
        await bench.second(1001, 4)
        assert points(await events(stream, 2)) == [(1000, [3.0, 4.0])]
        bench.source.close()

    asyncio.run(run())


def test_streams_end_at_once_when_the_server_stops(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> None:
        bench = Bench(scraped, fake_metrics)
        stream = bench.stream()
        await anext(stream)
        await anext(stream)
        waiting = asyncio.ensure_future(anext(stream, b"end"))
        await asyncio.sleep(0)
        bench.hub.close()
        assert await asyncio.wait_for(waiting, 1) == b"end"
        assert b"dashboard_live_clients 0.0" in bench.own.exposition()
        bench.source.close()

    asyncio.run(run())
