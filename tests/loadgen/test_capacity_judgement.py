from dataclasses import replace

import pytest

from flash.buckets import BUCKETS, bucket_of, quantile
from loadgen.capacity_judgement import Look, judge
from loadgen.capacity_search import Verdict
from loadgen.dispatcher import Arrived
from loadgen.objective import parse_objectives
from loadgen.region_figures import RegionFigures


def counted(pairs):
    counts = [0] * BUCKETS
    for seconds, count in pairs:
        counts[bucket_of(seconds)] += count
    return tuple(counts)


NOTHING = RegionFigures(
    requests=0,
    ok=0,
    attempts=0,
    responses_503=0,
    latency=counted([]),
    response_time=counted([]),
    schedule_lag=counted([]),
)
BEFORE = Look(
    at_s=100.0,
    arrived=Arrived(50, 50, 0, 0, 5),
    regions={"us-east": NOTHING},
    in_flight={"us-east": 0},
    cpu_s={"worker-0": (7.0, 20.0), "worker-1": (1.0, 30.0)},
    present={"worker-0", "worker-1"},
)


def after(  # all as it should be: 1,000 requests of 10 ms in 10 s
    *,
    latency=((0.010, 1000),),
    response_time=((0.011, 1000),),
    lag=((0.0002, 1000),),
    ok=1000,
    ended=1000,
    sent=1000,
    waited=0,
    cpu=0.2,
    present=("worker-0", "worker-1"),
):
    return Look(
        at_s=110.0,
        arrived=Arrived(50 + 1000, 50 + sent, 0, 1000 - sent, 5 + waited),
        regions={
            "us-east": RegionFigures(
                requests=ended,
                ok=ok,
                attempts=ended,
                responses_503=0,
                latency=counted(latency),
                response_time=counted(response_time),
                schedule_lag=counted(lag),
            )
        },
        in_flight={"us-east": 3},
        cpu_s={"worker-0": (7.0 + 10 * cpu, 30.0), "worker-1": (1.0 + 1.0, 40.0)},
        present=frozenset(present),
    )


OBJECTIVES = parse_objectives("p99<50ms,response_time.p99<100ms,errors<1%")


def judged(look):
    return judge(
        OBJECTIVES,
        "us-east",
        rate=100.0,
        before=BEFORE,
        after=look,
        told={"worker-0", "worker-1"},
    )


def test_a_step_has_the_figures_of_its_time_alone():
    step = judged(after(cpu=0.25))
    assert (step.verdict, step.reason) == (Verdict.HELD, "")
    assert (step.rate, step.seconds, step.samples) == (100.0, 10.0, 1000)
    assert (step.offered_per_s, step.answered_per_s) == (100.0, 100.0)
    assert step.cpu_ratio == pytest.approx({"worker-0": 0.25, "worker-1": 0.1})
    p99, response_time, errors = (one.value for one in step.measured)
    assert p99 == quantile(counted([(0.010, 1)]), 0.99)
    assert response_time == quantile(counted([(0.011, 1)]), 0.99)
    assert errors == 0.0
    assert step.schedule_lag_p99_s == quantile(counted([(0.0002, 1)]), 0.99)


SLOW = ((0.2, 1000),)


@pytest.mark.parametrize(
    ("look", "verdict", "reason"),
    [
        (after(), Verdict.HELD, ""),
        # The server.
        (after(latency=SLOW), Verdict.MISSED, "p99<50ms"),
        (after(latency=SLOW, response_time=SLOW), Verdict.MISSED, "p99<50ms, response_time.p99"),
        (after(ok=980), Verdict.MISSED, "errors<1%"),
        (after(ok=0, ended=0, latency=(), response_time=()), Verdict.MISSED, "p99<50ms, respon"),
        (after(ended=900, ok=900), Verdict.MISSED, "100 more requests were sent than ended"),
        # It is too slow, so that its users are busy: they are not too few.
        (after(latency=SLOW, sent=600, ended=600, ok=600, waited=500), Verdict.MISSED, "p99<50ms"),
        (
            after(latency=SLOW, waited=500, lag=((0.3, 1000),)),
            Verdict.MISSED,
            "p99<50ms",
        ),
        # The generator.
        (after(present=["worker-1"]), Verdict.LIMITED, "lost worker-0"),
        (after(latency=SLOW, cpu=0.97), Verdict.LIMITED, "worker-0 used 97% of a core"),
        (after(cpu=0.97), Verdict.HELD, ""),
        (after(waited=10), Verdict.LIMITED, "10 of 1000 arrivals found no user free; have more"),
        (after(waited=9), Verdict.HELD, ""),
        (
            after(response_time=SLOW, waited=100, lag=((0.15, 1000),)),
            Verdict.LIMITED,
            "100 of 1000 arrivals found no user free; have more --users",
        ),
        (after(lag=((0.2, 20), (0.001, 980))), Verdict.LIMITED, "requests started up to 201 ms"),
        (
            after(latency=((0.06, 1000),), lag=((0.04, 1000),)),
            Verdict.LIMITED,
            "requests started 38.8 ms late at p99",
        ),
        (after(latency=((0.06, 1000),), lag=((0.02, 1000),)), Verdict.MISSED, "p99<50ms"),
    ],
)
def test_what_the_generator_cannot_do_is_not_taken_for_what_the_server_cannot(
    look, verdict, reason
):
    step = judged(look)
    assert step.verdict is verdict
    assert step.reason.startswith(reason)
    assert bool(step.reason) == bool(reason)


def test_a_process_that_was_not_there_before_has_no_cpu_ratio():
    look = after()
    look = replace(look, cpu_s={**look.cpu_s, "worker-2": (5.0, 5.0)})
    assert set(judged(look).cpu_ratio) == {"worker-0", "worker-1"}
