import os
from collections import Counter

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Group
from locust import constant, task
from locust.env import Environment

from loadgen.generator import Generator
from loadgen.options import Options
from loadgen.users import FlashUser

URLS = ("us-east=http://127.0.0.1:1", "eu-west=http://127.0.0.1:2", "ap-south=http://127.0.0.1:3")


class Counting(FlashUser):
    """Its tasks give way to others once, as a request does, and are counted at both ends."""

    wait_time = constant(0)
    begun = 0
    finished = 0

    @task
    def one(self) -> None:
        self.begun += 1
        gevent.sleep(0)
        self.finished += 1


class Waiting(Counting):
    wait_time = constant(3600)


class Busy(FlashUser):
    """Its task does not end by itself."""

    begun = 0
    finished = 0

    @task
    def one(self) -> None:
        self.begun += 1
        Event().wait()
        self.finished += 1


class Sticky(Counting):
    routing = "sticky"


@pytest.fixture
def generator() -> Generator:
    return Generator(Environment(), Options(flash_urls=URLS))


def _turns(condition) -> None:
    """Let the others run until it is so."""
    for _ in range(1000):
        if condition():
            return
        gevent.sleep(0)
    pytest.fail("it did not come to that")


def test_users_of_each_class_are_spread_evenly_over_the_regions(generator):
    for kind in (Counting, Sticky):
        users = [kind(generator.environment) for _ in range(7)]
        assert sorted(Counter(user.region for user in users).values()) == [2, 2, 3]
        for user in users:
            assert user.client.base_url == generator.urls[user.region]


def test_a_sticky_user_has_a_session_of_its_own_and_others_none(generator):
    sticky = [Sticky(generator.environment) for _ in range(3)]
    assert len({user.client.session for user in sticky}) == 3
    assert Counting(generator.environment).client.session is None


def test_a_user_is_counted_in_its_region_from_start_to_end(generator):
    user = Waiting(generator.environment)
    channel = generator.recorder.channel(user.region, "non_sticky")
    group = Group()
    user.start(group)
    assert channel.gauges.users == 1
    _turns(lambda: user._state == "waiting")
    assert user.stop() is True
    assert group.join(timeout=5)
    gevent.sleep(0)
    assert channel.gauges.users == 0
    # The next one of its kind takes the place that became free.
    assert Waiting(generator.environment).region == user.region


def test_a_user_that_is_stopped_as_its_pause_ends_begins_no_task(generator):
    user = Counting(generator.environment)
    group = Group()
    user.start(group)
    _turns(lambda: user.finished and user._state == "waiting")
    # Its pause of no length is over with the next turn, before it can be killed.
    user.stop()
    assert group.join(timeout=5)
    assert user.begun == user.finished > 0


def test_a_user_that_is_stopped_in_a_task_finishes_it(generator):
    user = Counting(generator.environment)
    group = Group()
    user.start(group)
    _turns(lambda: user.begun > user.finished)
    assert user.stop() is False
    assert group.join(timeout=5)
    assert user.begun == user.finished


def test_a_user_that_is_stopped_by_force_is_cut_off(generator):
    user = Busy(generator.environment)
    group = Group()
    user.start(group)
    _turns(lambda: user.begun)
    user.stop(force=True)
    assert group.join(timeout=5)
    assert (user.begun, user.finished) == (1, 0)
