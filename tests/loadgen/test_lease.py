import random
from math import inf
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.arrival_schedule import ArrivalProcess, RateSchedule, Share, arrivals
from loadgen.lease import EVERYTHING, LEASE_S, Lease, LeasedArrivals, Lessor

SCHEDULES = ("7", "0:0,10:40,20:3", "0:50,5:50,5:0", "0:0,3:0,3:100,6:0,9:31.7")


def leased(text: str, leases, process=ArrivalProcess.CONSTANT, seed: int = 1) -> list[float]:
    made = LeasedArrivals(RateSchedule.parse(text), process, random.Random(seed).random)
    for lease in leases:
        made.take(lease)
    return list(made)


def whole(text: str, until_s: float) -> list[float]:
    return list(
        arrivals(
            RateSchedule.parse(text), ArrivalProcess.CONSTANT, uniform=lambda: 0.5, until_s=until_s
        )
    )


def test_leases_follow_each_other_and_reach_ahead():
    lessor = Lessor()
    assert lessor.lease(["a"], 0.0) == {"a": Lease(Share(0, 1), 0.0, LEASE_S)}
    assert lessor.lease(["a", "b"], 1.0) == {
        "a": Lease(Share(0, 2), LEASE_S, 1 + LEASE_S),
        "b": Lease(Share(1, 2), LEASE_S, 1 + LEASE_S),
    }
    assert lessor.lease(["b"], 1.0) == {}


def test_what_nobody_was_there_for_is_leased_to_who_comes_next():
    lessor = Lessor()
    lessor.lease(["a"], 0.0)
    assert lessor.lease([], 20.0) == {}
    assert lessor.lease(["b"], 30.0) == {"b": Lease(Share(0, 1), LEASE_S, 30 + LEASE_S)}


LOOKS = st.lists(
    st.tuples(st.floats(0.01, 4.0), st.sets(st.sampled_from("abcd"))), min_size=1, max_size=25
)


@given(st.sampled_from(SCHEDULES), LOOKS)
def test_whoever_comes_and_goes_each_arrival_is_exactly_one_worker_s(text, looks):
    lessor, elapsed_s, until_s = Lessor(), 0.0, 0.0
    of: dict[str, list[Lease]] = {}
    for passed_s, busy in looks:
        for name, lease in lessor.lease(sorted(busy), elapsed_s).items():
            of.setdefault(name, []).append(lease)
            until_s = lease.until_s
        elapsed_s += passed_s
    together = sorted(moment for leases in of.values() for moment in leased(text, leases))
    assert together == pytest.approx(whole(text, until_s))
    for leases in of.values():
        moments = leased(text, leases)
        assert moments == sorted(moments)


def test_more_leases_may_follow_when_the_first_have_come_to_their_end():
    made = LeasedArrivals(RateSchedule.parse("10"), ArrivalProcess.CONSTANT, lambda: 0.5)
    assert next(made, inf) == inf
    made.take(Lease(Share(0, 1), 0.0, 0.2))
    assert list(made) == pytest.approx([0.05, 0.15])
    made.take(Lease(Share(0, 1), 0.2, 0.3))
    assert list(made) == pytest.approx([0.25])


def test_a_poisson_process_in_leases_has_its_rate_and_its_scatter():
    """Of 2,000 leases of half a second at 20/s, by two workers: mean and variance are 10 each."""
    leases = [Lease(Share(0, 2), n / 2, (n + 1) / 2) for n in range(2000)]
    counts = [0] * 2000
    for seed in (1, 2):
        for moment in leased("20", leases, ArrivalProcess.POISSON, seed):
            counts[int(moment * 2)] += 1
    mean = fmean(counts)
    assert mean == pytest.approx(10, rel=0.03)
    assert fmean((count - mean) ** 2 for count in counts) == pytest.approx(10, rel=0.15)


def test_everything_is_the_whole_schedule():
    assert leased("0:50,5:50,5:0", [EVERYTHING]) == whole("0:50,5:50,5:0", 100.0)
