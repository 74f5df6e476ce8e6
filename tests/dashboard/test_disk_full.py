"""No room under the store: it is told once, and it goes on by itself with nothing lost."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dashboard.chores import Chores
from dashboard.config import Config
from dashboard.errors import ScrapeError, StoreError
from dashboard.model import Event
from dashboard.platform_watch import PlatformWatch
from dashboard.store import Store
from dashboard.troubles import Troubles
from dashboard.window import Window

if TYPE_CHECKING:
    from conftest import Dashboard, FakeMetrics, FakeTarget, Scraped, Until

REQUESTS = "loadgen_requests_total"
DURATIONS = "loadgen_request_duration_seconds"


def limit(store: Store, pages: int) -> None:
    """As many pages as the store may have, as on a disk that has no more room."""
    store._submit(lambda c: c.execute(f"PRAGMA max_page_count = {pages}").fetchone()).result()


def pages_of(store: Store) -> int:
    (pages,) = store._submit(lambda c: c.execute("PRAGMA page_count").fetchone()).result()
    return int(pages)


async def total(scraped: Scraped, window: Window) -> float:
    source = scraped.source()
    found = await source.increases(REQUESTS, window, by=(), match={})
    source.close()
    return float(np.nansum(found.values))


def test_what_is_counted_while_there_is_no_room_is_stored_when_there_is(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    rng = np.random.default_rng(3)

    async def second(at: int) -> None:
        fake_metrics.count(REQUESTS, 5, outcome="ok")
        fake_metrics.observe(DURATIONS, *rng.lognormal(-3, 2, 200).tolist(), region="us-east")
        await scraped.look(fake_metrics, at)

    async def run() -> None:
        at = 1000
        for at in range(1000, 1010):
            await second(at)
        limit(scraped.store, pages_of(scraped.store))
        refused = 0
        told: set[str] = set()
        while refused < 20:
            at += 1
            try:
                await second(at)
            except StoreError as error:
                told.add(str(error))
                refused += 1
        assert told == {
            f"cannot write {scraped.path}: database or disk is full; make room on its disk, and it "
            "goes on by itself"
        }
        shown = await total(scraped, Window(1000, at + 1, 1))
        assert shown < 5 * (at - 999)
        limit(scraped.store, 1_000_000)
        await second(at + 1)
        assert await total(scraped, Window(1000, at + 2, 1)) == 5 * (at - 998)
        source = scraped.source()
        found = await source.histograms(DURATIONS, Window(1000, at + 2, 1), by=(), match={})
        source.close()
        assert found.counts.sum() == 200 * (at - 998)

    asyncio.run(run())
    scraped.store.close()
    connection = sqlite3.connect(scraped.path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_store_that_cannot_even_be_rolled_back_answers_again_when_it_can(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    """Whatever a failing disk does, the thread that writes lives on and callers get an answer."""

    def fails(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")  # what comes after it then fails as well
        raise sqlite3.OperationalError("disk I/O error")

    async def run() -> float:
        fake_metrics.count(REQUESTS, 3, outcome="ok")
        await scraped.look(fake_metrics, 1000)
        for _ in range(3):
            with pytest.raises(StoreError, match="disk I/O error"):
                await scraped.store._run(fails)
        fake_metrics.count(REQUESTS, 4, outcome="ok")
        await asyncio.wait_for(scraped.look(fake_metrics, 1001), 5)
        return await total(scraped, Window(1000, 1002, 1))

    assert asyncio.run(run()) == 7


def test_events_that_nobody_tells_again_wait_for_room(
    scraped: Scraped, caplog: pytest.LogCaptureFixture
) -> None:
    config = Config(modal_app="a", modal_server="s")

    async def run() -> list[str]:
        chores = Chores(Troubles(logging.getLogger("test")))
        watch = PlatformWatch(config, scraped.store, chores)
        with sqlite3.connect(scraped.path, isolation_level=None) as other:
            other.execute(
                "CREATE TRIGGER full BEFORE INSERT ON event BEGIN SELECT RAISE(ABORT, 'full'); END"
            )
            for number in range(3):
                watch._happened([Event(at=100.0 + number, kind="container_live", text=f"{number}")])
                watch.tick(nobody)
                await asyncio.sleep(0.05)
            other.execute("DROP TRIGGER full")
        other.close()
        watch.tick(nobody)
        await asyncio.sleep(0.05)
        await chores.end()
        source = scraped.source()
        events = await source.events(0, 1000)
        source.close()
        return [event.text for event in events]

    async def nobody(url: str) -> bytes:
        raise ScrapeError(f"nobody is at {url}")

    assert asyncio.run(run()) == ["0", "1", "2"]
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"storing failed: cannot write {scraped.path}: full"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a file system can be mounted by root on Linux only")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write until there is no more room."""
    with file.open("wb", buffering=0) as opened, suppress(OSError):
        while True:
            opened.write(b"\0" * 4096)


@pytest.mark.end_to_end
def test_a_real_disk_fills_up_and_is_emptied_again(
    small_disk: Path,
    fake_target: FakeTarget,
    start: Callable[..., Dashboard],
    until: Until,
) -> None:
    folder, began = small_disk, time.time() - 5
    fake_target.metrics.count(REQUESTS, 0, outcome="ok")
    fake_target.metrics.gauge("process_start_time_seconds", time.time())
    dashboard = start(folder / "s.sqlite", "--scrape", fake_target.url)
    until(lambda: dashboard.get("/api/targets")[0]["up"])
    ballast = folder / "ballast"
    fill(ballast)
    counted = 0

    def full() -> bool:
        nonlocal counted
        fake_target.metrics.count(REQUESTS, 1, outcome="ok")
        counted += 1
        for number in range(40):
            fake_target.metrics.observe(DURATIONS, 0.001 * (number + counted), region=f"{number}")
        return not dashboard.get("/api/targets")[0]["up"]

    until(full, 30)
    error = dashboard.get("/api/targets")[0]["error"]
    assert "not stored: cannot write" in error
    assert "make room on its disk" in error
    # It still answers with what it has, and keeps trying.
    shown = dashboard.total("throughput", began)
    for _ in range(30):
        full()
        time.sleep(0.1)
    assert dashboard.total("throughput", began) >= shown
    ballast.unlink()
    until(lambda: dashboard.get("/api/targets")[0]["up"])
    until(lambda: dashboard.total("throughput", began) >= counted)
    assert dashboard.total("throughput", began) == counted
    time.sleep(6)  # so long it must work before that is told
    code, told = dashboard.stop()
    assert code == 0
    first, *rest = told.splitlines()
    assert first.startswith(f"dashboard: storing failed: cannot write {folder}/s.sqlite: ")
    assert rest == ["dashboard: storing works again"]
    connection = sqlite3.connect(folder / "s.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
