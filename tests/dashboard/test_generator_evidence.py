"""What tells whether the generator was the limit: how busy its processes were for a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.generator_evidence import generator_evidence, highest_mean
from flash.buckets import bucket_of, representative_s
from flash.generator_limit import CpuUse, Evidence, Limit, reasons

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

NAN = float("nan")
START = 1_700_000_000


@pytest.mark.parametrize(
    ("row", "steps", "expected"),
    [
        ([NAN, NAN], 10, NAN),
        ([1.0, 0.0, 0.0, 0.0], 4, 0.25),
        # The start of a process is busy, and says nothing of the load.
        ([NAN, 1.0, 1.0] + [0.1] * 20, 10, 0.28),
        # It was at its limit for a while, though not over all of the window.
        ([0.1] * 30 + [0.95] * 10 + [0.1] * 30, 10, 0.95),
        # Of a process that lived shortly there is no more than that.
        ([NAN, 0.5, 0.7, NAN], 10, 0.6),
        ([0.2, 0.9, 0.3], 1, 0.9),
    ],
)
def test_the_highest_mean_is_that_of_the_busiest_span(
    row: list[float], steps: int, expected: float
) -> None:
    assert highest_mean(np.array(row), steps) == pytest.approx(expected, nan_ok=True)


@given(
    st.lists(st.floats(0, 1) | st.just(NAN), min_size=1, max_size=40),
    st.integers(1, 12),
)
def test_it_is_that_of_the_spans_one_by_one(row: list[float], steps: int) -> None:
    known = [value for value in row if value == value]
    spans = [known[at : at + steps] for at in range(max(1, len(known) - steps + 1))]
    expected = max((sum(span) / len(span) for span in spans if span), default=NAN)
    assert highest_mean(np.array(row), steps) == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_a_run_is_held_to_its_mean_and_a_window_to_its_busiest_while(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    """Twelve seconds at the limit within a minute."""

    async def both() -> list[Evidence]:
        for second in range(60):
            fake_metrics.gauge("loadgen_cpu_ratio", 0.4, process="worker-0")
            busy = 20 <= second < 32
            fake_metrics.gauge("loadgen_cpu_ratio", 0.97 if busy else 0.2, process="worker-1")
            labels = {"region": "us-east", "routing": "sticky"}
            fake_metrics.observe("loadgen_request_duration_seconds", 0.05, **labels)
            fake_metrics.observe("loadgen_schedule_lag_seconds", 0.002, **labels)
            fake_metrics.count("loadgen_worker_changes_total", int(second == 50), change="lost")
            await scraped.look(fake_metrics, START + second)
        source = scraped.source(START + 60.0)
        window = await source.window(START, START + 60, 1)
        found = [await generator_evidence(source, window, busy_for_s=s) for s in (None, 10)]
        source.close()
        return found

    run, window = asyncio.run(both())
    mean = (12 * 0.97 + 48 * 0.2) / 60
    assert run.cpu["worker-1"] == CpuUse(pytest.approx(mean), 0.97)
    assert window.cpu["worker-1"] == CpuUse(pytest.approx(0.97), 0.97)
    for evidence in (run, window):
        assert evidence.cpu["worker-0"] == CpuUse(pytest.approx(0.4), 0.4)
    for evidence in (run, window):
        assert evidence.schedule_lag_p99_s == representative_s(bucket_of(0.002))
        assert evidence.latency_p99_s == representative_s(bucket_of(0.05))
        assert evidence.workers_lost == 1
    assert [one.limit for one in reasons(run)] == [Limit.WORKERS]
    assert [one.limit for one in reasons(window)] == [Limit.CPU, Limit.WORKERS]
