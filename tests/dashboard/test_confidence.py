"""Intervals against what the textbooks' formulas and tables, and simulations, say."""

from math import erfc, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.confidence import (
    FEWEST_BLOCKS,
    Difference,
    blocks_of,
    difference_of,
    wilson_interval,
)


def test_the_interval_of_a_share_is_the_published_one() -> None:
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
    for hits, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=5e-5)


def test_there_is_no_interval_without_a_trial() -> None:
    assert wilson_interval(0, 0) is None


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_of_a_share_holds_the_share_and_is_one(hits: int, more: int) -> None:
    trials = hits + more
    found = wilson_interval(hits, trials)
    assert found is not None
    low, high = found
    assert 0 <= low <= hits / trials <= high <= 1
    mirrored = wilson_interval(trials - hits, trials)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(st.integers(1, 400), st.integers(1, 5), st.integers(1, 60))
def test_blocks_keep_every_count_and_are_of_about_one_length(
    steps: int, columns: int, most: int
) -> None:
    ones = np.ones((steps, columns))
    blocks = blocks_of(ones, most)
    assert blocks.sum(axis=0).tolist() == [steps] * columns
    assert len(blocks) == min(most, steps)
    assert blocks.max() - blocks.min() <= 1


# Student's t: quantiles that leave 2.5 % above them, from any table.
STUDENT = {4: 2.776, 7: 2.365, 9: 2.262, 14: 2.145, 19: 2.093, 29: 2.045, 39: 2.023, 1000: 1.962}


@pytest.mark.parametrize("freedom", STUDENT)
def test_the_interval_has_the_width_of_student_s_distribution(freedom: int) -> None:
    low, high = Difference(1.0, 2.0, freedom + 1).interval
    assert low + high == pytest.approx(2.0)
    assert (high - low) / 4 == pytest.approx(STUDENT[freedom], rel=0.006)
    # What just leaves out zero has a p-value of 0.05, and with a margin so does what is beyond it.
    edge = (high - low) / 2
    assert Difference(edge, 2.0, freedom + 1).p_value() == pytest.approx(0.05, abs=1e-9)
    beyond = Difference(-edge - 0.5, 2.0, freedom + 1)
    assert beyond.p_value(0.5) == pytest.approx(0.05, abs=1e-9)


def test_p_values_far_out_are_those_of_student_s_distribution() -> None:
    # Two-sided, from tables of Student's t: 0.002 and 0.001 above.
    for freedom, t, p in ((9, 4.297, 0.002), (39, 3.558, 0.001), (19, 3.883, 0.001)):
        assert Difference(t, 1.0, freedom + 1).p_value() == pytest.approx(p, rel=0.03)
    many = Difference(3.0, 1.0, 1e6).p_value()
    assert many == pytest.approx(erfc(3.0 / sqrt(2)), rel=1e-3)


def test_what_every_block_agrees_on_is_sure() -> None:
    exact = Difference(0.1, 0.0, 40)
    assert (exact.interval, exact.p_value(), exact.p_value(0.1)) == ((0.1, 0.1), 0.0, 1.0)
    assert Difference(0.0, 0.0, 40).p_value() == 1.0


def mean(drawn: np.ndarray) -> np.ndarray:
    return drawn[..., 1] / drawn[..., 0]


def counted(values: np.ndarray) -> np.ndarray:
    """Blocks of number and sum, from (blocks, samples)."""
    return np.column_stack((np.full(len(values), float(values.shape[1])), values.sum(axis=1)))


def test_the_error_of_a_difference_of_means_is_that_of_the_textbook() -> None:
    rng = np.random.default_rng(7)
    first = rng.exponential(0.1, size=(40, 50))
    second = rng.exponential(0.08, size=(40, 50))
    found = difference_of(counted(first), counted(second), mean)
    assert found is not None
    assert found.value == pytest.approx(second.mean() - first.mean())
    # Blocks are of equal size, so the difference is a mean of differences of blocks.
    of_blocks = second.mean(axis=1) - first.mean(axis=1)
    alike = np.corrcoef(of_blocks[1:], of_blocks[:-1])[0, 1]
    shrunk = max(0.0, alike + (1 + 3 * alike) / 40)
    assert found.independent == pytest.approx(40 * (1 - shrunk) / (1 + shrunk), rel=0.1)
    error = of_blocks.std(ddof=1) / sqrt(found.independent)
    assert found.error == pytest.approx(error, rel=0.08)


def correlated(rng: np.random.Generator, trials: int, seconds: int, alike: float) -> np.ndarray:
    """Series whose every second is like the one before, of standard deviation 1: (trials, n)."""
    shocks = rng.normal(0, sqrt(1 - alike**2), size=(trials, seconds))
    found = np.empty_like(shocks)
    found[:, 0] = rng.normal(size=trials)
    for second in range(1, seconds):
        found[:, second] = alike * found[:, second - 1] + shocks[:, second]
    return found


def share_that_holds(first: np.ndarray, second: np.ndarray, truth: float) -> float:
    """In what share of trials the interval of the difference of means holds the true one."""
    holding = 0
    for one, other in zip(first, second, strict=True):
        blocks = [blocks_of(np.column_stack((np.ones(len(v)), v))) for v in (one, other)]
        found = difference_of(blocks[0], blocks[1], mean)
        if found is not None:
            low, high = found.interval
            holding += low <= truth <= high
    return holding / len(first)


TRIALS = 400
# Three standard deviations of a share of 0.95 in as many trials.
CHANCE = 3 * sqrt(0.95 * 0.05 / TRIALS)


@pytest.mark.parametrize(
    ("alike", "seconds", "allowed"),
    [
        (0.0, 120, 0.0),
        (0.0, 30, 0.0),
        (0.5, 120, 0.0),
        (0.8, 300, 0.01),
        # So much of what lasts is hard to tell from chance within two minutes.
        (0.8, 120, 0.02),
    ],
)
def test_nineteen_of_twenty_intervals_hold_the_true_difference(
    alike: float, seconds: int, allowed: float
) -> None:
    rng = np.random.default_rng(20)
    first = 10 + correlated(rng, TRIALS, seconds, alike)
    second = 10.5 + correlated(rng, TRIALS, seconds, alike)
    assert share_that_holds(first, second, 0.5) >= 0.95 - CHANCE - allowed


def test_what_a_moment_does_to_both_is_no_uncertainty_of_the_difference() -> None:
    rng = np.random.default_rng(11)
    moments = 10 + 3 * correlated(rng, TRIALS, 120, 0.9)
    first = moments + rng.normal(0.0, 0.1, size=moments.shape)
    second = moments + rng.normal(0.1, 0.1, size=moments.shape)
    assert share_that_holds(first, second, 0.1) >= 0.95 - CHANCE
    found = difference_of(counted(first[0].reshape(40, 3)), counted(second[0].reshape(40, 3)), mean)
    assert found is not None
    assert found.error == pytest.approx(0.1 * sqrt(2 / 120), rel=0.4)


def test_too_few_blocks_tell_nothing() -> None:
    some = np.ones((FEWEST_BLOCKS, 2))
    none = np.zeros((40, 2))
    found = difference_of(some, some, mean)
    assert found == Difference(0.0, 0.0, FEWEST_BLOCKS)
    assert difference_of(some[1:], some[1:], mean) is None
    assert difference_of(none, np.ones((40, 2)), mean) is None


def test_blocks_that_are_all_alike_tell_nothing() -> None:
    """What rises from block to block is one thing that happened, however many blocks there are."""
    rising = np.column_stack((np.ones(40), np.arange(40.0)))
    flat = np.ones((40, 2))
    assert difference_of(flat, rising, mean) is None


def test_blocks_that_differ_by_rounding_only_are_as_many_as_they_are() -> None:
    """Every block has the mean of 0.3, but for how it was added up."""
    first = np.column_stack((np.full(40, 3.0), 0.9 * (1 + np.linspace(0, 4e-15, 40))))
    found = difference_of(first, first * [1.0, 2.0], mean)
    assert found is not None
    assert (found.value, found.independent) == (pytest.approx(0.3), 40)
    assert found.error < 1e-12


def test_blocks_of_one_side_only_count_in_its_figure() -> None:
    """The interval is of the figure that stands beside it, of all that was counted."""
    rng = np.random.default_rng(3)
    first, second = (counted(rng.normal(1.0, 0.1, size=(40, 5))) for _ in range(2))
    first[::2] = 0
    found = difference_of(first, second, mean)
    assert found is not None
    assert found.value == pytest.approx(second[:, 1].sum() / 200 - first[:, 1].sum() / 100)
    # Of half as many samples a mean is known worse.
    assert found.error == pytest.approx(0.1 * sqrt(1 / 200 + 1 / 100), rel=0.4)
