import os
from collections import Counter
from types import SimpleNamespace
from unittest import mock

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust import stats as locust_stats
from locust.event import Events
from locust.stats import RequestStats

from loadgen.statistics_feed import (
    FLUSH_EVERY_S,
    FLUSH_SOONEST_S,
    MOST_ERRORS,
    StatisticsFeed,
    next_flush_s,
)

START = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def _feed(clock: Clock) -> tuple[StatisticsFeed, SimpleNamespace]:
    with mock.patch.object(locust_stats, "time", SimpleNamespace(time=clock)):
        stats = RequestStats(use_response_times_cache=True)
    environment = SimpleNamespace(stats=stats, events=Events())
    return StatisticsFeed(environment, clock=clock, ticks=clock), environment


def _entry(entry) -> dict:
    cache = {
        second: (dict(kept.response_times), kept.num_requests, kept.num_none_requests)
        for second, kept in (entry.response_times_cache or {}).items()
    }
    return {
        "requests": (entry.num_requests, entry.num_none_requests, entry.num_failures),
        "times": (entry.min_response_time, entry.max_response_time, dict(entry.response_times)),
        "length": entry.total_content_length,
        "per second": (dict(entry.num_reqs_per_sec), dict(entry.num_fail_per_sec)),
        # Within a second the feed does not tell moments apart.
        "last second": entry.last_request_timestamp and int(entry.last_request_timestamp),
        "cache": cache,
    }


def _errors(stats) -> dict:
    return {
        key: (
            one.method,
            one.name,
            repr(one.error),
            one.occurrences,
            int(one.first_seen),
            int(one.last_seen),
        )
        for key, one in stats.errors.items()
    }


REQUESTS = st.tuples(
    # Eighths are exact, and many of them fall on the turn of a second.
    st.integers(0, 20).map(lambda eighths: eighths / 8),
    st.sampled_from(["/", "/work"]),
    st.sampled_from(["GET", "POST"]),
    st.none() | st.integers(0, 200_000).map(lambda eighths: eighths / 8),
    st.integers(0, 5000),
    st.sampled_from([None, None, ValueError("a"), ValueError("b"), "said"]),
    st.booleans(),
)


@given(st.lists(REQUESTS, max_size=60))
def test_the_feed_leaves_what_locust_itself_would(requests):
    clock = Clock()
    feed, environment = _feed(clock)
    _, reference = _feed(clock)
    with mock.patch.object(locust_stats, "time", SimpleNamespace(time=clock)):
        for passed_s, name, method, response_time, length, error, flush in requests:
            clock.now += passed_s
            if clock() >= feed.turn:
                feed.turned()
            feed.add(method, name, response_time, length, error)
            if flush:
                feed.flush()
            reference.stats.log_request(method, name, response_time, length)
            if error is not None:
                reference.stats.log_error(method, name, error)
        feed.flush()
        found, expected = environment.stats, reference.stats
        assert found.entries.keys() == expected.entries.keys()
        for key, entry in expected.entries.items():
            assert _entry(found.entries[key]) == _entry(entry)
        assert _entry(found.total) == _entry(expected.total)
        assert found.total.total_response_time == expected.total.total_response_time
        assert _errors(found) == _errors(expected)


@given(st.lists(st.integers(0, 100_000).map(lambda eighths: eighths / 8), min_size=32))
def test_many_at_once_are_bucketed_as_locust_would(times_ms):
    feed, environment = _feed(Clock())
    for time_ms in times_ms:
        feed.add("GET", "/", time_ms, 0, None)
    feed.flush()
    expected = Counter(map(locust_stats.bucket_response_time, times_ms))
    assert dict(environment.stats.total.response_times) == expected
    assert all(type(bucket) is int for bucket in environment.stats.total.response_times)


def test_errors_of_ever_new_texts_do_not_fill_locusts_table():
    feed, environment = _feed(Clock())
    for number in range(3000):
        feed.add("GET", "/", 5.0, 0, ValueError(number % 2000))
        if number % 100 == 0:
            feed.flush()
    feed.flush()
    stats = environment.stats
    assert stats.total.num_failures == 3000
    assert sum(one.occurrences for one in stats.errors.values()) == 3000
    assert len(stats.errors) == MOST_ERRORS + 1
    (other,) = [one for one in stats.errors.values() if one.name == "(other)"]
    assert other.to_name() == " (other): more than 500 kinds of errors"
    assert other.occurrences == 3000 - 2 * 500


def test_nothing_is_in_locusts_statistics_before_it_is_flushed():
    feed, environment = _feed(Clock())
    feed.add("GET", "/", 5.0, 10, None)
    assert environment.stats.total.num_requests == 0
    feed.flush()
    assert environment.stats.total.num_requests == 1
    feed.flush()
    assert environment.stats.total.num_requests == 1


def test_the_second_turns_when_the_clock_says_so():
    clock = Clock()
    clock.now += 0.25
    feed, _ = _feed(clock)
    assert feed.turn == START + 1
    clock.now = START + 3.5
    feed.turned()
    assert feed.turn == START + 4


def test_what_is_flushed_late_belongs_to_the_second_it_was_gathered_in():
    clock = Clock()
    feed, environment = _feed(clock)
    feed.add("GET", "/", 5.0, 10, None)
    clock.now += 1.5
    feed.turned()
    assert dict(environment.stats.total.num_reqs_per_sec) == {int(START): 1}


def test_another_bucketing_of_response_times_is_used():
    feed, environment = _feed(Clock())
    feed.add("GET", "/", 5.0, 10, None)
    with mock.patch.object(locust_stats, "bucket_response_time", return_value=42):
        feed.flush()
    assert dict(environment.stats.total.response_times) == {42: 1}


def test_locusts_own_listener_is_not_told_and_others_are():
    feed, environment = _feed(Clock())

    def on_request(**_):
        pytest.fail("Locust's statistics would count the request twice")

    on_request.__module__ = "locust.runners"
    environment.events.request.add_listener(on_request)
    assert feed.listened() is None
    told = []
    environment.events.request.add_listener(lambda **said: told.append(said))
    feed.listened().fire(name="/")
    assert told == [{"name": "/"}]


def test_a_listener_that_goes_is_told_no_more():
    feed, environment = _feed(Clock())

    def listener(**_):
        pass

    environment.events.request.add_listener(listener)
    assert feed.listened() is not None
    environment.events.request.remove_listener(listener)
    assert feed.listened() is None


def test_what_is_gathered_is_counted():
    feed, _ = _feed(Clock())
    assert feed.pending == 0
    for name in ("/a", "/a", "/b"):
        feed.add("GET", name, 5.0, 10, None)
    assert feed.pending == 3
    feed.flush()
    assert feed.pending == 0


@given(rate=st.floats(0, 1e6))
def test_it_is_flushed_the_oftener_the_more_there_is(rate):
    rest_s = FLUSH_EVERY_S
    for _ in range(20):
        rest_s = next_flush_s(rest_s, int(rate * rest_s))
        assert FLUSH_SOONEST_S <= rest_s <= FLUSH_EVERY_S
    if rate < 2500:
        assert rest_s == FLUSH_EVERY_S
    elif rate < 50_000:
        assert rate * rest_s == pytest.approx(300, rel=0.05)
    else:
        assert rest_s < 0.007
