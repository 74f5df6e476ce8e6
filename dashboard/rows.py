"""How one family's numbers of one second, or of a rolled-up span, lie in a row of the store.

A row is a run of fixed-size entries, so that the rows of a whole window are joined and read as one
array. Entries of one series and bucket may stand there more than once, in one row or in several:
counters and buckets add up, of a gauge the last one counts. Zeros are left out; that a row is there
says that its family was scraped.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.shape import Kind

__all__ = ["BUCKET", "SCALAR", "bucket_row", "merged_buckets", "merged_scalars", "scalar_row"]

SCALAR: Final = np.dtype([("series", "<u2"), ("value", "<f8")])
"""A counter's increment, a gauge's value, or the increment of a histogram's sum."""

BUCKET: Final = np.dtype([("series", "<u2"), ("bucket", "u1"), ("count", "<u4")])
"""The increment of one bucket of one histogram."""

_MOST: Final = 2**32 - 1

Array = NDArray[np.float64]


def scalar_row(series: NDArray[np.uint16], values: Array, *, kind: Kind) -> bytes:
    """Entries of one value per series; zeros of a gauge are values too."""
    if kind is not Kind.GAUGE:
        shown = values != 0
        series, values = series[shown], values[shown]
    row = np.empty(len(series), dtype=SCALAR)
    row["series"] = series
    row["value"] = values
    return row.tobytes()


def bucket_row(series: NDArray[np.uint16], counts: Array) -> bytes:
    """Entries of whole histograms: one line of ``counts`` per series, one column per bucket."""
    which, bucket = np.nonzero(counts)
    row = _buckets(series[which], bucket, counts[which, bucket])
    return row.tobytes()


def merged_scalars(rows: list[bytes], *, kind: Kind) -> bytes:
    """One row that says the same as all of ``rows``, given in the order of time."""
    entries = np.frombuffer(b"".join(rows), dtype=SCALAR)
    if kind is Kind.GAUGE:
        # The first of the reversed order is the last in time.
        _, first = np.unique(entries["series"][::-1], return_index=True)
        return entries[::-1][first].tobytes()
    totals = np.bincount(entries["series"], weights=entries["value"])
    series = np.unique(entries["series"])
    return scalar_row(series, totals[series], kind=kind)


def merged_buckets(rows: list[bytes]) -> bytes:
    """One row that says the same as all of ``rows``."""
    entries = np.frombuffer(b"".join(rows), dtype=BUCKET)
    key = entries["series"].astype(np.int64) << 8 | entries["bucket"]
    keys, place = np.unique(key, return_inverse=True)
    counts = np.bincount(place, weights=entries["count"].astype(np.float64), minlength=len(keys))
    totals: Array = counts.astype(np.float64)
    return _buckets((keys >> 8).astype(np.uint16), keys & 0xFF, totals).tobytes()


def _buckets(
    series: NDArray[np.uint16], bucket: NDArray[np.signedinteger], counts: Array
) -> NDArray[np.void]:
    # A count that does not fit an entry is split over several; they add up when read.
    while (large := counts > _MOST).any():
        series = np.concatenate([series, series[large]])
        bucket = np.concatenate([bucket, bucket[large]])
        counts = np.concatenate(
            [np.where(large, counts - _MOST, counts), np.full(large.sum(), _MOST)]
        )
    row = np.empty(len(series), dtype=BUCKET)
    row["series"] = series
    row["bucket"] = bucket
    row["count"] = counts
    return row
