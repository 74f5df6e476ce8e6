"""Deleting a run: what is its own goes, on every level; what another run shares stays."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.erasure import Erased, own_spans
from dashboard.errors import ConflictError, NotFoundError
from dashboard.model import Event
from dashboard.rollup import LEVELS, TIME_BITS

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

START = 1_700_000_000 - 1_700_000_000 % 3600
SECONDS = 400

Spans = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15)), max_size=5)


@given(st.tuples(st.integers(0, 40), st.integers(1, 30)), Spans)
def test_own_spans_are_the_seconds_that_no_other_run_has(
    run: tuple[int, int], others: list[tuple[int, int]]
) -> None:
    start, length = run
    taken = [(begin, begin + long) for begin, long in others]
    found = own_spans((start, start + length), taken)
    seconds = [second for begin, end in found for second in range(begin, end)]
    assert seconds == [
        second
        for second in range(start, start + length)
        if not any(begin <= second < end for begin, end in taken)
    ]


def told(metrics: FakeMetrics, run: str, start: float, end: float) -> None:
    metrics.gauge("loadgen_run_start_timestamp_seconds", START + start, run=run)
    metrics.gauge("loadgen_run_end_timestamp_seconds", START + end if end else 0, run=run)


async def fill(scraped: Scraped, metrics: FakeMetrics) -> None:
    """Two runs with 62 s of both in the middle, and time before, between and after them."""
    for second in range(SECONDS):
        if second == 30:
            told(metrics, "first", 30.5, 0)
        if second == 100:
            told(metrics, "second", 100.5, 0)
        if second == 161:
            told(metrics, "first", 30.5, 160.5)
        if second == 301:
            told(metrics, "second", 100.5, 300.5)
        metrics.count("loadgen_requests_total", 7, region="us-east", outcome="ok")
        metrics.observe("loadgen_request_duration_seconds", 0.01, 0.02, region="us-east")
        metrics.gauge("loadgen_users", second, region="us-east")
        await scraped.look(metrics, START + second)
    await scraped.store.roll_up(START + SECONDS)
    await scraped.store.add_events(
        Event(at=float(START + at), kind=kind, text=f"{kind} at {at}")
        for at in (10, 50, 120, 200)
        for kind in ("note", "container_live")
    )


@pytest.fixture
def two_runs(scraped: Scraped, fake_metrics: FakeMetrics) -> Scraped:
    asyncio.run(fill(scraped, fake_metrics))
    return scraped


def seconds_counted(scraped: Scraped, step: int) -> set[int]:
    """The seconds of which a step of this length knows anything; 7 requests each."""

    async def ask() -> set[int]:
        source = scraped.source(START + 10_000.0)
        window = await source.window(START, START + SECONDS + 10, step)
        found = await source.increases("loadgen_requests_total", window, by=(), match={})
        histograms = await source.histograms(
            "loadgen_request_duration_seconds", window, by=(), match={}
        )
        source.close()
        known = set()
        for at, value, samples in zip(
            window.times(), found.values[0], histograms.counts[0].sum(axis=1), strict=True
        ):
            if value == value:
                assert samples * 7 == value * 2
                known |= set(range(at - START, at - START + round(value / 7)))
        return known

    return asyncio.run(ask())


def total(scraped: Scraped, step: int) -> int:
    return len(seconds_counted(scraped, step))


def notes(scraped: Scraped) -> list[str]:
    source = scraped.source()
    found = asyncio.run(source.events(START, START + SECONDS))
    source.close()
    return sorted(event.text for event in found)


def names(scraped: Scraped) -> list[str]:
    source = scraped.source()
    found = asyncio.run(source.runs())
    source.close()
    return [run.run for run in found]


def test_a_run_goes_and_what_another_one_shares_stays(two_runs: Scraped) -> None:
    erased = asyncio.run(two_runs.store.delete_run("first"))
    assert erased == Erased(((START + 30, START + 100),), 1)
    assert names(two_runs) == ["second"]
    left = set(range(30)) | set(range(100, SECONDS))
    assert seconds_counted(two_runs, 1) == left
    # Every coarser level counts exactly what is left.
    for step in (5, 10, 30, 60, 120, 300):
        assert total(two_runs, step) == len(left), step
    assert notes(two_runs) == [
        *(f"container_live at {at}" for at in (10, 120, 200, 50)),
        *(f"note at {at}" for at in (10, 120, 200)),
    ]
    # The other one has no more to share now.
    erased = asyncio.run(two_runs.store.delete_run("second"))
    assert erased == Erased(((START + 100, START + 302),), 2)
    assert names(two_runs) == []
    left = set(range(30)) | set(range(302, SECONDS))
    assert seconds_counted(two_runs, 1) == left
    for step in (10, 60, 300):
        assert total(two_runs, step) == len(left), step


def test_coarse_points_that_tell_of_other_time_stay_where_finer_ones_are_gone(
    two_runs: Scraped,
) -> None:
    before = total(two_runs, 10)
    asyncio.run(two_runs.store.forget(raw_before=START + SECONDS, all_before=0))
    asyncio.run(two_runs.store.delete_run("second"))
    # Its time is 161 to 302, of which 170 to 300 are whole rows of ten seconds.
    assert total(two_runs, 10) == before - 130
    assert {160, 300} <= seconds_counted(two_runs, 10)
    for step in (30, 60, 300):
        assert total(two_runs, step) == before - 130, step


def test_no_row_of_any_level_is_left_of_a_run_by_itself(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def only() -> None:
        told(fake_metrics, "only", 0.5, 0)
        for second in range(90):
            fake_metrics.count("loadgen_requests_total", 1, region="us-east", outcome="ok")
            await scraped.look(fake_metrics, START + second)
        told(fake_metrics, "only", 0.5, 89.5)
        await scraped.look(fake_metrics, START + 90)
        await scraped.store.roll_up(START + 7200)
        await scraped.store.delete_run("only")

    asyncio.run(only())
    connection = sqlite3.connect(scraped.path)
    for level in LEVELS:
        rows = connection.execute(f"SELECT id FROM point_{level}").fetchall()
        assert [(key & (1 << TIME_BITS) - 1) - START for (key,) in rows] == [], level
    connection.close()


def test_a_run_that_was_deleted_does_not_come_back(
    two_runs: Scraped, fake_metrics: FakeMetrics
) -> None:
    """Its load generator still tells of it, also to a dashboard that is started anew."""
    asyncio.run(two_runs.store.delete_run("first"))
    asyncio.run(two_runs.look(fake_metrics, START + SECONDS))
    assert names(two_runs) == ["second"]
    asyncio.run(two_runs.store.forget(raw_before=0, all_before=0))
    asyncio.run(two_runs.look(fake_metrics, START + SECONDS + 1))
    assert names(two_runs) == ["second"]
    # A run of another name is another run.
    told(fake_metrics, "third", 400.5, 0)
    asyncio.run(two_runs.look(fake_metrics, START + SECONDS + 2))
    assert names(two_runs) == ["third", "second"]


def test_counting_goes_on_after_a_run_was_deleted(
    two_runs: Scraped, fake_metrics: FakeMetrics
) -> None:
    asyncio.run(two_runs.store.delete_run("second"))
    fake_metrics.count("loadgen_requests_total", 7, region="us-east", outcome="ok")
    fake_metrics.observe("loadgen_request_duration_seconds", 0.01, 0.02, region="us-east")
    before = total(two_runs, 1)
    asyncio.run(two_runs.look(fake_metrics, START + SECONDS))
    assert total(two_runs, 1) == before + 1


def test_a_run_that_goes_on_is_not_deleted(
    open_store: type[Scraped], fake_metrics: FakeMetrics, tmp_path: Path
) -> None:
    made = open_store(tmp_path / "live.sqlite", now=START + 20.0)
    told(fake_metrics, "live", 0.5, 0)
    asyncio.run(made.look(fake_metrics, START + 10))
    with pytest.raises(ConflictError, match="run live is still going on"):
        asyncio.run(made.store.delete_run("live"))
    with pytest.raises(NotFoundError, match="there is no run 'r9'"):
        asyncio.run(made.store.delete_run("r9"))
    assert names(made) == ["live"]
    made.store.close()


def test_a_run_whose_generator_died_is_deleted_with_all_that_was_scraped_of_it(
    open_store: type[Scraped], fake_metrics: FakeMetrics, tmp_path: Path
) -> None:
    made = open_store(tmp_path / "dead.sqlite", now=START + 1000.0)
    told(fake_metrics, "dead", 0.5, 0)

    async def some() -> Erased:
        for second in range(20):
            await made.look(fake_metrics, START + second)
        return await made.store.delete_run("dead")

    assert asyncio.run(some()) == Erased(((START, START + 20),), 0)
    assert names(made) == []
    made.store.close()
