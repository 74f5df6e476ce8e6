"""The machine's clock is set: nothing is lost or counted twice, and no rate is negative."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.collector import Collector
from dashboard.config import Config
from dashboard.embedded import EmbeddedSource
from dashboard.ingest import LONGEST_SHARED_S
from dashboard.model import Event
from dashboard.own_metrics import OwnMetrics
from dashboard.retention import Retention
from dashboard.rollup import LEVELS
from dashboard.store import Store
from dashboard.window import Window

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import AsyncUntil, FakeMetrics, FakeTarget, Scraped
    from numpy.typing import NDArray

REQUESTS = "loadgen_requests_total"
DURATIONS = "loadgen_request_duration_seconds"
START = 1_700_000_400  # a full ten minutes


class Clocked:
    """A store that is fed once a second by a clock that is set now and then."""

    def __init__(self, scraped: Scraped, metrics: FakeMetrics) -> None:
        self.scraped, self.metrics = scraped, metrics
        self.counted: dict[int, int] = {}
        self.total = 0
        self.last: int | None = None
        # Seconds that were missed, each with the one of the scrape that followed.
        self.late: list[tuple[int, int]] = []

    async def watch(self, start: int, seconds: int) -> None:
        if self.last is not None and 1 < start - self.last <= LONGEST_SHARED_S:
            self.late.append((self.last + 1, start))
        self.last = start + seconds - 1
        for second in range(start, start + seconds):
            amount = 3 + second % 5
            self.metrics.count(REQUESTS, amount, outcome="ok")
            self.metrics.observe(DURATIONS, *[0.01] * amount)
            self.metrics.gauge("loadgen_users", 6)
            await self.scraped.look(self.metrics, second)
            if second % 5 == 0:
                await self.scraped.store.roll_up(second - 68)
            self.counted[second] = self.counted.get(second, 0) + amount
            self.total += amount

    async def increases(self, window: Window) -> NDArray[np.float64]:
        source = self.scraped.source()
        found = await source.increases(REQUESTS, window, by=(), match={})
        observed = await source.histograms(DURATIONS, window, by=(), match={})
        source.close()
        (values,) = found.values
        (counts,) = observed.counts.sum(axis=2)
        # A histogram is in the second of its scrape. A counter is shared out over those that were
        # missed before, so that it is ahead within them, and nowhere else.
        ahead = np.cumsum(np.nan_to_num(values)) - np.cumsum(counts)
        ends = range(window.start + window.step, window.end + 1, window.step)
        missed = [any(first < end <= scraped for first, scraped in self.late) for end in ends]
        assert (ahead >= 0).all()
        np.testing.assert_array_equal(ahead[~np.array(missed)], 0)
        return values

    async def check(self, start: int, end: int) -> None:
        """Every second has what was counted in it, at any step, and others have no data."""
        exact = np.array([float(self.counted.get(s, np.nan)) for s in range(start, end)])
        values = await self.increases(Window(start, end, 1))
        np.testing.assert_array_equal(values, exact)
        for step in (10, 60, 600):
            values = await self.increases(Window(start, end, step))
            told = np.nan_to_num(exact).reshape(-1, step).sum(axis=1)
            np.testing.assert_array_equal(np.nan_to_num(values), told)
        assert np.nansum(values) == self.total


@pytest.fixture
def clocked(scraped: Scraped, fake_metrics: FakeMetrics) -> Clocked:
    return Clocked(scraped, fake_metrics)


@pytest.mark.parametrize("back", [5, 67, 150, 400])
def test_set_back_the_same_seconds_get_both_and_those_rolled_up_too(
    clocked: Clocked, back: int
) -> None:
    async def run() -> None:
        await clocked.watch(START + 300, 300)
        await clocked.watch(START + 600 - back, 200)
        await clocked.check(START, START + 1200)

    asyncio.run(run())


def test_set_back_to_before_anything_was_stored_it_is_shown_at_its_time(clocked: Clocked) -> None:
    async def run() -> None:
        await clocked.watch(START + 6_000, 200)
        await clocked.watch(START, 200)
        await clocked.check(START, START + 7_200)

    asyncio.run(run())


def test_set_forward_and_back_again_there_is_a_gap_and_nothing_else(clocked: Clocked) -> None:
    async def run() -> None:
        await clocked.watch(START, 100)
        await clocked.watch(START + 3_600, 20)
        await clocked.watch(START + 120, 100)
        await clocked.check(START, START + 4_200)

    asyncio.run(run())


@settings(
    max_examples=6,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # they only make things
)
@given(steps=st.lists(st.integers(-300, 300), min_size=1, max_size=3), length=st.integers(1, 60))
def test_wherever_the_clock_is_set_sums_stay_exact_and_no_rate_is_negative(
    tmp_path_factory: pytest.TempPathFactory,
    open_store: type[Scraped],
    fake_metrics: FakeMetrics,
    steps: list[int],
    length: int,
) -> None:
    scraped = open_store(tmp_path_factory.mktemp("clock") / "s.sqlite")
    clocked = Clocked(scraped, type(fake_metrics)())

    async def run() -> None:
        now = START + 3_000
        for step in (0, *steps):
            now += step
            await clocked.watch(now, length)
            now += length
        for step in (1, 10, 60, 600):
            values = await clocked.increases(Window(START, START + 7_200, step))
            assert np.nansum(values) == clocked.total
            assert not (values < 0).any()

    asyncio.run(run())
    scraped.store.close()


def test_what_was_rolled_up_of_seconds_that_are_gone_is_added_to(clocked: Clocked) -> None:
    async def run() -> None:
        await clocked.watch(START, 1200)
        await clocked.scraped.store.forget(raw_before=START + 900, all_before=0)
        await clocked.watch(START + 300, 60)
        for step in LEVELS[2:7]:
            values = await clocked.increases(Window(START, START + 1200, step))
            assert np.nansum(values) == clocked.total
            if step == 10:
                exact = [clocked.counted[START + second] for second in range(1200)]
                assert values.tolist() == np.reshape(exact, (-1, 10)).sum(axis=1).tolist()

    asyncio.run(run())


class Turned:
    """Two clocks, one of which is set."""

    def __init__(self) -> None:
        self.monotonic = 500.0
        self.wall = float(START)

    def passes(self, seconds: int) -> int:
        self.monotonic += seconds
        self.wall += seconds
        return int(self.wall)


def test_a_clock_that_was_set_forward_deletes_nothing_for_an_hour(scraped: Scraped) -> None:
    clocks = Turned()
    retention = Retention(Config(), scraped.store, monotonic=lambda: clocks.monotonic)
    assert retention.due(clocks.passes(60))
    clocks.wall += 400 * 86400
    assert not any(retention.due(clocks.passes(60)) for _ in range(50))
    # It is set right again, and an hour later all is as it was.
    clocks.wall -= 400 * 86400
    due = [retention.due(clocks.passes(60)) for _ in range(62)]
    assert due == [False] * 60 + [True] * 2
    assert not retention.due(clocks.passes(7))


def test_a_clock_that_is_set_a_little_is_no_matter(scraped: Scraped) -> None:
    clocks = Turned()
    retention = Retention(Config(), scraped.store, monotonic=lambda: clocks.monotonic)
    for minute in range(5):
        clocks.monotonic += 59.5
        assert retention.due(START + 60 * minute)


def test_a_dashboard_goes_on_at_the_new_time(
    tmp_path: Path, fake_target: FakeTarget, async_until: AsyncUntil
) -> None:
    """The clock of a running collector is set back an hour, then two hours forward."""
    offset = 0.0

    def clock() -> float:
        return time.time() + offset

    path = tmp_path / "s.sqlite"
    config = Config(store=path, scrape=(fake_target.url,), scrape_given=True)
    fake_target.metrics.count(REQUESTS, 0, outcome="ok")

    async def run() -> tuple[list[int], float]:
        nonlocal offset
        store = Store(path, clock=clock)
        collector = Collector(config, store, metrics=OwnMetrics(), clock=clock)
        task = asyncio.create_task(collector.run())
        changes = []
        since = 0

        def changed() -> bool:
            nonlocal since
            since = collector.take_changes() or 0
            return since > 0

        for step in (0, -3600, 7200):
            offset += step
            asked = clock()
            # The tick that was under way may still bear the second that it was begun for.
            now = range(int(asked), int(asked) + 9)
            await async_until(lambda now=now: (collector.status()[0].scraped_at or 0) in now)
            collector.take_changes()
            fake_target.metrics.count(REQUESTS, 7, outcome="ok")
            # The first one may be of a scrape that was under way.
            for _ in range(2):
                await async_until(changed)
            changes.append(since - int(asked))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.close()
        source = EmbeddedSource(path)
        now = int(time.time())
        window = Window(now - 7200, now + 7200, 10)
        found = await source.increases(REQUESTS, window, by=(), match={})
        source.close()
        return changes, float(np.nansum(found.values))

    changes, total = asyncio.run(run())
    # What is sent to browsers is of the time that it is now.
    assert all(0 <= change < 9 for change in changes)
    assert total == 21


def test_an_event_of_a_wrong_time_is_one_event(scraped: Scraped) -> None:
    async def run() -> int:
        event = Event(at=START + 1e9, kind="container_live", text="Container a live")
        await scraped.store.add_events([event])
        await scraped.store.add_events([event])
        source = scraped.source()
        events = await source.events(0, 2**34)
        source.close()
        return len(events)

    assert asyncio.run(run()) == 1
