import os
import time
from types import ModuleType

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust import runners as locust_runners
from locust import stats as locust_stats

from loadgen.steady_clock import SteadyClock, keep_time


class Clocks:
    """A wall clock that can be set, and ticks that cannot."""

    def __init__(self) -> None:
        self.wall, self.ticks = 1_700_000_000.0, 50.0
        self.steady = SteadyClock(lambda: self.wall, lambda: self.ticks)

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.ticks += seconds


def test_it_shows_the_time_while_nobody_sets_the_clock():
    clocks = Clocks()
    clocks.wait(7.25)
    assert clocks.steady() == 1_700_000_007.25


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(-1e7, 1e7)), max_size=20))
def test_what_passes_is_what_really_passed_however_the_clock_is_set(waits):
    clocks = Clocks()
    shown = [clocks.steady()]
    for seconds, step in waits:
        clocks.wait(seconds)
        clocks.wall += step
        shown.append(clocks.steady())
        assert shown[-1] - shown[-2] == pytest.approx(seconds, abs=1e-6)
    assert shown == sorted(shown)


def test_a_look_takes_over_what_the_clock_was_set_to():
    clocks = Clocks()
    clocks.wall -= 3600
    assert clocks.steady() == 1_700_000_000.0
    clocks.steady.look()
    clocks.wait(2)
    assert clocks.steady() == 1_700_000_002.0 - 3600


def test_a_module_is_given_another_time_and_nobody_else():
    module = ModuleType("some")
    module.time = time
    keep_time(module, lambda: 5.0)
    assert module.time.time() == 5.0
    assert module.time.monotonic is time.monotonic
    assert time.time() > 1_700_000_000
    keep_time(module, lambda: 6.0)
    assert module.time.time() == 6.0


@pytest.mark.parametrize("module", [locust_runners, locust_stats])
def test_locust_takes_the_time_where_it_is_kept(module):
    """Else it would go on by the machine's clock, and nothing here would show it."""
    assert module.time.monotonic is time.monotonic
