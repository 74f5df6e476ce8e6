"""The search against a queue of known capacity, in time that passes when it is slept."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash.buckets import BUCKETS, bucket_of
from loadgen.capacity_judgement import Look
from loadgen.capacity_run import CapacityPlan, CapacityRun
from loadgen.capacity_search import RateRange, Verdict
from loadgen.dispatcher import Arrived
from loadgen.objective import parse_objectives
from loadgen.region_figures import RegionFigures

TICK_S = 0.01


class Region:
    def __init__(self, per_s, cold_s):
        self.per_s = per_s
        self.cold_s = cold_s
        self.queue = 0.0
        self.ended = 0.0
        self.refused = 0
        self.latency = [0] * BUCKETS


class Simulated:
    """Servers that answer so many requests per second, and a generator that can make so many.

    A request waits for those before it; the first ``cold_s`` seconds of load are answered with 503.
    """

    def __init__(self, servers, *, makes=float("inf"), cold_s=0.0):
        self.now = 0.0
        self.regions = {name: Region(per_s, cold_s) for name, per_s in servers.items()}
        self.makes = makes
        self.offers = []
        self._target = None
        self._rate = 0.0
        self._intended = self._started = self._waited = 0.0

    def offer(self, region, rate):
        self.offers.append((round(self.now, 6), region, rate))
        self._target, self._rate = self.regions[region], rate or 0.0
        return frozenset()

    def sleep(self, seconds):
        for _ in range(round(seconds / TICK_S)):
            self._tick()

    def _tick(self):
        self.now += TICK_S
        region, rate = self._target, min(self._rate, self.makes)
        self._intended += self._rate * TICK_S
        self._started += rate * TICK_S
        self._waited += (self._rate - rate) * TICK_S
        if region.cold_s > 0 and rate:
            region.cold_s -= TICK_S
            region.refused += 1
            return
        region.queue += rate * TICK_S
        answered = min(region.queue, region.per_s * TICK_S)
        region.latency[bucket_of(0.005 + region.queue / region.per_s)] += answered
        region.queue -= answered
        region.ended += answered

    def look(self):
        return Look(
            at_s=self.now,
            arrived=Arrived(self._intended, self._started, 0, 0, self._waited),
            regions={
                name: RegionFigures(
                    requests=region.ended,
                    ok=region.ended,
                    attempts=region.ended + region.refused,
                    responses_503=region.refused,
                    latency=tuple(region.latency),
                    response_time=tuple(region.latency),
                    schedule_lag=(0,) * BUCKETS,
                )
                for name, region in self.regions.items()
            },
            in_flight={name: round(region.queue) for name, region in self.regions.items()},
            cpu_s={},
        )


def plan(**changes):
    return CapacityPlan(
        **{
            "objectives": parse_objectives("p90<100ms,share_503<1%"),
            "rates": RateRange(10, 2000),
            "resolution": 0.05,
            "hold_s": 10.0,
            "settle_s": 2.0,
            "warmup_s": 60.0,
            **changes,
        }
    )


def searched(simulated, of_plan):
    told = []
    run = CapacityRun(
        of_plan, simulated, sleep=simulated.sleep, say=lambda region, step: told.append(region)
    )
    run.search(list(simulated.regions))
    limited = [step for one in run.found for step in one.steps if step.verdict is Verdict.LIMITED]
    assert len(told) == len(limited) + sum(len(one.steps) for one in run.found)
    assert sorted(set(told), key=told.index) == [one.region for one in run.found]
    assert all(one.is_complete for one in run.found)
    return run.found


@settings(max_examples=15)
@given(st.floats(20, 1500))
def test_a_server_s_capacity_is_found_within_the_resolution(capacity):
    (found,) = searched(Simulated({"us-east": capacity}), plan())
    # A rate just above it builds up a queue that its time is too short to show: 100 ms in 10 s.
    assert capacity / 1.06 <= found.rate <= capacity * 1.02
    assert found.ceiling.verdict is Verdict.MISSED


def test_regions_are_searched_one_after_the_other_and_each_has_its_own():
    simulated = Simulated({"us-east": 300, "eu-west": 70})
    east, west = searched(simulated, plan())
    assert east.rate == pytest.approx(300, rel=0.06)
    assert west.rate == pytest.approx(70, rel=0.06)
    order = [region for _, region, _ in simulated.offers]
    assert order == sorted(order, key=["us-east", "eu-west"].index)


def test_cold_starts_are_over_before_the_first_rate_is_judged():
    (found,) = searched(Simulated({"us-east": 100}, cold_s=20), plan())
    assert found.rate == pytest.approx(100, rel=0.06)
    assert found.steps[0].verdict is Verdict.HELD


def test_cold_starts_are_judged_if_asked_for():
    (found,) = searched(Simulated({"us-east": 100}, cold_s=20), plan(warmup_s=0.0))
    assert found.rate is None
    assert found.steps[0].verdict is Verdict.MISSED
    assert len(found.steps) == 1


def test_a_server_that_never_wakes_is_not_waited_for_for_ever():
    simulated = Simulated({"us-east": 100}, cold_s=1e9)
    (found,) = searched(simulated, plan())
    assert found.rate is None
    assert simulated.now < 80


def test_each_rate_settles_before_it_is_judged_and_what_is_left_of_it_is_waited_for():
    simulated = Simulated({"us-east": 100})
    (found,) = searched(simulated, plan(warmup_s=0.0))
    offers = simulated.offers
    assert [rate for _, _, rate in offers if rate is not None] == [one.rate for one in found.steps]
    for (at_s, _, rate), (next_s, _, _) in pairwise(offers):
        if rate is not None:
            assert next_s - at_s == pytest.approx(12.0)
        else:
            # 160/s for 12 s leave a queue of 720, which takes 7.2 s.
            assert next_s - at_s < 8
    missed = [n for n, (_, _, rate) in enumerate(offers) if rate == 160]
    assert offers[missed[0] + 1][2] is None


def test_the_generator_s_limit_is_not_taken_for_the_server_s():
    (found,) = searched(Simulated({"us-east": 1000}, makes=205), plan())
    assert found.rate == pytest.approx(205, rel=0.06)
    assert found.ceiling.verdict is Verdict.LIMITED
    assert "found no user free" in found.ceiling.reason


def test_a_generator_that_was_kept_from_a_rate_once_is_given_another_chance():
    simulated = Simulated({"us-east": 100}, makes=1.0)

    def sleep(seconds):
        simulated.sleep(seconds)
        simulated.makes = float("inf")  # what was in its way is gone

    said = []
    run = CapacityRun(
        plan(warmup_s=0.0, settle_s=10.0, hold_s=0.5),
        simulated,
        sleep=lambda seconds: simulated.sleep(seconds) if seconds == 10.0 else sleep(seconds),
        say=lambda region, step: said.append(step.verdict),
    )
    run.search(["us-east"])
    (found,) = run.found
    assert said[:2] == [Verdict.LIMITED, Verdict.HELD]
    assert [step.rate for step in found.steps[:2]] == [10, 20]
    assert Verdict.LIMITED not in [step.verdict for step in found.steps]


def test_the_highest_rate_may_be_held():
    (found,) = searched(Simulated({"us-east": 1e5}), plan(rates=RateRange(100, 700)))
    assert (found.rate, found.ceiling) == (700, None)
    assert [step.rate for step in found.steps] == [100, 200, 400, 700]
