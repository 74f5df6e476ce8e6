from __future__ import annotations

import _sqlite3
import asyncio
import ctypes
import gc
import sqlite3
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from dashboard.embedded import EmbeddedSource
from dashboard.errors import StoreError
from dashboard.increments import Increment, Memory
from dashboard.model import ScrapeResult, Target
from dashboard.rollup import LEVELS, TIME_BITS
from dashboard.shape import Family, Kind
from dashboard.source import Scalars
from dashboard.store import SCHEMA_VERSION, Store
from dashboard.window import Window

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

REQUESTS = "loadgen_requests_total"
DURATIONS = "loadgen_request_duration_seconds"
START = 1_700_000_040  # a full minute
MIB = 1 << 20
STEPS_OF_LEVELS = (30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)


async def total(scraped: Scraped, window: Window, metric: str = REQUESTS) -> float:
    source = scraped.source()
    try:
        found = await source.increases(metric, window, by=(), match={})
    finally:
        source.close()
    return float(np.nansum(found.values))


async def increases(scraped: Scraped, window: Window, metric: str = REQUESTS) -> Scalars:
    source = scraped.source()
    try:
        return await source.increases(metric, window, by=("outcome",), match={})
    finally:
        source.close()


def test_a_second_without_a_scrape_is_no_data_and_one_without_change_is_zero(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> Scalars:
        fake_metrics.count(REQUESTS, 5, outcome="ok")
        await scraped.look(fake_metrics, 1000)
        await scraped.look(fake_metrics, 1001)
        fake_metrics.count(REQUESTS, 2, outcome="ok")
        await scraped.look(fake_metrics, 1100)
        return await increases(scraped, Window(998, 1101, 1))

    found = asyncio.run(run())
    assert found.labels == ((("outcome", "ok"),),)
    values = found.values[0]
    assert values[2:4].tolist() == [5.0, 0.0]
    assert values[-1] == 2.0
    assert np.isnan(values[:2]).all()
    assert np.isnan(values[4:-1]).all()


def test_a_scrape_that_comes_late_is_shared_out_in_whole_numbers(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> Scalars:
        fake_metrics.count(REQUESTS, 1, outcome="ok")
        await scraped.look(fake_metrics, 1000)
        fake_metrics.count(REQUESTS, 11, outcome="ok")
        fake_metrics.count(REQUESTS, 6, outcome="timeout")
        await scraped.look(fake_metrics, 1003)
        return await increases(scraped, Window(1000, 1004, 1))

    found = asyncio.run(run())
    told = {dict(key)["outcome"]: row.tolist() for key, row in zip(*vars_of(found), strict=True)}
    assert told["ok"] == [1.0, 3.0, 3.0, 5.0]
    assert np.isnan(told["timeout"][0])
    assert told["timeout"][1:] == [2.0, 2.0, 2.0]


def test_what_a_new_process_counts_is_shared_out_over_its_own_time_only(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    """One run ends with its process; the next one's first scrape comes while it is under way."""

    async def run() -> Scalars:
        fake_metrics.gauge("process_start_time_seconds", 990.0)
        fake_metrics.count(REQUESTS, 1, outcome="ok")
        await scraped.look(fake_metrics, 1000)
        fake_metrics.restart()
        fake_metrics.gauge("process_start_time_seconds", 1004.5)
        fake_metrics.gauge("loadgen_run_start_timestamp_seconds", 1005.2, run="b")
        fake_metrics.count(REQUESTS, 12, outcome="ok")
        await scraped.look(fake_metrics, 1008)
        return await increases(scraped, Window(1000, 1009, 1))

    (values,) = asyncio.run(run()).values
    assert values[0] == 1
    assert np.isnan(values[1:6]).all()
    assert values[6:].tolist() == [4.0, 4.0, 4.0]


def vars_of(found: Scalars) -> tuple[object, object]:
    return found.labels, found.values


def test_two_scrapes_of_one_second_add_up(scraped: Scraped, fake_metrics: FakeMetrics) -> None:
    async def run() -> tuple[float, float]:
        for _ in range(2):
            fake_metrics.count(REQUESTS, 4, outcome="ok")
            fake_metrics.observe(DURATIONS, 0.1, 0.2)
            await scraped.look(fake_metrics, 1000)
        source = scraped.source()
        window = Window(1000, 1001, 1)
        histograms = await source.histograms(DURATIONS, window, by=(), match={})
        source.close()
        return await total(scraped, window), float(histograms.counts.sum())

    assert asyncio.run(run()) == (8, 4)


@pytest.mark.parametrize(
    ("started", "expected"),
    [(995, [None, None, 3.0, 3.0, 3.0, 3.0, 5.0]), (930, None), (None, None)],
)
def test_a_run_begun_shortly_before_the_dashboard_is_counted_from_its_beginning(
    fake_metrics: FakeMetrics,
    tmp_path: Path,
    open_store: type[Scraped],
    started: int | None,
    expected: list[float | None] | None,
) -> None:
    scraped = open_store(tmp_path / "store.sqlite", now=1000)

    async def run() -> list[list[float | None]]:
        fake_metrics.count(REQUESTS, 17, outcome="ok")
        if started is not None:
            fake_metrics.gauge("loadgen_run_start_timestamp_seconds", started, run="a")
        await scraped.look(fake_metrics, 1000, absent=False)
        found = await increases(scraped, Window(994, 1001, 1))
        return [[None if v != v else v for v in row] for row in found.values.tolist()]

    found = asyncio.run(run())
    scraped.store.close()
    assert found == ([] if expected is None else [expected])


def test_a_series_has_no_data_before_it_came(scraped: Scraped, fake_metrics: FakeMetrics) -> None:
    async def run() -> Scalars:
        fake_metrics.count(REQUESTS, 1, outcome="ok")
        await scraped.look(fake_metrics, 1000)
        fake_metrics.count(REQUESTS, 4, outcome="timeout")
        await scraped.look(fake_metrics, 1001)
        return await increases(scraped, Window(1000, 1002, 1))

    found = asyncio.run(run())
    row = found.values[found.labels.index((("outcome", "timeout"),))]
    assert np.isnan(row[0])
    assert row[1] == 4.0


def test_a_restart_of_the_dashboard_neither_loses_nor_counts_twice(
    tmp_path: Path, fake_metrics: FakeMetrics, open_store: type[Scraped]
) -> None:
    path = tmp_path / "store.sqlite"

    async def run() -> float:
        scraped = open_store(path, now=1000)
        for second in range(1000, 1030):
            # Every third second it is as if a new process opened the store.
            if second % 3 == 0:
                scraped.store.close()
                scraped = open_store(path, now=second)
            fake_metrics.count(REQUESTS, 7, outcome="ok")
            fake_metrics.observe(DURATIONS, 0.01, 0.2, region="us-east")
            await scraped.look(fake_metrics, second)
        found = await total(scraped, Window(1000, 1030, 1))
        source = scraped.source()
        histograms = await source.histograms(DURATIONS, Window(1000, 1030, 1), by=(), match={})
        source.close()
        scraped.store.close()
        assert histograms.counts.sum() == 60
        assert histograms.sums.sum() == pytest.approx(30 * 0.21, abs=1e-9)
        return found

    assert asyncio.run(run()) == 30 * 7


def test_rolled_up_rows_say_the_same_as_the_seconds(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    rng = np.random.default_rng(5)

    async def run() -> None:
        for second in range(1200, 1500):
            if second % 41 == 0:
                fake_metrics.restart()
            fake_metrics.count(REQUESTS, float(rng.integers(0, 9)), outcome="ok")
            fake_metrics.gauge("loadgen_users", second)
            fake_metrics.observe(DURATIONS, *rng.lognormal(-3, 1, 5).tolist())
            await scraped.look(fake_metrics, second)
        source = scraped.source()
        try:
            for step in (10, 60):
                window = Window(1200, 1500, step)
                before = [
                    await source.increases(REQUESTS, window, by=(), match={}),
                    await source.gauges("loadgen_users", window, by=(), match={}),
                    await source.histograms(DURATIONS, window, by=(), match={}),
                ]
                await scraped.store.roll_up(1475)
                after = [
                    await source.increases(REQUESTS, window, by=(), match={}),
                    await source.gauges("loadgen_users", window, by=(), match={}),
                    await source.histograms(DURATIONS, window, by=(), match={}),
                ]
                np.testing.assert_array_equal(before[0].values, after[0].values)
                np.testing.assert_array_equal(before[1].values, after[1].values)
                np.testing.assert_array_equal(before[2].counts, after[2].counts)
                np.testing.assert_allclose(before[2].sums, after[2].sums, rtol=1e-12)
                assert after[2].counts.sum() == 300 * 5
        finally:
            source.close()

    asyncio.run(run())
    connection = sqlite3.connect(scraped.path)
    counts = [connection.execute(f"SELECT count(*) FROM point_{n}").fetchone()[0] for n in (10, 60)]
    connection.close()
    assert counts == [27 * 3, 4 * 3]


def test_seconds_may_go_while_their_roll_ups_stay(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> tuple[float, Window]:
        for second in range(1200, 1320):
            fake_metrics.count(REQUESTS, 3, outcome="ok")
            await scraped.look(fake_metrics, second)
        await scraped.store.roll_up(1320)
        await scraped.store.forget(raw_before=1260, all_before=0)
        source = scraped.source()
        window = await source.window(1200, 1320, 1)
        source.close()
        return await total(scraped, window), window

    found, window = asyncio.run(run())
    assert window.step == 10
    assert found == 360


def test_each_level_says_the_same_as_the_seconds_it_is_made_of(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    start, seconds = 1_699_999_200, 7200  # full hours

    async def run() -> None:
        for second in range(start, start + seconds, 30):
            fake_metrics.count(REQUESTS, second % 7, outcome="ok")
            fake_metrics.observe(DURATIONS, *[0.001 * (second % 50 + 1)] * (second % 5))
            fake_metrics.gauge("loadgen_users", second % 90)
            await scraped.look(fake_metrics, second)
        source = scraped.source()
        before = [await answers(source, Window(start, start + seconds, s)) for s in STEPS_OF_LEVELS]
        await scraped.store.roll_up(start + seconds)
        connection = sqlite3.connect(scraped.path)
        for level in LEVELS[1:]:
            (rows,) = connection.execute(
                f"SELECT count(*) FROM point_{level} AS point JOIN family "
                f"ON family.id = point.id >> {TIME_BITS} WHERE name = 'loadgen_users'"
            ).fetchone()
            assert rows == seconds / max(level, 30)
        # The answers must now come from the rolled-up rows.
        connection.execute("DELETE FROM point_1")
        connection.commit()
        connection.close()
        after = [await answers(source, Window(start, start + seconds, s)) for s in STEPS_OF_LEVELS]
        source.close()
        for ours, theirs in zip(before, after, strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other)

    async def answers(source: EmbeddedSource, window: Window) -> list[NDArray[np.float64]]:
        counted = await source.increases(REQUESTS, window, by=(), match={})
        observed = await source.histograms(DURATIONS, window, by=(), match={})
        users = await source.gauges("loadgen_users", window, by=(), match={})
        return [counted.values, observed.counts, np.round(observed.sums, 9), users.values]

    asyncio.run(run())


def test_a_store_of_version_1_is_brought_up_to_date(
    tmp_path: Path, open_store: type[Scraped], fake_metrics: FakeMetrics
) -> None:
    path = tmp_path / "store.sqlite"

    async def fill(scraped: Scraped) -> None:
        for second in range(3600, 7200, 60):
            fake_metrics.count(REQUESTS, 2, outcome="ok")
            await scraped.look(fake_metrics, second)
        scraped.store.close()

    asyncio.run(fill(open_store(path)))
    connection = sqlite3.connect(path)
    connection.executescript(
        "".join(f"DROP TABLE point_{level};" for level in LEVELS if level not in (1, 10, 60))
        + "PRAGMA user_version = 1"
    )
    connection.close()

    async def look(scraped: Scraped) -> None:
        await scraped.store.roll_up(7200)
        assert await total(scraped, Window(3600, 7200, 3600)) == 120
        scraped.store.close()

    asyncio.run(look(open_store(path)))
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("SELECT count(*) FROM point_3600").fetchone() == (1,)
    connection.close()


def test_what_is_older_than_is_kept_is_gone_with_its_targets(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> float:
        fake_metrics.count(REQUESTS, 3, outcome="ok")
        await scraped.look(fake_metrics, 1000, key="old")
        await scraped.look(fake_metrics, 2000, key="new")
        await scraped.store.forget(raw_before=1500, all_before=1500)
        return await total(scraped, Window(900, 2100, 1))

    assert asyncio.run(run()) == 3
    assert set(scraped.store.memories()) == {"new"}


def test_two_targets_add_up_and_a_label_of_the_target_is_a_label_of_its_series(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> Scalars:
        fake_metrics.count(REQUESTS, 3, outcome="ok")
        await scraped.look(fake_metrics, 1000, key="one", region="us-east")
        await scraped.look(fake_metrics, 1000, key="two", region="us-east")
        await scraped.look(fake_metrics, 1000, key="three", region="eu-west")
        source = scraped.source()
        found = await source.increases(
            REQUESTS, Window(1000, 1001, 1), by=("region",), match={"outcome": frozenset({"ok"})}
        )
        source.close()
        return found

    found = asyncio.run(run())
    assert dict(zip(found.labels, found.values[:, 0].tolist(), strict=True)) == {
        (("region", "us-east"),): 6.0,
        (("region", "eu-west"),): 3.0,
    }


def test_runs_are_noted_from_their_gauges(scraped: Scraped, fake_metrics: FakeMetrics) -> None:
    async def run() -> list[tuple[str, float, float | None]]:
        fake_metrics.gauge("loadgen_run_start_timestamp_seconds", 990.5, run="a")
        fake_metrics.gauge("loadgen_run_end_timestamp_seconds", 0, run="a")
        fake_metrics.gauge("loadgen_run_info", 1, run="a", users="6")
        await scraped.look(fake_metrics, 1000)
        fake_metrics.gauge("loadgen_run_end_timestamp_seconds", 1000.5, run="a")
        fake_metrics.gauge("loadgen_run_start_timestamp_seconds", 1000.75, run="b")
        await scraped.look(fake_metrics, 1001)
        source = scraped.source()
        runs = await source.runs()
        source.close()
        assert dict(runs[1].labels) == {"users": "6"}
        return [(run.run, run.start, run.end) for run in runs]

    assert asyncio.run(run()) == [("b", 1000.75, None), ("a", 990.5, 1000.5)]


def test_a_failed_write_leaves_nothing_behind(scraped: Scraped, fake_metrics: FakeMetrics) -> None:
    async def run() -> float:
        fake_metrics.count(REQUESTS, 3, outcome="ok")
        other = sqlite3.connect(scraped.path, isolation_level=None)
        other.execute(
            "CREATE TRIGGER full BEFORE INSERT ON memory BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        with pytest.raises(StoreError, match="full"):
            await scraped.look(fake_metrics, 1000)
        other.execute("DROP TRIGGER full")
        other.close()
        fake_metrics.count(REQUESTS, 2, outcome="ok")
        await scraped.look(fake_metrics, 1001)
        return await total(scraped, Window(1000, 1002, 1))

    assert asyncio.run(run()) == 5


def test_a_store_in_use_is_refused(scraped: Scraped) -> None:
    with pytest.raises(StoreError, match="in use by another dashboard"):
        Store(scraped.path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"not a database at all, but text" * 200, "not a database"),
        (b"SQLite format 3\0", "--store"),
    ],
)
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=why):
        Store(path)
    assert path.read_bytes() == content


def test_a_store_of_a_newer_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    Store(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer dashboard.*--store"):
        Store(path)
    assert path.read_bytes() == before


def test_a_damaged_store_is_refused_with_the_way_out(
    tmp_path: Path, fake_metrics: FakeMetrics, open_store: type[Scraped]
) -> None:
    path = tmp_path / "store.sqlite"
    scraped = open_store(path)

    async def fill() -> None:
        for second in range(1000, 1050):
            fake_metrics.observe(DURATIONS, 0.01 * (second - 999), region="us-east")
            await scraped.look(fake_metrics, second)

    asyncio.run(fill())
    scraped.store.close()
    damaged = bytearray(path.read_bytes())
    for page in range(1, len(damaged) // 4096):
        damaged[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    path.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"--store"):
        Store(path)
    assert path.read_bytes() == damaged


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipe (name TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        Store(path)


def test_watching_goes_on_over_a_short_break_and_begins_anew_after_a_long_one(
    tmp_path: Path, fake_metrics: FakeMetrics, open_store: type[Scraped]
) -> None:
    def watching(now: float) -> float:
        scraped = open_store(tmp_path / "store.sqlite", now=now)
        asyncio.run(scraped.look(fake_metrics, int(now)))
        since = scraped.store.watching_since()
        scraped.store.close()
        return since

    fake_metrics.gauge("loadgen_users", 1)
    assert [watching(now) for now in (1000.0, 1050.0, 5000.0)] == [1000.0, 1000.0, 5000.0]


def test_what_is_kept_in_memory_does_not_grow_with_the_file(scraped: Scraped) -> None:
    """The pages of past seconds are SQLite's own memory, which Python knows nothing of."""
    labels = tuple((("session", str(number)),) for number in range(1000))
    family = Family(REQUESTS, Kind.COUNTER, labels, np.arange(1000))
    target = Target(key="loadgen", job="test", url="http://test/metrics")
    memory = Memory([], np.zeros(0), {}, None)
    rng = np.random.default_rng(3)
    source = scraped.source()

    async def minutes(first: int, last: int) -> None:
        for minute in range(first, last):
            seconds = range(START + minute * 60, START + (minute + 1) * 60)
            counted = [Increment(family, rng.random(1000)) for _ in seconds]
            await scraped.store.write(
                [
                    ScrapeResult(target=target, second=second, increments=[one], memory=memory)
                    for second, one in zip(seconds, counted, strict=True)
                ]
            )
            await scraped.store.roll_up(seconds.stop)
            window = Window(seconds.stop - 60, seconds.stop, 1)
            # Two at once, so that both of the source's readers are there from the start.
            await asyncio.gather(
                *(source.increases(REQUESTS, window, by=(), match={}) for _ in range(2))
            )

    kept: list[tuple[float, float, int]] = []
    for first, last in ((0, 10), (10, 40)):
        asyncio.run(minutes(first, last))
        gc.collect()
        file_mib = scraped.path.stat().st_size / MIB
        kept.append((file_mib, sqlite_memory() / MIB, sys.getallocatedblocks()))
    source.close()
    (small_mib, before_mib, blocks_before), (large_mib, after_mib, blocks_after) = kept
    assert large_mib > small_mib + 15
    # A reader may have the minute that it read, 0.7 MiB of the log, or not.
    assert after_mib < before_mib + 2
    # A single object that stayed from each second would be 1,800 of them.
    assert blocks_after < blocks_before + 900


def sqlite_memory() -> int:
    """Bytes that SQLite has in this process."""
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    try:
        library.sqlite3_memory_used.restype = ctypes.c_int64
    except AttributeError:
        pytest.skip("Python's SQLite does not let itself be asked")
    return int(library.sqlite3_memory_used()) or pytest.skip("SQLite does not count its memory")
