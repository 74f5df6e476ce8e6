import os
import random
from argparse import Namespace
from itertools import pairwise
from time import perf_counter

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from gevent.event import Event

from loadgen.arrival_schedule import ArrivalProcess, RateSchedule, Share
from loadgen.errors import UsageError
from loadgen.lease import Lease
from loadgen.open_model import OpenModel
from loadgen.options import Options


def model_of(text, process=ArrivalProcess.CONSTANT):
    return OpenModel(
        RateSchedule.parse(text),
        process,
        loop=gevent.get_hub().loop,
        uniform=random.Random(3).random,
    )


class Noting:
    """Takes every arrival up at once, until there were so many."""

    def __init__(self, model, enough):
        self.starts = []
        self._enough = enough
        self._done = Event()
        self._lane = model.dispatcher.join("lane")
        self._take()

    def _take(self):
        while (moment := self._lane.take(self._resumed)) is not None:
            self._note(moment)

    def _resumed(self, moment):
        self._note(moment)
        self._take()

    def _note(self, moment):
        self.starts.append((moment, perf_counter()))
        if len(self.starts) >= self._enough:
            self._done.set()

    def wait(self):
        assert self._done.wait(timeout=20)


@pytest.fixture
def model():
    made = model_of("0:1000,0.1:1000,0.1:0")
    yield made
    made.end()


def test_arrivals_come_at_their_rate_from_the_beginning_on_and_never_early(model):
    user = Noting(model, 100)
    begun = perf_counter()
    model.begin()
    model.begin()
    user.wait()
    intended = [start for start, _ in user.starts]
    first = intended[0]
    assert 0.1 <= first - begun < 1
    assert intended == pytest.approx([first + k / 1000 for k in range(100)], abs=1e-6)
    assert all(seen >= meant for meant, seen in user.starts)
    arrived = model.end()
    assert (arrived.intended, arrived.started, arrived.dropped) == (100, 100, 0)


def test_nothing_comes_before_it_begins_or_after_it_ends(model):
    user = Noting(model, 1)
    gevent.sleep(0.01)
    assert user.starts == []
    model.begin()
    assert model.end().intended == 0
    model.take_lease(Lease(Share(0, 2), 0.0, 1.0), elapsed_s=0.0)
    gevent.sleep(0.01)
    assert user.starts == []


def test_a_lease_that_comes_late_is_begun_late_and_whole(model):
    """The schedule is over already: all 50 of it come at once, each with its intended start."""
    user = Noting(model, 50)
    called = perf_counter()
    model.take_lease(Lease(Share(1, 2), 0.0, 0.2), elapsed_s=0.25)
    user.wait()
    intended = [round((start - called - 0.1 + 0.25) * 1000 - 0.5) for start, _ in user.starts]
    assert intended == pytest.approx(range(1, 100, 2), abs=2)
    assert model.dispatcher.arrived().intended == 50


def test_leases_go_on_with_the_same_beginning(model):
    user = Noting(model, 10)
    model.take_lease(Lease(Share(0, 10), 0.0, 0.05), elapsed_s=0.0)
    gevent.sleep(0.01)
    # The message was long on its way.
    model.take_lease(Lease(Share(5, 10), 0.05, 0.2), elapsed_s=77.0)
    user.wait()
    ms = [(start - user.starts[0][0]) * 1000 for start, _ in user.starts]
    assert ms == pytest.approx([0, 10, 20, 30, 40, 55, 65, 75, 85, 95])
    assert model.dispatcher.arrived().intended == 10


def test_a_poisson_process_has_its_own_gaps():
    model = model_of("20000", ArrivalProcess.POISSON)
    user = Noting(model, 200)
    model.begin()
    user.wait()
    model.end()
    starts = [start for start, _ in user.starts[:200]]
    gaps = {round(after - before, 9) for before, after in pairwise(starts)}
    assert len(gaps) > 190


def test_options_tell_the_rate_and_the_process():
    parsed = Namespace(arrival_rate="0:100,60:1000", arrival_process="poisson")
    options = Options.of(parsed)
    assert options.arrival_rate == RateSchedule(((0.0, 100.0), (60.0, 1000.0)))
    assert options.arrival_process is ArrivalProcess.POISSON
    # An empty field of Locust's form is none.
    assert Options.of(Namespace(arrival_rate="", arrival_process="constant")) == Options()


@pytest.mark.parametrize(
    "given", [{"arrival_rate": "fast"}, {"arrival_rate": "10", "arrival_process": "pareto"}]
)
def test_options_that_are_no_load_are_refused(given):
    with pytest.raises(UsageError):
        Options.of(Namespace(**given))
