import os
import random

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Group
from locust import TaskSet, constant, task
from locust.env import Environment

from loadgen.arrival_schedule import ArrivalProcess, RateSchedule
from loadgen.generator import Generator
from loadgen.open_model import OpenModel
from loadgen.options import Options
from loadgen.users import FlashUser

URLS = ("us-east=http://127.0.0.1:1", "eu-west=http://127.0.0.1:2")


class Visitor(FlashUser):
    """Its tasks note the intended start that their request would use up, and end when let."""

    wait_time = constant(3600)

    def on_start(self):
        self.met = []
        self.free = Event()
        self.free.set()

    @task
    def visit(self):
        self.met.append(self.client.intended_start)
        self.client.intended_start = None  # as a request does
        self.client.gave_way = True
        self.free.wait()


class Failing(Visitor):
    @task
    def visit(self):
        self.met.append(self.client.intended_start)
        raise RuntimeError("the task is at fault")


class Idle(Visitor):
    """Its tasks make no request."""

    @task
    def visit(self):
        self.met.append(self.client.intended_start)


class Nested(FlashUser):
    wait_time = constant(3600)

    def on_start(self):
        self.met = []

    @task
    class Inner(TaskSet):
        @task
        def visit(self):
            self.user.met.append(self.user.client.intended_start)
            self.user.client.intended_start = None
            if len(self.user.met) % 3 == 0:
                self.interrupt()


@pytest.fixture
def generator():
    made = Generator(Environment(), Options(flash_urls=URLS))
    made.open_model = OpenModel(
        RateSchedule.parse("1000"),
        ArrivalProcess.CONSTANT,
        loop=gevent.get_hub().loop,
        uniform=random.Random(1).random,
    )
    yield made
    made.open_model.end()


@pytest.fixture
def group():
    made = Group()
    yield made
    made.kill(timeout=5)


def until(condition):
    """Let the others run until it is so."""
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.001)


def started(generator, kind, group):
    user = kind(generator.environment)
    user.start(group)
    until(lambda: user._state == "waiting")
    return user


def test_each_task_is_begun_for_an_arrival_and_the_first_one_too(generator, group):
    user = started(generator, Visitor, group)
    assert user.met == []
    generator.open_model.begin()
    until(lambda: len(user.met) >= 20)
    first = user.met[0]
    assert user.met[:20] == pytest.approx([first + k / 1000 for k in range(20)], abs=1e-6)


def test_arrivals_during_a_long_task_wait_and_keep_their_intended_starts(generator, group):
    user = started(generator, Visitor, group)
    user.free.clear()
    generator.open_model.begin()
    dispatcher = generator.open_model.dispatcher
    until(lambda: dispatcher.arrived().waiting >= 10)
    assert len(user.met) == 1
    user.free.set()
    until(lambda: len(user.met) >= 11)
    assert user.met[:11] == pytest.approx([user.met[0] + k / 1000 for k in range(11)], abs=1e-6)


@pytest.mark.parametrize("kind", [Failing, Idle])
def test_a_task_without_a_request_uses_its_arrival_up(generator, group, kind, caplog):
    user = started(generator, kind, group)
    generator.open_model.begin()
    until(lambda: len(user.met) >= 5)
    assert user.met[:5] == pytest.approx([user.met[0] + k / 1000 for k in range(5)], abs=1e-6)


def test_nested_tasks_are_begun_for_arrivals_as_well(generator, group):
    user = started(generator, Nested, group)
    generator.open_model.begin()
    until(lambda: len(user.met) >= 10)
    assert user.met[:10] == pytest.approx([user.met[0] + k / 1000 for k in range(10)], abs=1e-6)


def test_a_user_that_waits_for_an_arrival_can_be_stopped(generator, group):
    gone, here = (started(generator, Visitor, group) for _ in range(2))
    assert gone.stop() is True
    until(lambda: gone.greenlet.dead)
    generator.open_model.begin()
    until(lambda: len(here.met) >= 3)
    assert gone.met == []
    arrived = generator.open_model.end()
    assert arrived.intended == arrived.started + arrived.dropped


def test_who_is_resumed_while_stopping_leaves_the_arrival_to_others(generator, group):
    gone, here = (started(generator, Visitor, group) for _ in range(2))
    # Told to stop, but not gone yet: the arrival comes first.
    gone._state = "stopping"
    generator.open_model.begin()
    until(lambda: gone.greenlet.dead and len(here.met) >= 2)
    assert gone.met == []
    assert here.met[1] - here.met[0] == pytest.approx(0.001, abs=1e-6)


def test_a_user_that_ends_before_its_request_leaves_the_arrival_to_others(generator, group):
    gone = started(generator, Idle, group)
    here = started(generator, Visitor, group)
    lane = generator.open_model.dispatcher.join((Idle, gone.region))
    generator.open_model.begin()
    until(lambda: gone.met)
    gone.client.intended_start = gone.met[-1]
    before = generator.open_model.dispatcher.arrived()
    gone.greenlet.kill()
    gevent.sleep(0)
    assert lane.users == 1
    lane.leave()
    until(lambda: gone.met[-1] in here.met)
    assert generator.open_model.dispatcher.arrived().intended >= before.intended


def test_users_of_each_region_get_their_part_whatever_the_others_do(generator, group):
    users = [started(generator, Visitor, group) for _ in range(2)]
    assert users[0].region != users[1].region
    users[0].free.clear()
    generator.open_model.begin()
    until(lambda: len(users[1].met) >= 10)
    assert users[1].met[:10] == pytest.approx(
        [users[1].met[0] + k / 500 for k in range(10)], abs=1e-6
    )
    assert len(users[0].met) == 1
