import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.capacity_search import (
    RateRange,
    Tried,
    Verdict,
    highest_held,
    most_steps,
    next_rate,
)
from loadgen.errors import UsageError

HELD, MISSED, LIMITED = Verdict.HELD, Verdict.MISSED, Verdict.LIMITED
RATES = RateRange(10, 1000)


def tried(*pairs):
    return [Tried(rate, verdict) for rate, verdict in pairs]


@pytest.mark.parametrize(
    ("history", "following"),
    [
        ([], 10),
        ([(10, HELD)], 20),
        ([(10, HELD), (20, HELD)], 40),
        ([(600, HELD)], 1000),
        ([(600, HELD), (1000, HELD)], None),
        ([(10, MISSED)], None),
        ([(10, LIMITED)], None),
        ([(10, HELD), (20, MISSED)], 15),
        ([(10, HELD), (20, LIMITED)], 15),
        ([(10, HELD), (20, MISSED), (15, HELD)], 17.5),
        ([(10, HELD), (20, MISSED), (15, MISSED)], 12.5),
        ([(100, HELD), (110, MISSED)], None),
        ([(100, HELD), (111, MISSED)], 105.5),
        # What was not held lower down goes before what was held higher up.
        ([(100, HELD), (200, HELD), (400, MISSED), (150, MISSED)], 125),
    ],
)
def test_rates_double_and_are_bisected_then(history, following):
    assert next_rate(RATES, 0.1, tried(*history)) == following


def test_the_capacity_is_the_highest_rate_held_below_all_that_were_not():
    assert highest_held([]) is None
    assert highest_held(tried((10, MISSED))) is None
    assert highest_held(tried((10, HELD), (20, HELD), (40, LIMITED))) == 20
    assert highest_held(tried((10, HELD), (40, HELD), (20, MISSED))) == 10


LOWEST = st.floats(0.1, 1e3)
SPAN = st.floats(1, 1e3)
RESOLUTION = st.floats(0.001, 0.5)


def searched(rates, resolution, verdict_of):
    history = []
    while (rate := next_rate(rates, resolution, history)) is not None:
        assert rates.lowest <= rate <= rates.highest
        assert rate not in [one.rate for one in history]
        history.append(Tried(rate, verdict_of(rate)))
        assert len(history) <= most_steps(rates, resolution)
    return history


@given(LOWEST, SPAN, RESOLUTION, st.floats(0, 2))
def test_of_a_server_with_a_capacity_it_is_found_within_the_resolution(
    lowest, span, resolution, at
):
    rates = RateRange(lowest, lowest * span)
    capacity = rates.highest * at
    history = searched(rates, resolution, lambda rate: HELD if rate <= capacity else MISSED)
    found = highest_held(history)
    if capacity < rates.lowest:
        assert found is None
        assert len(history) == 1
    elif capacity >= rates.highest:
        assert found == rates.highest
    else:
        assert found is not None
        assert found <= capacity < found * (1 + resolution) * (1 + 1e-9)


@given(LOWEST, SPAN, RESOLUTION, st.data())
def test_a_search_ends_whatever_the_verdicts_are(lowest, span, resolution, data):
    history = searched(
        RateRange(lowest, lowest * span),
        resolution,
        lambda rate: data.draw(st.sampled_from(list(Verdict))),
    )
    found = highest_held(history)
    not_held = [one.rate for one in history if one.verdict is not HELD]
    assert found is None or all(found < rate for rate in not_held)


@given(LOWEST, SPAN, RESOLUTION, st.floats(0, 1), st.floats(0, 1))
def test_a_generator_that_ends_first_ends_the_way_up(lowest, span, resolution, server, generator):
    rates = RateRange(lowest, lowest * span)
    makes, holds = rates.highest * generator, rates.highest * server

    def verdict_of(rate):
        return LIMITED if rate > makes else HELD if rate <= holds else MISSED

    found = highest_held(searched(rates, resolution, verdict_of))
    assert found is None or found <= min(makes, holds)


@pytest.mark.parametrize("text", ["1:10000", "0.5:64"])
def test_a_range_of_rates_reads_as_it_is_written(text):
    assert str(RateRange.parse(text)) == text


@pytest.mark.parametrize("text", ["", "5", "1:", "a:b", "0:5", "-1:5", "9:5", "1:nan", "1:2e6"])
def test_what_is_no_range_of_rates_is_refused(text):
    with pytest.raises(UsageError, match="expected rates LOWEST:HIGHEST"):
        RateRange.parse(text)
