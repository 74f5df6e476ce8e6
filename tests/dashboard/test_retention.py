from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.config import LEAST_RAW_S, Config
from dashboard.retention import Cut, Retention, next_cut
from dashboard.store import Kept
from dashboard.window import Window

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

DURATIONS = "loadgen_request_duration_seconds"
START = 1_700_000_040
"""A full minute."""


def kept(raw_from: int | None, all_from: int | None) -> Kept:
    return Kept(file_bytes=0, used_bytes=0, raw_from=raw_from, all_from=all_from)


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        # An eighth of two hours of raw seconds.
        (kept(2_800, 0), Cut(raw_before=3_660, all_before=0)),
        # At least a minute, at most down to the newest ten minutes.
        (kept(9_300, 0), Cut(raw_before=9_360, all_before=0)),
        (kept(9_360, 0), Cut(raw_before=1_200, all_before=1_200)),
        (kept(None, 6_000), Cut(raw_before=6_480, all_before=6_480)),
        (kept(9_600, 9_600), None),
        (kept(None, None), None),
    ],
)
def test_the_oldest_finest_points_go_first(there: Kept, expected: Cut | None) -> None:
    assert next_cut(there, 10_000) == expected


@given(st.integers(0, 10**9), st.integers(0, 10**7), st.integers(0, 10**7))
def test_cutting_comes_to_an_end_and_never_takes_the_newest(now: int, raw: int, whole: int) -> None:
    raw_from, all_from = max(0, now - raw), max(0, now - raw - whole)
    for _ in range(1000):
        cut = next_cut(kept(raw_from, all_from), now)
        if cut is None:
            break
        assert (cut.raw_before > raw_from) or (cut.all_before > all_from)
        assert max(cut.raw_before, cut.all_before) <= now - LEAST_RAW_S
        raw_from, all_from = max(raw_from, cut.raw_before), max(all_from, cut.all_before)
    assert next_cut(kept(raw_from, all_from), now) is None


def test_a_store_above_its_limit_loses_its_oldest_seconds_and_not_what_they_came_to(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    rng = random.Random(1)
    seconds = 2_400
    end = START + seconds

    async def run() -> None:
        for second in range(START, end):
            fake_metrics.observe(DURATIONS, *(rng.lognormvariate(-3, 1) for _ in range(20)))
            await scraped.look(fake_metrics, second)
        await scraped.store.roll_up(end)
        before = await scraped.store.kept()
        assert before.raw_from == before.all_from == START
        limit = before.used_bytes * 2 // 3
        retention = Retention(Config(store_limit_bytes=limit), scraped.store)
        await retention.keep(end)
        after = await scraped.store.kept()
        assert after.used_bytes <= limit
        assert after.file_bytes <= limit
        assert after.all_from == START
        assert after.raw_from is not None
        assert START + 300 < after.raw_from <= end - LEAST_RAW_S

        # The regular deletion, which allows two hours of seconds, does not make them seem kept.
        await retention.keep(end + 60)
        source = scraped.source()
        window = await source.window(START, end, 1)
        assert window.step == 10
        found = await source.histograms(DURATIONS, window, by=(), match={})
        assert found.counts.sum() == 20 * seconds
        newest = Window(end - LEAST_RAW_S, end, 1)
        found = await source.histograms(DURATIONS, newest, by=(), match={})
        assert found.counts.sum(axis=2).tolist() == [[20.0] * LEAST_RAW_S]
        source.close()

        # A limit that the coarser points alone exceed takes them as well, the oldest first.
        limit = (await scraped.store.kept()).used_bytes // 2
        await Retention(Config(store_limit_bytes=limit), scraped.store).keep(end + 60)
        last = await scraped.store.kept()
        assert last.all_from is not None
        assert last.all_from > START
        source = scraped.source()
        found = await source.histograms(DURATIONS, newest, by=(), match={})
        assert np.count_nonzero(found.scraped) > 500
        source.close()

    asyncio.run(run())
