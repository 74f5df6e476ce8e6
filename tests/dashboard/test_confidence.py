"""Intervals against what the textbooks' formulas and simulations say."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.confidence import FEWEST_BLOCKS, blocks_of, difference_interval, wilson_interval


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


@given(st.integers(1, 400), st.integers(1, 5))
def test_blocks_keep_every_count_and_are_of_about_one_length(steps: int, columns: int) -> None:
    ones = np.ones((steps, columns))
    blocks = blocks_of(ones)
    assert blocks.sum(axis=0).tolist() == [steps] * columns
    assert len(blocks) == min(40, steps)
    assert blocks.max() - blocks.min() <= 1


def mean(drawn: np.ndarray) -> np.ndarray:
    return drawn[..., 1] / drawn[..., 0]


def counted(values: np.ndarray) -> np.ndarray:
    """Blocks of number and sum, from (blocks, samples)."""
    return np.column_stack((np.full(len(values), float(values.shape[1])), values.sum(axis=1)))


def test_the_interval_of_a_difference_of_means_is_that_of_the_normal_approximation() -> None:
    rng = np.random.default_rng(7)
    first = rng.exponential(0.1, size=(40, 50))
    second = rng.exponential(0.08, size=(40, 50))
    found = difference_interval(counted(first), counted(second), mean, rng=np.random.default_rng(1))
    assert found is not None
    middle = second.mean() - first.mean()
    # Blocks are of equal size, so the difference is a mean of independent differences of blocks.
    of_blocks = second.mean(axis=1) - first.mean(axis=1)
    half = 1.96 * of_blocks.std(ddof=1) / sqrt(len(of_blocks))
    assert found == pytest.approx((middle - half, middle + half), abs=0.12 * half)


def test_nineteen_of_twenty_intervals_hold_the_true_difference() -> None:
    rng = np.random.default_rng(11)
    holding = 0
    for trial in range(200):
        # What a moment does to both is large, and no difference between them.
        moment = rng.normal(1.0, 0.2, size=(30, 1))
        first = moment + rng.normal(0.00, 0.05, size=(30, 20))
        second = moment + rng.normal(0.01, 0.05, size=(30, 20))
        found = difference_interval(
            counted(first), counted(second), mean, rng=np.random.default_rng(trial)
        )
        assert found is not None
        low, high = found
        assert high - low < 0.02
        holding += low <= 0.01 <= high
    # 190 expected; a bootstrap of 30 blocks is a little too narrow.
    assert 176 <= holding <= 199


def test_too_few_blocks_tell_nothing() -> None:
    some = np.ones((FEWEST_BLOCKS, 2))
    none = np.zeros((40, 2))
    rng = np.random.default_rng(1)
    assert difference_interval(some, some, mean, rng=rng) == (0.0, 0.0)
    assert difference_interval(some[1:], some[1:], mean, rng=rng) is None
    assert difference_interval(none, np.ones((40, 2)), mean, rng=rng) is None
