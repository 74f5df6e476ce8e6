"""The replay against answers worked out by hand, and against a plain one that skips nothing."""

import heapq
from math import inf, isclose

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.replay import Conditions, Outcome, RequestPlan, replayed
from flash.autoscaler import STEP_S, Autoscaler, AutoscalerSettings, Candidate, to_stop
from flash.retry import delay_s


class Shortest:
    """Of what is random always the least."""

    def uniform(self, low, high):
        return low + 0.0 * high

    def integers(self, high):
        return 0

    def random(self):
        return 0.0


def opened(requests, *, seconds, **more):
    """Requests (at, busy) that come whatever becomes of the earlier ones."""
    at, busy = np.array(sorted(requests), dtype=float).reshape(-1, 2).T
    count = len(at)
    return RequestPlan(
        at=at,
        busy_s=busy,
        refusal_s=np.zeros(count),
        next_user=np.arange(1, count + 1),
        until=np.full(count, float(seconds)),
        **more,
    )


def replay(plan, conditions, **changed):
    (found,) = replayed(plan, [AutoscalerSettings(**changed)], conditions, Shortest())
    return found


def test_a_request_that_wakes_the_server_waits_for_its_boot_and_the_next_try():
    plan = opened([(5.0, 0.1)], seconds=20)
    conditions = Conditions(seconds=20.0, boots_s=(2.0,), stops_s=(0.25,))
    found = replay(plan, conditions, scaledown_window=3)
    # Tried at 5, 5.05, 5.15, 5.35, 5.75 and 6.55; then at 7.55, when the container is up since 7.
    assert (found.refused, found.answered, found.delayed, found.gave_up) == (6, 1, 1, 0)
    assert found.share_503 == 6 / 7
    assert found.waited_s == pytest.approx(7.65 - 5.0)
    assert found.mean_wait_s == found.waited_s
    # In flight until 7.65, so none is wanted from the decision at 7.81 on; three seconds later the
    # next one, at 10.89, ends it, which takes a quarter of a second.
    assert found.container_s == pytest.approx(10.89 + 0.25 - 5.0)


def test_on_a_warm_server_nothing_is_refused():
    plan = opened([(at, 0.1) for at in range(9)], seconds=10)
    found = replay(plan, Conditions(seconds=10.0, boots_s=(2.0,)), min_containers=1)
    assert found == Outcome(
        refused=0, answered=9, delayed=0, waited_s=0, gave_up=0, container_s=10.0
    )
    assert found.mean_wait_s is None


def test_containers_are_added_for_the_demand_and_go_after_the_window():
    plan = opened([(1.0, 4.0)] * 3, seconds=10)
    found = replay(
        plan,
        Conditions(seconds=10.0, boots_s=(1.0,)),
        min_containers=1,
        target_concurrency=1,
        scaledown_window=2,
    )
    # Two are asked for at 1.10. In the step to 5.06 the mean is 1.36 and two are wanted, after it
    # one: the first goes at 7.15, as two seconds earlier no more than two were wanted, and the
    # second at 7.26.
    assert found.container_s == pytest.approx(10.0 + (7.15 - 1.10) + (7.26 - 1.10))
    assert found.refused == 0


def test_arrivals_of_the_open_model_come_however_many_are_waiting():
    plan = opened([(1.1 * n, 0.1) for n in range(5)], seconds=5)
    found = replay(plan, Conditions(seconds=5.0, boots_s=(2.0,)))
    # The first is refused six times, the one at 1.1 five times (until 1.85), those after 2 not.
    assert (found.refused, found.answered, found.delayed) == (11, 5, 2)
    assert found.waited_s == pytest.approx((2.55 + 0.1) + (2.65 + 0.1 - 1.1))


def test_a_user_of_the_closed_model_asks_later_for_having_waited():
    count = 5
    plan = RequestPlan(
        at=1.1 * np.arange(count),
        busy_s=np.full(count, 0.1),
        refusal_s=np.zeros(count),
        next_user=np.full(count, count),
        until=np.full(count, 5.0),
    )
    found = replay(plan, Conditions(seconds=5.0, boots_s=(2.0,)))
    # Answered at 2.55, and then at 3.65 and 4.75; what would follow is after the end.
    assert (found.refused, found.answered, found.delayed) == (6, 3, 1)


def test_a_refusal_that_takes_its_time_makes_fewer_of_them():
    plan = opened([(0.0, 0.1)], seconds=10)
    plan.refusal_s[:] = 0.5
    found = replay(plan, Conditions(seconds=10.0, boots_s=(2.0,)))
    # Tried at 0, 0.55, 1.15 and 1.85; waits count from the first 503, and end with the answer.
    assert found.refused == 4
    assert found.waited_s == pytest.approx(1.85 + 0.5 + 0.4 + 0.1 - 0.5)


def test_a_request_gives_up_rather_than_try_after_its_deadline():
    plan = opened([(0.0, 0.1)], seconds=10)
    found = replay(plan, Conditions(seconds=10.0, boots_s=(5.0,), deadline_s=1.0))
    # Tried at 0, 0.05, 0.15, 0.35 and 0.75; the next would be at 1.55.
    assert (found.refused, found.answered, found.delayed, found.gave_up) == (5, 0, 1, 1)


def test_starts_take_as_long_as_those_of_the_run_did_in_order():
    plan = opened([(0.0, 0.1), (20.0, 0.1)], seconds=40)
    found = replay(plan, Conditions(seconds=40.0, boots_s=(0.3, 1.0)), scaledown_window=1)
    # 0, 0.05, 0.15 and at 20, 20.05, 20.15, 20.35, 20.75.
    assert found.refused == 3 + 5


def test_containers_that_were_there_serve_until_the_window_has_passed():
    plan = opened([(0.5, 0.1), (30.0, 0.1)], seconds=40)
    left_over = Conditions(seconds=40.0, boots_s=(2.0,), there=(-5.0, -4.0))
    found = replay(plan, left_over, scaledown_window=10)
    # The first request finds two; they go ten seconds after they were wanted last, one at the first
    # step after 10 s and one after the request; the second request wakes another.
    assert found.refused == 6
    steps = [10.01, 10.78]
    assert found.container_s == pytest.approx(sum(steps) + 40.0 - 30.0, abs=2 * STEP_S)
    kept = Conditions(seconds=40.0, boots_s=(2.0,), there=(-5.0, -4.0), kept=2)
    assert replay(plan, kept, min_containers=2).container_s == 80.0
    assert replay(plan, kept, min_containers=3).container_s == 120.0
    assert replay(plan, kept, min_containers=1).container_s == 40.0


def test_a_container_that_was_starting_is_awaited():
    plan = opened([(0.2, 0.1)], seconds=10)
    conditions = Conditions(seconds=10.0, boots_s=(9.0,), there=(1.0,))
    # Tried at 0.2, 0.25, 0.35, 0.55 and 0.95; nothing else is started.
    assert replay(plan, conditions).refused == 5
    assert replay(plan, conditions, min_containers=1).refused == 0


def test_a_request_may_stand_for_several():
    many = opened([(5.0, 0.1)] * 6, seconds=20)
    few = opened([(5.0, 0.1)] * 2, seconds=20, weight=3.0)
    conditions = Conditions(seconds=20.0, boots_s=(2.0,))
    one, other = replay(few, conditions), replay(many, conditions)
    assert one.waited_s == pytest.approx(other.waited_s)
    assert (one.refused, one.answered, one.delayed) == (36, 6, 6)
    assert (other.refused, other.answered, other.delayed) == (36, 6, 6)
    assert one.container_s == other.container_s


def test_a_run_without_requests_costs_what_is_kept():
    nothing = opened([], seconds=10)
    found = replay(nothing, Conditions(seconds=10.0, boots_s=(1.0,)), min_containers=2)
    assert (found.container_s, found.share_503) == (20.0, None)
    assert replay(nothing, Conditions(seconds=10.0, boots_s=(1.0,))).container_s == 0


# A plain replay: request by request, step by step, nothing foreseen and nothing skipped.


def plainly(requests, told, conditions):
    autoscaler = Autoscaler(told)
    longest = max(told.scaleup_window, told.scaledown_window)
    containers = [{"started": 0.0, "ready": -1e9, "ended": inf} for _ in range(told.min_containers)]
    autoscaler.step(-longest - 1, demand=0, refused=False, containers=len(containers))
    boot_s, seconds = conditions.boots_s[0], conditions.seconds
    refused = answered = delayed = 0
    refused_at, served = [], []
    steps = int(seconds // STEP_S) + 1
    due = [(at, 1, number, busy, 0) for number, (at, busy) in enumerate(sorted(requests))]
    due += [(STEP_S * step, 0, step, 0.0, 0) for step in range(steps)]
    heapq.heapify(due)

    def step(now, demand, was_refused):
        here = [one for one in containers if one["ended"] == inf]
        change = autoscaler.step(now, demand=demand, refused=was_refused, containers=len(here))
        started = {"started": now, "ready": now + boot_s, "ended": inf}
        containers.extend(dict(started) for _ in range(change))
        candidates = [
            Candidate(str(n), 0, one["started"], one["ready"] if one["ready"] <= now else None)
            for n, one in enumerate(here)
        ]
        ready_by = now - told.scaledown_window
        for name in to_stop(candidates, -change, ready_by=ready_by) if change < 0 else ():
            here[int(name)]["ended"] = now

    while due:
        now, kind, number, busy, tries = heapq.heappop(due)
        if now >= seconds:
            continue
        if kind == 0:
            before = now - STEP_S
            in_flight = sum(max(0.0, min(end, now) - max(begin, before)) for begin, end in served)
            step(now, in_flight / STEP_S, any(before < at <= now for at in refused_at))
        elif any(one["ready"] <= now < one["ended"] for one in containers):
            served.append((now, now + busy))
            answered += 1
        else:
            refused += 1
            delayed += tries == 0
            refused_at.append(now)
            if not any(one["ended"] == inf for one in containers):
                step(now, 0.0, True)
            wait_s = delay_s(tries, rng=Shortest())
            heapq.heappush(due, (now + wait_s, 1, number, busy, tries + 1))
    cost = sum(min(one["ended"], seconds) - one["started"] for one in containers)
    return refused, answered, delayed, cost


tenths = st.integers(0, 290).map(lambda tenth: tenth / 10 + 0.0137)
requests = st.lists(st.tuples(tenths, st.sampled_from([0.013, 0.2, 1.7, 6.1])), max_size=25)
autoscalers = st.builds(
    AutoscalerSettings,
    min_containers=st.integers(0, 2),
    max_containers=st.integers(2, 5),
    buffer_containers=st.integers(0, 2),
    target_concurrency=st.sampled_from([0.5, 1, 2, 3]),
    scaleup_window=st.sampled_from([0.0, 0.7]),
    scaledown_window=st.sampled_from([0.4, 2.0, 9.0]),
)


@settings(max_examples=60, deadline=None)
@given(requests=requests, told=autoscalers, boot_s=st.sampled_from([0.05, 1.03, 3.07]))
def test_it_is_what_a_plain_replay_says(requests, told, boot_s):
    conditions = Conditions(seconds=30.0, boots_s=(boot_s,))
    (found,) = replayed(opened(requests, seconds=30), [told], conditions, Shortest())
    refused, answered, delayed, cost = plainly(requests, told, conditions)
    assert (found.refused, found.answered, found.delayed) == (refused, answered, delayed)
    assert isclose(found.container_s, cost, abs_tol=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    requests=requests,
    told=autoscalers.filter(lambda told: told.min_containers > 0 and not told.scaleup_window),
    more=st.sampled_from(
        [
            lambda told: {"min_containers": min(told.min_containers + 1, told.max_containers)},
            lambda told: {"buffer_containers": told.buffer_containers + 1},
            lambda told: {"target_concurrency": told.target_concurrency / 2},
            lambda told: {"scaledown_window": told.scaledown_window * 2},
            lambda told: {"max_containers": told.max_containers + 1},
        ]
    ),
)
def test_a_warm_server_refuses_nothing_and_more_of_anything_never_costs_less(requests, told, more):
    # With boots that take time one that was asked for later may be kept longer.
    conditions = Conditions(seconds=30.0, boots_s=(0.0,))
    plan = opened(requests, seconds=30)
    raised = AutoscalerSettings(
        **{name: getattr(told, name) for name in AutoscalerSettings.__slots__} | more(told)
    )
    found, costlier = replayed(plan, [told, raised], conditions, Shortest())
    assert (found.refused, costlier.refused) == (0, 0)
    least, most = told.min_containers * 30.0, told.max_containers * 30.0
    assert least <= found.container_s <= most + 1e-6
    assert costlier.container_s >= found.container_s - 1e-6


@settings(max_examples=50, deadline=None)
@given(requests=requests, told=autoscalers, seed=st.integers(0, 1000))
def test_every_request_is_answered_refused_to_the_end_or_still_waiting(requests, told, seed):
    conditions = Conditions(seconds=30.0, boots_s=(0.5, 2.5), stops_s=(0.1,), deadline_s=4.0)
    plan = opened(requests, seconds=30)
    found, again = replayed(plan, [told, told], conditions, np.random.default_rng(seed))
    assert found.answered + found.gave_up <= len(requests)
    assert found.delayed <= found.refused
    assert found.waited_s >= 0
    # The settings have the same chances.
    assert again == found
