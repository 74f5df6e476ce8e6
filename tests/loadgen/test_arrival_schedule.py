import math
import random
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.arrival_schedule import (
    WHOLE,
    ArrivalProcess,
    RateSchedule,
    Share,
    arrivals,
)
from loadgen.errors import UsageError

CONSTANT, POISSON = ArrivalProcess.CONSTANT, ArrivalProcess.POISSON


@st.composite
def schedules(draw):
    """Ramps, steady parts, pauses and jumps, the last rate above 0."""
    rates = st.one_of(st.just(0.0), st.floats(0.5, 500), st.integers(1, 500).map(float))
    points = [(0.0, draw(rates))]
    for _ in range(draw(st.integers(0, 5))):
        second = points[-1][0] + draw(st.floats(0.01, 10))
        points.append((second, draw(rates)))
        if draw(st.booleans()):
            points.append((second, draw(rates)))
    points.append((points[-1][0] + 1.0, draw(st.floats(0.5, 500))))
    return RateSchedule(tuple(points))


def until(end, starts):
    return list(takewhile(lambda start: start < end, starts))


def never() -> float:
    pytest.fail("a constant process asked for a random number")


@pytest.mark.parametrize(
    ("text", "points"),
    [
        ("1000", ((0, 1000),)),
        ("0.25", ((0, 0.25),)),
        ("0:100,60:1000,120:100", ((0, 100), (60, 1000), (120, 100))),
        ("0:0,10:0,10:50", ((0, 0), (10, 0), (10, 50))),
        ("0:1e3, 0.5:2e3", ((0, 1000), (0.5, 2000))),
    ],
)
def test_a_rate_and_a_schedule_are_read(text, points):
    assert RateSchedule.parse(text).points == points


@given(schedules())
def test_what_is_written_reads_as_the_same(schedule):
    assert RateSchedule.parse(str(schedule)) == schedule


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected a rate per second"),
        ("fast", "'fast'"),
        ("0:100,60", "expected a rate per second, such as 100, or a schedule"),
        ("0:100,60:", "'0:100,60:'"),
        ("0:100,,60:5", "'0:100,,60:5'"),
        ("5:100", "first point is at 0 s, got 5 s"),
        ("0:100,60:10,30:10", "in order of time, got 30 s after 60 s"),
        ("0:1,5:1,5:2,5:3", "three at 5 s"),
        ("0", "above 0"),
        ("0:0,10:0", "above 0"),
        ("-1", "from 0 to 1e+06 per second, got -1"),
        ("nan", "got nan"),
        ("2e6", "from 0 to 1e+06"),
        ("0:1,inf:2", "got inf"),
        ("0:1,nan:2", "got nan"),
    ],
)
def test_what_is_no_schedule_is_refused_with_what_was_expected(text, complaint):
    with pytest.raises(UsageError) as refusal:
        RateSchedule.parse(text)
    assert complaint in str(refusal.value)


def test_the_rate_lies_on_straight_lines_between_the_points():
    schedule = RateSchedule.parse("0:100,60:1000,120:100")
    seconds = (0, 30, 60, 90, 120, 1000)
    assert [schedule.rate(second) for second in seconds] == [100, 550, 1000, 550, 100, 100]
    assert [schedule.integral(second) for second in (0, 30, 60, 120, 130)] == [
        *(0, 9750, 33000, 66000, 67000)
    ]


def test_a_jump_takes_effect_at_its_time():
    schedule = RateSchedule.parse("0:10,5:10,5:1000")
    assert (schedule.rate(4.999), schedule.rate(5)) == (10, 1000)
    assert until(5.01, arrivals(schedule, CONSTANT, uniform=never))[49:] == pytest.approx(
        [4.95, *(5.0005 + k / 1000 for k in range(10))]
    )


def test_a_steady_rate_has_its_arrivals_the_same_time_apart():
    starts = list(islice(arrivals(RateSchedule.parse("1000"), CONSTANT, uniform=never), 5000))
    assert starts == pytest.approx([(k + 0.5) / 1000 for k in range(5000)])


def test_a_schedule_that_ends_in_no_rate_ends_after_its_whole_area():
    schedule = RateSchedule.parse("0:1000,20:1000,20:0")
    starts = list(arrivals(schedule, CONSTANT, uniform=never))
    assert len(starts) == 20_000
    assert starts[-1] == pytest.approx(19.9995)
    ramp_down = RateSchedule.parse("0:100,10:0")
    assert len(list(arrivals(ramp_down, CONSTANT, uniform=never))) == 500
    assert all(
        start <= 10 for start in arrivals(ramp_down, POISSON, uniform=random.Random(1).random)
    )


def test_nothing_arrives_while_the_rate_is_zero():
    schedule = RateSchedule.parse("0:10,10:10,10:0,30:0,30:10")
    starts = until(40, arrivals(schedule, CONSTANT, uniform=never))
    assert len(starts) == 200
    assert not [start for start in starts if 10 < start < 30]


@given(schedules(), st.floats(0, 30), st.floats(0, 5))
def test_a_window_has_as_many_as_the_rates_integral_within_one(schedule, begin, length):
    end = begin + length
    starts = until(end, arrivals(schedule, CONSTANT, uniform=never))
    assert starts == sorted(starts)
    inside = sum(start >= begin for start in starts)
    meant = schedule.integral(end) - schedule.integral(begin)
    assert abs(inside - meant) <= 1 + 1e-6
    assert abs(len(starts) - schedule.integral(end)) <= 0.5 + 1e-6


@given(schedules(), st.floats(0, 30))
def test_the_integral_is_that_of_the_rate(schedule, second):
    steps = 2000
    width = second / steps
    summed = math.fsum(schedule.rate((step + 0.5) * width) * width for step in range(steps))
    # Each jump is off by at most half a step of at most 500 per second.
    assert schedule.integral(second) == pytest.approx(summed, abs=500 * width * 7 + 1e-6)


@given(schedules(), st.integers(1, 7))
def test_the_shares_are_the_whole_together(schedule, count):
    whole = until(20, arrivals(schedule, CONSTANT, uniform=never))
    shares = [
        until(20, arrivals(schedule, CONSTANT, share=Share(index, count), uniform=never))
        for index in range(count)
    ]
    assert sorted(start for share in shares for start in share) == whole
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(schedules(), st.integers(1, 5), st.integers(1, 5), st.floats(0, 15))
def test_shares_that_change_on_the_way_lose_and_repeat_nothing(schedule, before, after, at):
    whole = until(20, arrivals(schedule, CONSTANT, uniform=never))
    met = [
        start
        for index in range(before)
        for start in until(
            at, arrivals(schedule, CONSTANT, share=Share(index, before), uniform=never)
        )
    ] + [
        start
        for index in range(after)
        for start in until(
            20,
            arrivals(schedule, CONSTANT, share=Share(index, after), uniform=never, since_s=at),
        )
    ]
    close = [start for start in whole if abs(start - at) < 1e-6]
    assert abs(len(met) - len(whole)) <= len(close)
    if not close:
        assert sorted(met) == pytest.approx(whole)


def test_a_process_is_known_by_its_name():
    assert [ArrivalProcess.parse(name) for name in ("constant", "poisson")] == [CONSTANT, POISSON]
    with pytest.raises(UsageError, match="expected constant or poisson, got 'pareto'"):
        ArrivalProcess.parse("pareto")


@pytest.mark.parametrize(("index", "count"), [(-1, 1), (1, 1), (3, 2), (0, 0)])
def test_a_share_that_cannot_be_is_refused(index, count):
    with pytest.raises(UsageError):
        Share(index, count)


def kolmogorov_distance(samples, distribution):
    """The greatest distance of the samples' distribution from a given one."""
    count = len(samples)
    return max(
        max((place + 1) / count - distribution(value), distribution(value) - place / count)
        for place, value in enumerate(sorted(samples))
    )


# The distance that one sample of a million exceeds by chance (Kolmogorov's law); the seeds are
# fixed, so it is met always or never.
CRITICAL = 2.69


@pytest.mark.parametrize("seed", range(3))
def test_gaps_of_a_poisson_process_are_exponential(seed):
    starts = list(
        islice(
            arrivals(RateSchedule.parse("1000"), POISSON, uniform=random.Random(seed).random),
            20_001,
        )
    )
    gaps = [after - before for before, after in pairwise([0.0, *starts])]
    assert kolmogorov_distance(gaps, lambda gap: 1 - math.exp(-1000 * gap)) < (
        CRITICAL / math.sqrt(len(gaps))
    )
    # Each gap is independent of the one before it.
    mean = sum(gaps) / len(gaps)
    covariance = sum((a - mean) * (b - mean) for a, b in pairwise(gaps)) / len(gaps)
    assert abs(covariance) / mean**2 < 5 / math.sqrt(len(gaps))


def test_a_poisson_process_of_a_changing_rate_follows_its_integral():
    """Given how many there are, their times are independent and distributed as the integral."""
    schedule = RateSchedule.parse("0:100,60:1000,120:100")
    starts = until(120, arrivals(schedule, POISSON, uniform=random.Random(4).random))
    assert abs(len(starts) - 66_000) < 5 * math.sqrt(66_000)
    assert kolmogorov_distance(starts, lambda start: schedule.integral(start) / 66_000) < (
        CRITICAL / math.sqrt(len(starts))
    )


def test_poisson_shares_are_a_poisson_process_together():
    schedule = RateSchedule.parse("1000")
    shares = [
        until(
            20,
            arrivals(schedule, POISSON, share=Share(k, 3), uniform=random.Random(10 + k).random),
        )
        for k in range(3)
    ]
    for share in shares:
        assert abs(len(share) - 20_000 / 3) < 5 * math.sqrt(20_000 / 3)
    starts = sorted(start for share in shares for start in share)
    gaps = [after - before for before, after in pairwise(starts)]
    assert kolmogorov_distance(gaps, lambda gap: 1 - math.exp(-1000 * gap)) < (
        CRITICAL / math.sqrt(len(gaps))
    )


def test_a_poisson_process_taken_up_later_begins_there():
    schedule = RateSchedule.parse("0:0,10:100")
    starts = until(10, arrivals(schedule, POISSON, uniform=random.Random(2).random, since_s=6.0))
    assert starts[0] > 6
    assert abs(len(starts) - 320) < 5 * math.sqrt(320)


def test_areas_that_are_given_are_found_again():
    schedule = RateSchedule.parse("0:0,10:100,10:20,20:0,25:0,30:7")
    areas = [0.1, 1, 250, 499.5, 500, 501, 599.5, 600.5, 617, 700]
    assert [schedule.integral(moment) for moment in schedule.moments(areas)] == pytest.approx(areas)
    first = next(arrivals(schedule, CONSTANT, share=WHOLE, uniform=never))
    assert first == pytest.approx(math.sqrt(0.1))
