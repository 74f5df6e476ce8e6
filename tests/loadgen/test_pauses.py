"""The pauses of many users by one timer."""

import os
from time import perf_counter

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from gevent.hub import Hub

from loadgen.pauses import MOST_AT_ONCE, Pauses, pause


@pytest.fixture
def pauses():
    made = Pauses(gevent.get_hub())
    yield made
    assert not made


def spawn(call, *arguments):
    """A greenlet that has begun."""
    greenlet = gevent.spawn(call, *arguments)
    gevent.sleep(0)
    return greenlet


def test_the_first_to_be_due_goes_on_first_and_none_too_early(pauses):
    woken = []

    def user(seconds):
        due = perf_counter() + seconds
        pauses.pause(seconds)
        woken.append((seconds, perf_counter() - due))

    lengths = [0.03, 0.001, 0.02, 0.001, 0.01]
    gevent.joinall([spawn(user, seconds) for seconds in lengths], timeout=10, raise_error=True)
    assert [seconds for seconds, _ in woken] == sorted(lengths)
    assert all(late >= 0 for _, late in woken)


def test_responses_are_read_between_a_few_and_the_next_few(pauses):
    read_end, write_end = os.pipe()
    course = []

    def user():
        pauses.pause(0.001)
        course.append("user")
        if len(course) == 1:
            os.write(write_end, b"a response")

    def read():
        course.append(os.read(read_end, 100))
        watcher.stop()

    hub = gevent.get_hub()
    watcher = hub.loop.io(read_end, 1, priority=hub.loop.MAXPRI)
    watcher.start(read)
    users = [spawn(user) for _ in range(3 * MOST_AT_ONCE)]
    until = perf_counter() + 0.005
    while perf_counter() < until:  # all are due by then
        pass
    gevent.joinall(users, timeout=10, raise_error=True)
    watcher.close()
    os.close(read_end)
    os.close(write_end)
    assert course.index(b"a response") == MOST_AT_ONCE
    assert course.count("user") == 3 * MOST_AT_ONCE


def test_who_is_killed_goes_on_no_more_and_holds_up_nobody(pauses):
    woken = []

    def user(name, seconds):
        pauses.pause(seconds)
        woken.append(name)

    first, second = spawn(user, "first", 0.005), spawn(user, "second", 0.01)
    first.kill()
    assert second.join(timeout=10) is None
    assert woken == ["second"]
    assert first.dead
    # The timer was at rest, and starts anew.
    spawn(user, "third", 0.001).join(timeout=10)
    assert woken == ["second", "third"]


def test_a_shorter_pause_that_comes_later_is_not_kept_waiting(pauses):
    woken = []

    def user(seconds):
        pauses.pause(seconds)
        woken.append(seconds)

    long, short = spawn(user, 0.05), spawn(user, 0.002)
    short.join(timeout=2)
    assert woken == [0.002]
    long.join(timeout=10)
    assert woken == [0.002, 0.05]


def test_what_a_user_is_thrown_meanwhile_reaches_it(pauses):
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.005):
        pauses.pause(0.02)
    gevent.sleep(0.03)


def test_a_hub_has_one_of_them():
    started = perf_counter()
    pause(0.002)
    assert perf_counter() - started >= 0.002
    assert isinstance(gevent.get_hub(), Hub)
