from __future__ import annotations

import asyncio
from math import nan
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dashboard.model import Event
from dashboard.source import Scalars
from dashboard.timeline import load_steps, timeline_of, worker_changes
from dashboard.window import Window

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

START = 1000
USERS = "Users: {0:g} to {1:g}"


def window(values: list[float], step: int = 1) -> Window:
    return Window(START, START + step * len(values), step)


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ([], []),
        ([nan, nan], []),
        ([5, 5, 5], []),
        # Where nothing was known before, it is no step.
        ([nan, 5, 5], []),
        ([0, 4, 8, 8, 8], [(1, "Users: 0 to 8")]),
        # A pause within a ramp does not end it, a longer one does.
        ([0, 4, 4, 4, 4, 4, 8], [(1, "Users: 0 to 8")]),
        ([0, 4, 4, 4, 4, 4, 4, 8], [(1, "Users: 0 to 4"), (7, "Users: 4 to 8")]),
        ([8, nan, nan, 4], [(3, "Users: 8 to 4")]),
        # One that is replaced at once is no step.
        ([8, 7, 8, 8], []),
    ],
)
def test_a_ramp_of_users_is_one_step(users: list[float], expected: list[tuple[int, str]]) -> None:
    found = load_steps(np.array(users, dtype=float), window(users), text=USERS)
    assert [(event.at - START, event.text) for event in found] == expected
    assert all(event.kind == "load_step" for event in found)


def test_load_steps_of_a_coarser_window_lie_on_its_steps() -> None:
    load = np.array([1.0, 1.0, 3.0, 3.0])
    (found,) = load_steps(load, window([1, 1, 3, 3], step=10), text=USERS)
    assert found.at == START + 20


def test_workers_that_are_lost_or_come_back_are_told_and_those_that_join_are_not() -> None:
    counted = Scalars(
        tuple((("change", change),) for change in ("joined", "lost", "returned")),
        np.array([[2, 0, 0, 0], [0, 1, nan, 2], [0, 0, 0, 1]], dtype=float),
    )
    found = worker_changes(counted, Window(START, START + 40, 10))
    assert [(event.at - START, event.kind, event.text) for event in found] == [
        (10, "worker_lost", "Worker lost"),
        (30, "worker_lost", "2 workers lost"),
        (30, "worker_returned", "Worker returned"),
    ]


def test_the_time_line_is_in_order_and_holds_what_lies_in_the_window(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def check() -> None:
        for second in range(START, START + 20):
            users = 0 if second < START + 5 else 8
            fake_metrics.gauge("loadgen_users", users, region="us-east", routing="sticky")
            fake_metrics.gauge("loadgen_arrival_rate", 50 if second < START + 15 else 87.5)
            lost = int(second == START + 12)
            fake_metrics.count("loadgen_worker_changes_total", lost, change="lost")
            fake_metrics.gauge("loadgen_run_start_timestamp_seconds", START + 3.5, run="r1")
            fake_metrics.gauge("loadgen_run_end_timestamp_seconds", START + 30.5, run="r1")
            await scraped.look(fake_metrics, second)
        note = Event(at=START + 9.25, kind="note", text="new image")
        await scraped.store.add_events([note, Event(at=START + 90.0, kind="note", text="later")])
        source = scraped.source()
        found = await timeline_of(source, Window(START, START + 20, 1))
        assert [(event.at - START, event.kind, event.text) for event in found] == [
            (3.5, "run_start", "Run r1 began"),
            (5.0, "load_step", "Users: 0 to 8"),
            (9.25, "note", "new image"),
            (12.0, "worker_lost", "Worker lost"),
            (15.0, "load_step", "Arrivals: 50/s to 87.5/s"),
        ]
        source.close()

    asyncio.run(check())
