"""Timers: never early, in the order of their deadlines, precise where the system can."""

import asyncio
import os
import sys
import time
from itertools import pairwise

import pytest

from flash.edge.delay import LoopTimers, TimerfdTimers, timers

linux = pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux' own")


def called(loop_factory, make, delays: list[float]) -> list[tuple[int, float]]:
    """Which timer went off in which order, and how much after its time (in seconds)."""
    gone: list[tuple[int, float]] = []

    async def run() -> None:
        done = asyncio.Event()
        those = make(asyncio.get_running_loop())

        def due(n: int, at: float) -> None:
            gone.append((n, time.monotonic() - at))
            if len(gone) == len(delays):
                done.set()

        for n, delay in enumerate(delays):
            at = time.monotonic() + delay
            those.call_after(delay, lambda n=n, at=at: due(n, at))
        await asyncio.wait_for(done.wait(), 20)
        those.close()

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(run())
    return gone


def test_the_earliest_deadline_goes_first_whenever_it_was_asked_for(loop_factory) -> None:
    gone = called(loop_factory, timers, [0.05, 0.01, 0.03, 0.002, 0.04])
    assert [n for n, _ in gone] == [3, 1, 2, 4, 0]


@linux
def test_equal_deadlines_keep_their_order_and_none_is_early(loop_factory) -> None:
    gone = called(loop_factory, TimerfdTimers, [0.0] * 50)
    assert [n for n, _ in gone] == list(range(50))
    assert min(late for _, late in gone) >= 0
    assert all(late >= 0 for _, late in called(loop_factory, TimerfdTimers, [0.001] * 20))


@linux
def test_a_callback_may_ask_for_another(loop_factory) -> None:
    async def run() -> list[float]:
        its, done = TimerfdTimers(asyncio.get_running_loop()), asyncio.Event()
        times = [time.monotonic()]

        def again() -> None:
            times.append(time.monotonic())
            if len(times) == 6:
                done.set()
            else:
                its.call_after(0.002, again)

        its.call_after(0.002, again)
        await asyncio.wait_for(done.wait(), 20)
        its.close()
        return times

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        times = runner.run(run())
    assert all(later - earlier >= 0.002 for earlier, later in pairwise(times))


@linux
def test_linux_has_the_precise_timers_and_the_descriptor_is_given_back() -> None:
    async def run() -> int:
        its = timers(asyncio.get_running_loop())
        assert isinstance(its, TimerfdTimers)
        its.call_after(600, lambda: None)
        its.close()
        return its._fd

    descriptor = asyncio.run(run())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_the_loops_own_timers_do_elsewhere() -> None:
    gone = called(asyncio.new_event_loop, LoopTimers, [0.03, 0.01])
    assert [n for n, _ in gone] == [1, 0]
