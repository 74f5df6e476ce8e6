from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard.collector import Collector
from dashboard.config import Config
from dashboard.own_metrics import OwnMetrics
from dashboard.rollup import TIME_BITS
from dashboard.store import Store

if TYPE_CHECKING:
    from conftest import FakeTarget


def collected(path: Path, targets: list[FakeTarget], seconds: float, **more: float) -> Collector:
    config = Config(
        store=path, scrape=tuple(target.url for target in targets), scrape_given=True, **more
    )

    async def run() -> Collector:
        store = Store(path)
        collector = Collector(config, store, metrics=OwnMetrics())
        task = asyncio.create_task(collector.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.close()
        return collector

    return asyncio.run(run())


def test_a_slow_a_garbled_and_a_dead_target_do_not_hold_up_a_good_one(
    tmp_path: Path, fake_targets: list[FakeTarget]
) -> None:
    good, slow, garbled, dead = fake_targets
    for target in fake_targets:
        target.metrics.gauge("loadgen_users", 1)

    def late() -> bytes:
        time.sleep(3.0)
        return b"loadgen_users 1\n"

    slow.answer = late
    garbled.answer = lambda: b"loadgen_users 1\nloadgen_workers two\n"
    dead.close()
    collector = collected(tmp_path / "s.sqlite", fake_targets, 3.4, scrape_timeout_s=1.0)
    by_url = {status.target.url: status for status in collector.status()}
    assert by_url[good.url].up
    assert by_url[good.url].error is None
    assert by_url[slow.url].error == f"{slow.url}: no full answer within 1 s"
    assert by_url[garbled.url].error == (
        f"{garbled.url}: line 2: expected a number at the end, got 'two'"
    )
    assert by_url[dead.url].error == f"{dead.url}: connection refused: nothing listens there"
    assert not any(by_url[target.url].up for target in (slow, garbled, dead))
    took = {url: status.duration_s or 0.0 for url, status in by_url.items()}
    assert 1.0 <= took[slow.url] < 3.0
    assert 0 < took[dead.url] < took[slow.url]
    # The good one was looked at and stored again and again, and waited for none of them.
    assert 0 < took[good.url] < took[slow.url]
    connection = sqlite3.connect(tmp_path / "s.sqlite")
    keys = connection.execute("SELECT id FROM point_1").fetchall()
    connection.close()
    assert len({key & (1 << TIME_BITS) - 1 for (key,) in keys}) >= 2


def test_a_page_without_end_or_behind_a_redirect_is_refused(
    tmp_path: Path, fake_targets: list[FakeTarget]
) -> None:
    endless, moved, *_ = fake_targets
    endless.answer = lambda: b"# " + b"x" * (33 << 20) + b"\n"
    moved.status = 302
    collector = collected(tmp_path / "s.sqlite", [endless, moved], 2.2)
    errors = [status.error or "" for status in collector.status()]
    assert "more than 32 MiB" in errors[0]
    assert "expected status 200, got 302" in errors[1]


def test_the_store_s_size_is_told(tmp_path: Path) -> None:
    path, metrics = tmp_path / "s.sqlite", OwnMetrics()
    store = Store(path)
    Collector(Config(store=path), store, metrics=metrics)
    wal = path.with_name("s.sqlite-wal")
    expected = path.stat().st_size + (wal.stat().st_size if wal.exists() else 0)
    assert expected > 0
    assert f"\ndashboard_store_bytes {float(expected)!r}\n".encode() in metrics.exposition()
    store.close()
