import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.buckets import BOUNDS_S, BUCKETS, bucket_of
from loadgen.recorder import CHANNEL_HISTOGRAMS, Histogram, Recorder

DURATIONS = st.floats(0, 1000, allow_nan=False)


def _record(channel, duration_s: float, *, refused: int = 0) -> None:
    channel.outcomes["ok"] += 1
    channel.outcomes["cold_start"] += refused
    channel.codes[200] = channel.codes.get(200, 0) + 1
    channel.requests += 1
    channel.affected += 1 if refused else 0
    channel.request_duration.record(duration_s)


def _figures(recorder: Recorder) -> dict:
    return {
        (c.region, c.routing): (
            dict(c.outcomes),
            dict(c.codes),
            c.requests,
            c.affected,
            [getattr(c, name).counts for name in CHANNEL_HISTOGRAMS],
        )
        for c in recorder
    }


@given(DURATIONS)
def test_a_duration_is_counted_in_its_bucket_alone(duration_s):
    histogram = Histogram()
    histogram.record(duration_s)
    expected = [0] * BUCKETS
    expected[bucket_of(duration_s)] = 1
    assert histogram.counts == expected
    assert (histogram.sum, histogram.total) == (duration_s, 1)


def test_an_empty_histogram_has_nothing_to_take():
    assert Histogram().take() is None


@given(st.lists(DURATIONS))
def test_what_a_histogram_took_makes_the_same_histogram(durations):
    one, other = Histogram(), Histogram()
    for duration_s in durations:
        one.record(duration_s)
    counts, total = list(one.counts), one.sum
    taken = one.take()
    assert (one.total, one.sum) == (0, 0.0)
    if taken is not None:
        other.add(taken)
    assert (other.counts, other.sum) == (counts, total)


@given(st.lists(st.tuples(st.sampled_from("ab"), DURATIONS, st.integers(0, 3), st.booleans())))
def test_reports_of_any_length_add_up_to_the_same_on_the_master(events):
    whole, worker, master = Recorder(), Recorder(), Recorder()
    for region, duration_s, refused, report in events:
        for recorder in (whole, worker):
            _record(recorder.channel(region, "sticky"), duration_s, refused=refused)
        if report:
            master.merge("w", worker.take())
    master.merge("w", worker.take())
    assert _figures(master) == _figures(whole)


@given(st.lists(st.tuples(st.sampled_from("ab"), DURATIONS, st.integers(0, 3), st.booleans())))
def test_what_was_counted_since_a_moment_is_what_was_counted_after_it(events):
    whole, after = Recorder(), Recorder()
    before, begun = whole.since(Recorder()), False
    for region, duration_s, refused, begins in events:
        if begins and not begun:
            before, begun = whole.since(Recorder()), True
        for recorder in (whole, after) if begun else (whole,):
            _record(recorder.channel(region, "sticky"), duration_s, refused=refused)
            recorder.connects(region).record(duration_s)
    if not begun:
        before = whole.since(Recorder())
    grown = _figures(whole.since(before))
    expected = _figures(after)
    for key, figures in grown.items():
        assert figures == expected.get(key, _figures_of_none(key))
    for _, region, histogram in whole.since(before).all_connects():
        made = after.connects(region)
        assert histogram.counts == made.counts
        assert histogram.sum == pytest.approx(made.sum, abs=1e-9)


def _figures_of_none(key: tuple[str, str]):
    recorder = Recorder()
    recorder.channel(*key)
    return _figures(recorder)[key]


@given(st.lists(st.tuples(st.sampled_from("ab"), DURATIONS, st.integers(0, 3))))
def test_all_channels_together_are_one_channel_of_everything(events):
    recorder, together = Recorder(), Recorder()
    for region, duration_s, refused in events:
        _record(recorder.channel(region, "sticky"), duration_s, refused=refused)
        _record(together.channel("", ""), duration_s, refused=refused)
    total, expected = recorder.total(), together.channel("", "")
    assert (total.outcomes, total.codes) == (expected.outcomes, expected.codes)
    assert (total.requests, total.affected) == (expected.requests, expected.affected)
    assert total.request_duration.counts == expected.request_duration.counts


def test_what_is_counted_later_does_not_change_a_copy():
    recorder = Recorder()
    _record(recorder.channel("a", "sticky"), 0.25)
    copy = recorder.since(Recorder())
    _record(recorder.channel("a", "sticky"), 0.25)
    assert copy.channel("a", "sticky").requests == 1
    assert copy.channel("a", "sticky").request_duration.total == 1


def test_a_report_has_what_a_request_that_goes_on_has_brought_so_far():
    worker, master = Recorder(), Recorder()
    worker.channel("a", "sticky").schedule_lag.record(0.5)
    master.merge("w", worker.take())
    assert master.channel("a", "sticky").schedule_lag.total == 1


def test_a_report_survives_json():
    worker, master = Recorder(), Recorder()
    _record(worker.channel("a", "sticky"), 0.25, refused=1)
    worker.connects("a").record(0.5)
    channel = worker.channel("a", "sticky")
    streak = channel.watch.begin("session")
    for at in range(5):
        streak.sending()
        channel.refused(503, at, at + 0.5, container="ta-1")
        channel.refused_sessions += streak.met(at + 0.5, "ta-1")
        channel.watch.answers += 100
    channel.refused_sessions += streak.end(answered=True)
    expected = _figures(worker)
    master.merge("w", json.loads(json.dumps(worker.take())))
    assert _figures(master) == expected
    assert master.connects("a").sum == 0.5
    seen = master.channel("a", "sticky")
    assert (seen.container_refusals, seen.refused_sessions) == (5, 1)
    (told,) = master.refused_sessions.since(0)
    assert (told.session, told.refused, told.beside, told.others_answered) == ("session", 5, 4, 500)


def test_what_was_taken_is_not_taken_again():
    worker = Recorder()
    _record(worker.channel("a", "sticky"), 0.25)
    worker.take()
    again = worker.take()
    assert (again["channels"], again["connects"]) == ([], [])
    assert again["gauges"] == [("a", "sticky", 0, 0)]


def test_gauges_of_workers_add_up_and_go_with_their_worker():
    master, worker = Recorder(), Recorder()
    worker.channel("a", "sticky").gauges.users = 3
    worker.channel("a", "sticky").gauges.in_flight = 2
    master.merge("one", worker.take())
    master.merge("one", worker.take())
    master.merge("two", worker.take())
    channel = master.channel("a", "sticky")
    assert (master.users(channel), master.in_flight(channel)) == (6, 4)
    master.keep_workers({"two"})
    assert (master.users(channel), master.in_flight(channel)) == (3, 2)


def test_counts_of_a_worker_stay_when_it_goes():
    master, worker = Recorder(), Recorder()
    _record(worker.channel("a", "sticky"), 0.25)
    master.merge("one", worker.take())
    master.keep_workers(set())
    assert master.channel("a", "sticky").requests == 1


def test_channels_come_in_the_order_of_region_and_routing():
    recorder = Recorder()
    for region, routing in (("b", "sticky"), ("a", "sticky"), ("a", "non_sticky")):
        recorder.channel(region, routing)
    assert [(c.region, c.routing) for c in recorder] == [
        ("a", "non_sticky"),
        ("a", "sticky"),
        ("b", "sticky"),
    ]
    assert recorder.channel("a", "sticky") is recorder.channel("a", "sticky")


@given(st.lists(DURATIONS, min_size=1, max_size=200))
def test_recording_many_is_recording_each(durations_s):
    one_by_one, together = Histogram(), Histogram()
    for duration_s in durations_s:
        one_by_one.record(duration_s)
    together.record_many(np.array(durations_s))
    assert together.counts == one_by_one.counts
    assert together.sum == pytest.approx(one_by_one.sum, rel=1e-12)


def test_every_bound_is_in_the_bucket_that_it_closes():
    histogram = Histogram()
    histogram.record_many(np.array(BOUNDS_S))
    assert histogram.counts == [1] * len(BOUNDS_S) + [0]


def test_an_answer_is_counted_once_it_is_settled_and_before_anybody_reads():
    recorder = Recorder()
    channel = recorder.channel("us-east", "sticky")
    channel.answered(200, called=10.0, started=10.5, first_at=10.6, last_at=11.0)
    channel.answered(404, called=20.0, started=20.0, first_at=20.2, last_at=20.2)
    channel.overhead(0.03)
    channel.refused(503, sent=9.0, at=9.5)
    (read,) = recorder
    assert read is channel
    assert channel.codes == {200: 1, 404: 1, 503: 1}
    assert {name: n for name, n in channel.outcomes.items() if n} == {
        "ok": 1,
        "client_error": 1,
        "cold_start": 1,
    }
    assert channel.requests == 2
    assert channel.request_duration.sum == pytest.approx(0.5 + 0.2)
    assert channel.time_to_first_byte.sum == pytest.approx(0.1 + 0.2)
    assert channel.response_time.sum == pytest.approx(1.0 + 0.2)
    assert (channel.edge_overhead.total, channel.edge_overhead.sum) == (1, 0.03)
    recorder.settle()
    assert channel.requests == 2
    channel.answered(200, called=0.0, started=0.0, first_at=0.0, last_at=0.0)
    (delta,) = recorder.take()["channels"]
    assert dict(delta["codes"]) == {200: 2, 404: 1, 503: 1}


def test_a_region_is_cold_until_any_of_its_users_is_answered():
    recorder = Recorder()
    sticky, other = (recorder.channel("us-east", name) for name in ("sticky", "non_sticky"))
    sticky.refused(503, sent=9.0, at=9.5)
    # Sent before that 503, which it says nothing of.
    other.answered(200, called=9.25, started=9.25, first_at=9.75, last_at=9.75)
    recorder.settle()
    assert recorder.windows["us-east"].total == 0
    assert sticky.window.opened == other.window.opened == 9.5
    # Two in one go: the one that came first counts, of whichever channel it is.
    sticky.answered(200, called=9.0, started=12.0, first_at=12.5, last_at=12.5)
    other.answered(200, called=11.75, started=11.75, first_at=12.25, last_at=20.0)
    other.answered(200, called=9.25, started=9.25, first_at=10.0, last_at=20.0)
    recorder.settle()
    assert sticky.window.opened is None
    assert (recorder.windows["us-east"].total, recorder.windows["us-east"].sum) == (1, 2.75)


def test_a_container_at_its_limit_ends_the_cold_start():
    recorder = Recorder()
    channel = recorder.channel("us-east", "sticky")
    channel.refused(503, sent=1.0, at=1.5)
    channel.refused(429, sent=2.0, at=2.5)
    recorder.settle()
    assert recorder.windows["us-east"].sum == 1.0


def test_a_master_has_the_windows_of_its_workers_and_regions_apart():
    now = 0.0
    worker, master = (Recorder(clock=lambda: now) for _ in range(2))
    for region, opened in (("a", 1.0), ("b", 2.0)):
        channel = worker.channel(region, "sticky")
        channel.refused(503, sent=opened, at=opened)
        channel.answered(200, called=0.0, started=3.0, first_at=4.0, last_at=4.0)
    now = 5.0
    master.merge("w", json.loads(json.dumps(worker.take())))
    now = 10.0
    assert [channel.region for channel in master] == ["a", "b"]
    assert {region: made.sum for region, made in master.windows.items()} == {"a": 3.0, "b": 2.0}


def test_the_end_of_a_run_leaves_no_region_cold():
    recorder = Recorder()
    channel = recorder.channel("us-east", "sticky")
    channel.refused(503, sent=1.0, at=1.5)
    recorder.run_ended()
    assert channel.window.opened is None
    assert recorder.windows["us-east"].total == 0


def test_a_give_up_is_reported_though_no_attempt_ended_since_the_last_report():
    worker, master = Recorder(), Recorder()
    channel = worker.channel("a", "sticky")
    channel.refused(503, sent=1.0, at=1.5)
    master.merge("w", worker.take())
    channel.giveups += 1
    channel.requests += 1
    master.merge("w", worker.take())
    (seen,) = master
    assert (seen.giveups, seen.requests, seen.outcomes["cold_start"]) == (1, 1, 1)


@given(
    st.lists(
        st.tuples(st.sampled_from(["us-east", "eu-west", None]), st.sampled_from("ab"), DURATIONS)
    )
)
def test_regions_of_clients_stay_apart_on_the_master(events):
    master = Recorder()
    workers = {client: Recorder(client) for client in ("us-east", "eu-west", None)}
    expected: dict = {}
    for client, region, duration_s in events:
        _record(workers[client].channel(region, "sticky"), duration_s)
        workers[client].connects(region).record(duration_s)
        counted = expected.setdefault((client, region), [0] * BUCKETS)
        counted[bucket_of(duration_s)] += 1
    for number, worker in enumerate(workers.values()):
        master.merge(str(number), json.loads(json.dumps(worker.take())))
    assert {(c.client_region, c.region): c.request_duration.counts for c in master} == expected
    assert {(c, r): made.counts for c, r, made in master.all_connects()} == expected


def test_gauges_of_a_client_region_are_those_of_its_workers():
    master = Recorder()
    for name, client, users in (("one", "us-east", 3), ("two", "us-east", 4), ("three", None, 5)):
        worker = Recorder(client)
        worker.channel("a", "sticky").gauges.users = users
        master.merge(name, worker.take())
    assert {c.client_region: master.users(c) for c in master} == {None: 5, "us-east": 7}
