import os
import random
from itertools import pairwise
from time import perf_counter

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from gevent.event import Event

from loadgen.arrival_schedule import WHOLE, ArrivalProcess, Share
from loadgen.step_model import StepModel


class Noting:
    """A user that takes every arrival up at once, until there were so many."""

    def __init__(self, model, region, enough):
        self.starts = []
        self._enough = enough
        self._done = Event()
        self._lane = model.dispatcher.join((Noting, region))
        assert self._lane.take(self._resumed) is None

    def _resumed(self, moment):
        self.starts.append(moment)
        if len(self.starts) >= self._enough:
            self._done.set()
        self._lane.take(self._resumed)

    def wait(self):
        assert self._done.wait(timeout=20)


@pytest.fixture
def model():
    made = StepModel(
        ArrivalProcess.CONSTANT, loop=gevent.get_hub().loop, uniform=random.Random(3).random
    )
    yield made
    made.dispatcher.end()


def test_a_region_gets_the_rate_and_the_others_nothing(model):
    east, west = Noting(model, "us-east", 50), Noting(model, "eu-west", 50)
    offered = perf_counter()
    model.offer("us-east", 1000.0, WHOLE)
    east.wait()
    assert east.starts[0] == pytest.approx(offered + 0.0005, abs=0.01)
    gaps = [after - before for before, after in pairwise(east.starts[:50])]
    assert gaps == pytest.approx([0.001] * 49)
    assert west.starts == []
    model.offer("eu-west", 1000.0, WHOLE)
    count = len(east.starts)
    west.wait()
    assert len(east.starts) == count


def test_a_share_is_so_much_of_the_rate(model):
    user = Noting(model, "us-east", 10)
    model.offer("us-east", 1000.0, Share(1, 4))
    user.wait()
    assert [b - a for a, b in pairwise(user.starts[:10])] == pytest.approx([0.004] * 9)


def test_without_a_rate_nothing_arrives_and_what_waited_is_dropped(model):
    model.offer("us-east", 1e5, WHOLE)
    while model.dispatcher.arrived().waiting < 10:
        gevent.sleep(0.001)
    model.offer("us-east", None, WHOLE)
    arrived = model.dispatcher.arrived()
    assert arrived.waiting == 0
    assert arrived.dropped == arrived.intended >= 10
    gevent.sleep(0.01)
    assert model.dispatcher.arrived() == arrived
