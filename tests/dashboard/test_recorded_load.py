"""Requests made again from counts, against requests of which the counts were made."""

from dataclasses import replace

import numpy as np
import pytest

from dashboard.recorded_load import (
    ColdTime,
    PlaceLoad,
    RecordedLoad,
    closed_plan,
    open_plan,
    think_time_s,
)
from flash.buckets import BOUNDS_S, BUCKETS, bucket_of

BOUNDS = (*BOUNDS_S, float("inf"))


def place(steps, answers=(), *, delayed=(), waited=(), users=0.0, response_s=0.0, **more):
    """``answers`` are (step, latency) each; ``delayed`` and ``waited`` steps."""
    latencies = np.zeros((steps, BUCKETS))
    for step, latency in answers:
        latencies[step, bucket_of(latency)] += 1
    return PlaceLoad(
        latencies=latencies,
        latency_s=sum(latency for _, latency in answers),
        delayed=np.bincount(delayed, minlength=steps).astype(float),
        waited=np.bincount(waited, minlength=steps).astype(float),
        unanswered=np.zeros(steps),
        users=np.broadcast_to(np.asarray(users, dtype=float), steps),
        responses=len(answers),
        response_s=response_s,
        **more,
    )


def load(*places, steps, **more):
    return RecordedLoad(
        seconds=float(steps),
        first_s=0.0,
        step_s=1.0,
        bounds=BOUNDS,
        places=places,
        **more,
    )


def rng(seed=0):
    return np.random.default_rng(seed)


def test_an_answered_request_was_made_its_latency_before_it_was_counted():
    plan = open_plan(load(place(10, [(7, 3.0)] * 50), steps=10), rng())
    assert len(plan.at) == 50
    assert ((plan.at >= 4.0 - 0.3) & (plan.at <= 5.0 + 0.3)).all()
    # Within the bucket, and the sum is the exact one.
    assert np.abs(plan.busy_s / 3.0 - 1).max() < 0.0905
    assert plan.busy_s.sum() == pytest.approx(150.0)
    assert (np.diff(plan.at) >= 0).all()


def test_what_waited_was_made_when_it_was_refused_first():
    # Ten were refused in the second second and answered in the eighth, with two others.
    answers = [(8, 0.5)] * 12
    plan = open_plan(load(place(10, answers, delayed=[2] * 10, waited=[8] * 10), steps=10), rng())
    assert len(plan.at) == 12
    assert ((plan.at >= 2) & (plan.at < 3)).sum() == 10
    assert (plan.at > 7.4).sum() == 2


def test_what_was_refused_was_made_in_a_cold_time_and_what_was_not_was_not():
    cold = (ColdTime(0.0, 1.1, 1.4), ColdTime(4.2, 4.3, 4.5))
    answers = [(1, 0.3)] * 40 + [(4, 0.01)] * 40 + [(6, 0.01)] * 5
    there = place(8, answers, delayed=[1] * 20 + [4] * 30, waited=[6] * 5)
    at = open_plan(load(there, steps=8, cold=cold), rng()).at
    assert ((at >= 1.1) & (at < 1.4)).sum() == 20
    assert ((at >= 1.4) & (at < 2)).sum() == 40
    assert ((at >= 4.3) & (at < 4.5)).sum() == 30
    assert (((at >= 3.98) & (at < 4.2)) | ((at >= 4.5) & (at < 5))).sum() == 40
    # What cannot be is left as it is told.
    never = (ColdTime(0.0, 3.0, 3.0),)
    assert len(open_plan(load(place(3, [(0, 0.01)]), steps=3, cold=never), rng()).at) == 1


def test_a_burst_that_wakes_the_server_begins_when_it_asked_for_a_container():
    answers = [(2, 0.001)] * 20
    there = place(4, answers, delayed=[0] * 12 + [1] * 20, waited=[2] * 20)
    cold = (ColdTime(0.0, 0.4, 2.0),)
    at = open_plan(load(there, steps=4, cold=cold, evenly=True), rng()).at
    assert np.allclose(at[:12], 0.4 + (np.arange(12) + 0.5) * 0.05)
    assert np.allclose(at[12:], 1 + (np.arange(20) + 0.5) * 0.05)


def test_what_gave_up_or_had_no_response_was_made_all_the_same():
    gone = place(5, [(4, 0.1)], delayed=[1, 1])
    lost = place(5, [], delayed=[])
    lost.unanswered[3] = 4
    plan = open_plan(load(gone, lost, steps=5), rng())
    assert len(plan.at) == 1 + 2 + 4


def test_a_request_is_busy_once_it_is_at_the_proxy():
    there = place(3, [(1, 0.3)] * 9, transit_s=0.1, refusal_s=0.2)
    plan = open_plan(load(there, steps=3), rng())
    assert plan.busy_s.sum() == pytest.approx(9 * 0.2)
    assert set(plan.refusal_s) == {0.2}


def test_constant_arrivals_are_evenly_spaced_and_others_are_not():
    steady = place(20, [(step, 0.01) for step in range(20) for _ in range(10)])
    spaced = np.diff(open_plan(load(steady, steps=20, evenly=True), rng()).at)
    assert spaced.std() < 0.02
    assert spaced.mean() == pytest.approx(0.1, rel=0.02)
    assert np.diff(open_plan(load(steady, steps=20), rng()).at).std() > 0.05


def test_a_burst_begins_and_ends_within_a_step_and_is_as_dense_there():
    # Ten a second from 3.6 to 6.3.
    burst = [(3, 0.001)] * 4 + [(4, 0.001)] * 10 + [(5, 0.001)] * 10 + [(6, 0.001)] * 3
    for evenly in (True, False):
        at = open_plan(load(place(10, burst), steps=10, evenly=evenly), rng()).at
        assert 3.59 < at.min() < 3.85
        assert 6.05 < at.max() < 6.31
        assert ((at > 4) & (at < 6)).sum() == 20
    few = [(3, 0.001)] + [(4, 0.001)] * 2
    least = [open_plan(load(place(9, few), steps=9), rng(seed)).at.min() for seed in range(40)]
    assert min(least) < 3.2


def test_nothing_is_made_before_the_start_or_after_the_end():
    steady = place(12, [(step, 0.001) for step in range(12) for _ in range(10)])
    for evenly in (True, False):
        whole = load(steady, steps=12, evenly=evenly)
        within = replace(whole, seconds=10.9, first_s=-0.6)
        at = open_plan(within, rng()).at
        assert at.min() > 0
        assert at.max() < 10.9
        assert len(np.unique(at)) == 120


def test_of_very_many_requests_a_part_stands_for_all():
    counts = np.zeros((10, BUCKETS))
    counts[:, 60] = 65_000
    many = PlaceLoad(
        latencies=counts,
        latency_s=650_000 * BOUNDS_S[60] * 0.96,
        delayed=np.zeros(10),
        waited=np.zeros(10),
        unanswered=np.zeros(10),
        users=np.zeros(10),
        responses=650_000,
        response_s=0.0,
    )
    plan = open_plan(load(many, steps=10), rng())
    assert plan.weight == 4
    assert len(plan.at) * plan.weight == pytest.approx(650_000, rel=1e-4)


def closed_run(*, users, think_s, latency_s, seconds, seed=1):
    """A closed system, user by user: its requests, and what is counted of it."""
    chance = rng(seed)
    answers, made, response_s = [], [], 0.0
    for _ in range(users):
        now = 0.0
        while now < seconds:
            made.append(now)
            took = latency_s * chance.uniform(0.7, 1.3)
            if now + took < seconds:
                answers.append((int(now + took), took))
                response_s += took
            now += took + think_s * chance.uniform(0.5, 1.5)
    here = place(seconds, answers, users=users, response_s=response_s)
    return made, load(here, steps=seconds)


def test_users_of_the_closed_model_ask_as_often_as_they_did():
    made, recorded = closed_run(users=30, think_s=0.8, latency_s=0.25, seconds=60)
    # They are counted as they were at the end of each second, so that the first half second of
    # their being there is missing.
    assert think_time_s(recorded, recorded.places[0]) == pytest.approx(0.8, rel=0.03)
    plan = closed_plan(recorded, rng())
    assert len(plan.at) == pytest.approx(len(made), rel=0.03)
    users = np.unique(plan.next_user)
    assert len(users) == 30
    assert plan.next_user[-1] == len(plan.at)
    first = 0
    for end in users.tolist():
        at, busy = plan.at[first:end], plan.busy_s[first:end]
        assert (np.diff(at) >= busy[:-1] + 0.4 * 0.97).all()
        first = end


def test_latencies_are_those_of_their_time():
    # Twenty users with a pause of a second: they ask half as often once it takes as long as that.
    quick, slow = [(step, 0.01) for step in range(30)], [(step, 1.0) for step in range(30, 60)]
    answers = quick * 20 + slow * 10
    total = sum(latency for _, latency in answers)
    recorded = load(place(60, answers, users=20, response_s=total), steps=60)
    plan = closed_plan(recorded, rng())
    assert (plan.busy_s[plan.at < 28] < 0.02).mean() > 0.99
    assert (plan.busy_s[plan.at > 32] > 0.9).mean() > 0.97
    assert ((plan.at > 10) & (plan.at < 28)).sum() == pytest.approx(18 * 20, rel=0.05)
    assert ((plan.at > 35) & (plan.at < 55)).sum() == pytest.approx(20 * 10, rel=0.05)


def test_users_come_and_go_as_their_number_says():
    users = np.array([np.nan, 2, 4, 4, np.nan, 4, 1, 1, 0, 0])
    answers = [(step, 0.05) for step in range(10) for _ in range(30)]
    recorded = load(place(10, answers, users=users, response_s=15.0), steps=10)
    plan = closed_plan(recorded, rng())
    assert plan.at.min() >= 1.0
    assert (plan.at < plan.until).all()
    assert plan.at.max() < 9.0
    begin = np.concatenate([[0], np.unique(plan.next_user)[:-1]])
    came = np.sort(plan.at[begin]).astype(int).tolist()
    left = np.sort(plan.until[begin]).astype(int).tolist()
    assert came == [1, 1, 2, 2]
    assert left == [6, 6, 6, 8]


def test_a_run_without_answers_has_its_users_all_the_same():
    recorded = load(place(5, [], users=3, delayed=[0, 0, 0]), steps=5)
    plan = closed_plan(recorded, rng())
    assert plan.next_user.tolist() == [1, 2, 3]
