from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dashboard.errors import NotFoundError, StoreError
from dashboard.finished_run import FinishedRun, find_run, stored
from dashboard.store import SCHEMA_VERSION, Store

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

START = 1_700_000_000


def told(metrics: FakeMetrics, run: str, start: float, end: float) -> None:
    metrics.gauge("loadgen_run_start_timestamp_seconds", start, run=run)
    metrics.gauge("loadgen_run_end_timestamp_seconds", end, run=run)


@pytest.fixture
def three_runs(scraped: Scraped, fake_metrics: FakeMetrics) -> Path:
    """One that ended, one whose end nobody saw, and one that was going on at the last scrape."""
    told(fake_metrics, "ended", START + 0.5, START + 9.25)
    asyncio.run(scraped.look(fake_metrics, START + 10))
    told(fake_metrics, "lost", START + 20.5, 0)
    asyncio.run(scraped.look(fake_metrics, START + 21))
    told(fake_metrics, "going on", START + 30.5, 0)
    asyncio.run(scraped.look(fake_metrics, START + 31))
    asyncio.run(scraped.look(fake_metrics, START + 35))
    return scraped.path


def found(path: Path, name: str) -> FinishedRun:
    with stored(path) as source:
        return asyncio.run(find_run(source, name))


@pytest.mark.parametrize(
    ("name", "run", "start", "end"),
    [
        ("ended", "ended", 0, 11),
        ("lost", "lost", 20, 32),
        ("going on", "going on", 30, 36),
        ("latest", "going on", 30, 36),
    ],
)
def test_a_run_is_found_with_its_time(
    three_runs: Path, name: str, run: str, start: int, end: int
) -> None:
    one = found(three_runs, name)
    assert (one.run.run, one.start - START, one.end - START) == (run, start, end)


def test_an_unknown_run_is_told_with_those_there_are(three_runs: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no run 'r9'; there are going on, lost, ended$"):
        found(three_runs, "r9")


def test_a_store_without_a_run_says_so(scraped: Scraped) -> None:
    with pytest.raises(NotFoundError, match="the store has no run"):
        found(scraped.path, "latest")


def test_a_store_is_read_while_and_after_a_dashboard_has_it(three_runs: Path, scraped: Scraped):
    during = found(three_runs, "ended")
    scraped.store.close()
    assert found(three_runs, "ended") == during
    before = three_runs.read_bytes()
    assert found(three_runs, "ended") == during
    assert three_runs.read_bytes() == before
    Store(three_runs).close()  # nobody holds it


def test_what_is_no_store_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    missing = tmp_path / "none.sqlite"
    with pytest.raises(StoreError, match=r"there is no store .*none\.sqlite; run"):
        found(missing, "latest")
    assert not missing.exists()
    text = tmp_path / "text"
    text.write_text("no database at all" * 100)
    with pytest.raises(StoreError, match="cannot be read: file is not a database"):
        found(text, "latest")
    empty = tmp_path / "empty"
    empty.touch()
    with pytest.raises(StoreError, match="is empty"):
        found(empty, "latest")
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(StoreError, match="another program"):
        found(tmp_path / "other", "latest")


def test_a_store_of_a_newer_version_is_not_read(scraped: Scraped) -> None:
    scraped.store.close()
    newer = sqlite3.connect(scraped.path)
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    with pytest.raises(StoreError, match="newer dashboard"):
        found(scraped.path, "latest")


def test_a_store_of_an_older_version_is_to_be_brought_up_first(scraped: Scraped) -> None:
    """It lacks the tables of levels that there were not then."""
    scraped.store.close()
    older = sqlite3.connect(scraped.path)
    older.execute("PRAGMA user_version = 1")
    older.close()
    with pytest.raises(StoreError, match="has version 1, written by an older dashboard; start"):
        found(scraped.path, "latest")


@pytest.mark.parametrize(
    ("start", "end", "noted"),
    [
        (START + 0.5, START + 9.5, [(START + 0.5, START + 9.5)]),
        (START + 0.5, 0.0, [(START + 0.5, None)]),
        # What cannot be a time is none, whoever tells it.
        (float("inf"), 0.0, []),
        (float("nan"), 0.0, []),
        (2.0**33, 0.0, []),
        (-1.0, 0.0, []),
        (START + 0.5, float("inf"), [(START + 0.5, None)]),
        (START + 0.5, float("nan"), [(START + 0.5, None)]),
        (START + 9.5, START + 0.5, [(START + 9.5, None)]),
    ],
)
def test_only_times_that_can_be_are_those_of_a_run(
    scraped: Scraped,
    fake_metrics: FakeMetrics,
    start: float,
    end: float,
    noted: list[tuple[float, float | None]],
) -> None:
    told(fake_metrics, "r1", start, end)
    page = fake_metrics.exposition().replace(b" inf\n", b" +Inf\n").replace(b" nan\n", b" NaN\n")
    fake_metrics.exposition = lambda: page  # type: ignore[method-assign]
    asyncio.run(scraped.look(fake_metrics, START + 10))
    source = scraped.source()
    runs = asyncio.run(source.runs())
    source.close()
    assert [(run.start, run.end) for run in runs] == noted
