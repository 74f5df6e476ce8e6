from math import isnan

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from dashboard.quantiles import middles, quantiles
from flash import buckets

BOUNDS = (*buckets.BOUNDS_S, float("inf"))


@given(
    st.lists(
        st.dictionaries(st.integers(0, buckets.BUCKETS - 1), st.integers(1, 10**7), max_size=12),
        min_size=1,
        max_size=5,
    ),
    st.floats(0, 1),
)
def test_many_at_once_are_the_same_as_one_by_one(sparse: list[dict[int, int]], q: float) -> None:
    counts = np.zeros((len(sparse), buckets.BUCKETS))
    for row, filled in zip(counts, sparse, strict=True):
        for bucket, count in filled.items():
            row[bucket] = count
    expected = [buckets.quantile(row.tolist(), q) for row in counts]
    assert_array_equal(quantiles(counts, q, BOUNDS), expected)


def test_middles_are_those_of_the_shared_layout() -> None:
    assert middles(BOUNDS).tolist() == [
        buckets.representative_s(bucket) for bucket in range(buckets.BUCKETS)
    ]


def test_an_empty_histogram_has_no_quantile() -> None:
    assert isnan(float(quantiles(np.zeros(3), 0.5, (1.0, 2.0, float("inf")))))
