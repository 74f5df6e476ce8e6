import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dashboard.rows import (
    SCALAR,
    bucket_row,
    merged_buckets,
    merged_scalars,
    read_buckets,
    scalar_row,
)
from dashboard.shape import Kind

SERIES = np.array([3, 0, 7], dtype=np.uint16)


def counts_of(row: bytes, buckets: int) -> np.ndarray:
    entries = read_buckets([row])
    found = np.zeros((8, buckets))
    np.add.at(found, (entries.series, entries.bucket), entries.count)
    return found[SERIES]


@given(st.lists(st.lists(st.integers(0, 2**34), min_size=6, max_size=6), min_size=1, max_size=5))
def test_merged_histograms_hold_the_sum_of_all(rows: list[list[int]]) -> None:
    arrays = [np.array(row, dtype=np.float64).reshape(3, 2) for row in rows]
    merged = merged_buckets([bucket_row(SERIES, array) for array in arrays])
    assert counts_of(merged, 2).tolist() == np.sum(arrays, axis=0).tolist()


@given(st.lists(st.lists(st.integers(0, 1000), min_size=3, max_size=3), min_size=1, max_size=5))
def test_merged_counters_add_up_and_leave_out_zeros(rows: list[list[int]]) -> None:
    parts = [scalar_row(SERIES, np.array(row, dtype=np.float64), kind=Kind.COUNTER) for row in rows]
    entries = np.frombuffer(merged_scalars(parts, kind=Kind.COUNTER), dtype=SCALAR)
    total = dict(zip(entries["series"].tolist(), entries["value"].tolist(), strict=True))
    summed = dict(zip(SERIES.tolist(), np.sum(rows, axis=0).tolist(), strict=True))
    assert total == {series: value for series, value in summed.items() if value}


def test_of_merged_gauges_the_last_in_time_counts() -> None:
    parts = [
        scalar_row(SERIES[:2], np.array([1.0, 2.0]), kind=Kind.GAUGE),
        scalar_row(SERIES[1:], np.array([0.0, 9.0]), kind=Kind.GAUGE),
    ]
    entries = np.frombuffer(merged_scalars(parts, kind=Kind.GAUGE), dtype=SCALAR)
    told = dict(zip(entries["series"].tolist(), entries["value"].tolist(), strict=True))
    assert told == {3: 1.0, 0: 0.0, 7: 9.0}


def test_a_row_of_nothing_is_empty_but_is_one() -> None:
    nothing = bucket_row(SERIES, np.zeros((3, 2)))
    assert nothing == b""
    assert merged_buckets([nothing, nothing]) == b""
    assert merged_scalars([b""], kind=Kind.COUNTER) == b""
