import contextlib
import os
import platform
import select
from time import perf_counter

import gevent
import pytest
from gevent.event import Event

from loadgen.ticker import LoopTicker, TimerfdTicker, ticker_on

linux = pytest.mark.skipif(platform.system() != "Linux", reason="Linux only")
KINDS = [pytest.param(TimerfdTicker, marks=linux), LoopTicker]
SOON_S = 0.005
# gevent's loops count in milliseconds, and round to the nearest.
EARLY_S = {TimerfdTicker: 0.0, LoopTicker: 0.001}


class Calls:
    """Notes when it was called."""

    def __init__(self):
        self.at = []
        self._called = Event()

    def __call__(self):
        self.at.append(perf_counter())
        self._called.set()

    def wait(self):
        self._called.clear()
        assert self._called.wait(timeout=10)


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture(params=KINDS)
def ticker(request, calls):
    made = request.param(gevent.get_hub().loop, calls)
    yield made
    made.close()


def timerfds():
    """This process's open timers."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own file is gone
            if os.readlink(f"/proc/self/fd/{name}") == "anon_inode:[timerfd]":
                found.add(int(name))
    return found


def settled():
    """Longer than whatever is set soon, by the loop's own timer."""
    gevent.sleep(2 * SOON_S)


def test_it_calls_once_when_its_time_has_come(ticker, calls):
    moment = perf_counter() + SOON_S
    ticker.wake_at(moment)
    calls.wait()
    assert calls.at[0] >= moment - EARLY_S[type(ticker)]
    settled()
    assert len(calls.at) == 1


def test_what_was_told_last_counts(ticker, calls):
    moment = perf_counter() + 2 * SOON_S
    ticker.wake_at(perf_counter() + 3600)
    ticker.wake_at(perf_counter() + SOON_S / 2)
    ticker.wake_at(moment)
    calls.wait()
    settled()
    assert len(calls.at) == 1
    assert calls.at[0] >= moment - EARLY_S[type(ticker)]


@pytest.mark.parametrize("ago_s", [0.0, 1e-6, 5.0, 1e9])
def test_a_time_that_has_passed_is_at_once_but_not_within_the_call(ticker, calls, ago_s):
    ticker.wake_at(perf_counter() - ago_s)
    assert calls.at == []
    calls.wait()
    settled()
    assert len(calls.at) == 1


def test_it_is_set_again_from_within_its_call():
    called = []
    done = Event()

    def again():
        called.append(perf_counter())
        if len(called) < 20:
            ticker.wake_at(called[0] + len(called) * 0.0005)
        else:
            done.set()

    ticker = ticker_on(gevent.get_hub().loop, again)
    ticker.wake_at(perf_counter())
    assert done.wait(timeout=10)
    ticker.close()
    late = [at - called[0] - place * 0.0005 for place, at in enumerate(called)]
    assert len(called) == 20
    assert min(late) >= -0.001


def test_what_is_cancelled_is_not_called(ticker, calls):
    ticker.wake_at(perf_counter() + SOON_S / 2)
    ticker.cancel()
    settled()
    assert calls.at == []
    ticker.wake_at(perf_counter())
    calls.wait()


def test_what_is_closed_is_not_called_and_may_be_closed_again(ticker, calls):
    ticker.wake_at(perf_counter() + SOON_S / 2)
    ticker.close()
    ticker.close()
    settled()
    assert calls.at == []


@linux
def test_the_kernels_timer_stays_quiet_after_its_call_and_is_gone_after_close(calls):
    before = timerfds()
    ticker = TimerfdTicker(gevent.get_hub().loop, calls)
    (file,) = timerfds() - before
    ticker.wake_at(perf_counter())
    calls.wait()
    assert select.select([file], [], [], 0)[0] == []
    ticker.close()
    assert timerfds() == before


@linux
def test_a_hub_that_has_only_the_ticker_waits_for_it(calls):
    """Without a watcher of its own gevent would say that this would block forever."""
    greenlet = gevent.getcurrent()
    ticker = TimerfdTicker(gevent.get_hub().loop, greenlet.switch)
    ticker.wake_at(perf_counter() + SOON_S)
    gevent.get_hub().switch()
    ticker.close()


@linux
def test_linux_has_the_kernels_timer():
    ticker = ticker_on(gevent.get_hub().loop, lambda: None)
    assert isinstance(ticker, TimerfdTicker)
    ticker.close()
