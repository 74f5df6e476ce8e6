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

from loadgen.cold_start_policy import ColdStartPolicy
from loadgen.flash_client import FlashClient
from loadgen.generator import Generator
from loadgen.options import Options
from loadgen.session import SessionLimit
from loadgen.session_client import SessionClient
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


class Brief(Sticky):
    session_requests = 5


def _limit(user: FlashUser) -> SessionLimit | None:
    return user.client._limit if isinstance(user.client, SessionClient) else None


def test_sessions_are_renewed_as_the_class_says_or_else_the_options():
    options = Options(flash_urls=URLS, session_requests=7, session_seconds=60.0)
    limited = Generator(Environment(), options).environment
    assert _limit(Sticky(limited)) == SessionLimit(7, 60.0)
    assert _limit(Brief(limited)) == SessionLimit(5, 60.0)
    assert _limit(Counting(limited)) is None
    unlimited = Generator(Environment(), Options(flash_urls=URLS)).environment
    assert _limit(Brief(unlimited)) == SessionLimit(5, None)
    assert type(Sticky(unlimited).client) is FlashClient


def test_a_user_can_renew_its_session(generator):
    user = Sticky(generator.environment)
    before = user.client.session
    user.renew_session()
    assert user.client.session not in (None, before)


def test_users_of_a_region_share_a_probe_if_the_policy_says_so(generator):
    assert Counting(generator.environment).client._probe is None
    options = Options(flash_urls=URLS, cold_start_policy=ColdStartPolicy.PROBE)
    probing = Generator(Environment(), options).environment
    users = [kind(probing) for kind in (Counting, Sticky) for _ in range(3)]
    probes = {(user.region, id(user.client._probe)) for user in users}
    assert len(probes) == len({region for region, _ in probes}) == 3
