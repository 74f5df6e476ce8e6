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
            recorder.connects[region].record(duration_s)
    if not begun:
        before = whole.since(Recorder())
    grown = _figures(whole.since(before))
    expected = _figures(after)
    for key, figures in grown.items():
        assert figures == expected.get(key, _figures_of_none(key))
    connects = whole.since(before).connects
    for region, histogram in connects.items():
        made = after.connects.get(region, Histogram())
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
    worker.connects["a"].record(0.5)
    expected = _figures(worker)
    master.merge("w", json.loads(json.dumps(worker.take())))
    assert _figures(master) == expected
    assert master.connects["a"].sum == 0.5


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
    channel.refused(503)
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
