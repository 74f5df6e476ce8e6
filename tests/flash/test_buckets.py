"""The histogram layout, and quantiles read from it, against exact ones."""

from math import ceil, inf, isnan, nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.buckets import BOUNDS_S, BUCKETS, LE, bucket_of, quantile, representative_s

WITHIN = st.floats(min_value=BOUNDS_S[0] * 1.001, max_value=BOUNDS_S[-1])


def test_bounds_reach_from_a_tenth_of_a_millisecond_to_two_minutes() -> None:
    assert len(BOUNDS_S) == 161
    assert BOUNDS_S[0] == 2**-13
    assert BOUNDS_S[13 * 8] == 1.0
    assert BOUNDS_S[-1] == 128.0
    assert len(LE) == BUCKETS == 162
    assert LE[-1] == "+Inf"
    assert [float(le) for le in LE[:-1]] == list(BOUNDS_S)


@pytest.mark.parametrize("index", range(161))
def test_a_bound_belongs_to_its_own_bucket_and_the_next_value_to_the_next(index: int) -> None:
    assert bucket_of(BOUNDS_S[index]) == index
    assert bucket_of(nextafter(BOUNDS_S[index], inf)) == index + 1


def test_values_beyond_the_bounds_fall_in_the_outer_buckets() -> None:
    assert bucket_of(0.0) == bucket_of(-1.0) == 0
    assert bucket_of(1e9) == BUCKETS - 1
    assert representative_s(0) == BOUNDS_S[0]
    assert representative_s(BUCKETS - 1) == BOUNDS_S[-1]


def test_an_empty_histogram_has_no_quantile() -> None:
    assert isnan(quantile([0] * BUCKETS, 0.5))


@given(st.lists(WITHIN, min_size=1, max_size=300), st.floats(min_value=0, max_value=1))
def test_a_quantile_is_within_the_promised_error_of_the_exact_sample(values, q) -> None:
    counts = [0] * BUCKETS
    for value in values:
        counts[bucket_of(value)] += 1
    rank = max(1, ceil(q * len(values) * (1 - 1e-12)))
    exact = sorted(values)[rank - 1]
    assert abs(quantile(counts, q) / exact - 1) < 0.0443 + 1e-4


def test_a_rank_that_is_a_whole_number_is_not_lost_to_rounding() -> None:
    counts = [0] * BUCKETS
    counts[10], counts[20] = 99, 1
    assert quantile(counts, 0.99) == representative_s(10)
    assert quantile(counts, 0.9901) == representative_s(20)
    counts[10], counts[20] = 29, 71  # 0.29 * 100 is 28.999999999999996
    assert quantile(counts, 0.29) == representative_s(10)


@pytest.mark.parametrize("q", [-0.1, 1.1, float("nan")])
def test_a_quantile_outside_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile([1] * BUCKETS, q)


def test_counts_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="162 buckets, got 3"):
        quantile([1, 2, 3], 0.5)
