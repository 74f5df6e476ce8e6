from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dashboard.collector import Collector
from dashboard.config import Config
from dashboard.embedded import EmbeddedSource
from dashboard.own_metrics import OwnMetrics
from dashboard.rollup import TIME_BITS
from dashboard.store import Store
from dashboard.window import Window

if TYPE_CHECKING:
    from conftest import AsyncUntil, FakeTarget


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


def test_containers_are_counted_while_the_platform_answers_and_never_when_it_does_not(
    tmp_path: Path, fake_target: FakeTarget, async_until: AsyncUntil
) -> None:
    """A pretended edge has two containers, then none, then does not answer, then has one."""
    path, metrics = tmp_path / "s.sqlite", OwnMetrics()
    edge = fake_target.url.removesuffix("/metrics")
    config = Config(store=path, flash_edge=edge, scrape=(), scrape_given=True)
    stages: list[int] = []

    def tell(*states: str, status: int = 200) -> None:
        told = [
            {"task_id": f"ta-{n}", "region": "eu-west", "host": "127.0.0.1", "port": 9, "state": of}
            for n, of in enumerate(states)
        ]
        body = json.dumps(told).encode()
        fake_target.answer, fake_target.status = lambda: body, status

    def counted() -> list[int]:
        return [number for _, number in sorted(metrics.container_counts.items())]

    async def run() -> None:
        store = Store(path)
        collector = Collector(config, store, metrics=metrics)
        tell("live", "starting")
        task = asyncio.create_task(collector.run())
        for states, status, expected in (
            (("live", "starting"), 200, [0, 1, 1]),
            ((), 200, [0, 0, 0]),
            ((), 503, []),
            (("draining",), 200, [1, 0, 0]),
        ):
            tell(*states, status=status)
            await async_until(lambda expected=expected: counted() == expected)
            stages.append(int(time.time()))
            collector.take_changes()
            if expected:
                await async_until(lambda: collector.take_changes() is not None)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.close()

    asyncio.run(run())
    source = EmbeddedSource(path)
    window = Window(stages[0] - 5, stages[-1] + 5, 1)
    found = asyncio.run(
        source.gauges("dashboard_containers", window, by=("region", "state"), match={})
    )
    source.close()
    assert [dict(labels) for labels in found.labels] == [
        {"region": "eu-west", "state": state} for state in ("starting", "live", "draining")
    ]
    # Nothing before the first answer and after the end, and between them a gap.
    rows = [tuple(row) for row in found.values.T.tolist()]
    told = [None if np.isnan(row).all() else row for row in rows]
    assert list(dict.fromkeys(told)) == [None, (1, 1, 0), (0, 0, 0), (0, 0, 1)]
    assert None in told[told.index((0, 0, 0)) : told.index((0, 0, 1))]
