"""How one family's numbers of one second, or of a rolled-up span, lie in a row of the store.

A row is a run of fixed-size entries, so that the rows of a whole window are joined and read as one
array. Entries of one series and bucket may stand there more than once, in one row or in several:
counters and buckets add up, of a gauge the last one counts. Zeros are left out; that a row is there
says that its family was scraped.

Histograms make up nearly all of a store, so their rows are compressed: column by column, since
series, buckets and counts are each much alike, which takes a quarter of the room and 15 us to read.
"""

import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.shape import Kind

__all__ = [
    "SCALAR",
    "BucketEntries",
    "bucket_row",
    "merged",
    "merged_buckets",
    "merged_scalars",
    "read_buckets",
    "scalar_row",
]

SCALAR: Final = np.dtype([("series", "<u2"), ("value", "<f8")])
"""A counter's increment, a gauge's value, or the increment of a histogram's sum."""

_SERIES, _BUCKET, _COUNT = np.dtype("<u2"), np.dtype("u1"), np.dtype("<u4")
_ENTRY: Final = _SERIES.itemsize + _BUCKET.itemsize + _COUNT.itemsize
_MOST: Final = 2**32 - 1

_LEVEL: Final = 1  # of zlib: higher ones take five times as long for a tenth less

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class BucketEntries:
    """The entries of several histogram rows: what was added to a bucket of a series.

    ``lengths`` is how many of them each row had.
    """

    series: NDArray[np.uint16]
    bucket: NDArray[np.uint8]
    count: NDArray[np.uint32]
    lengths: NDArray[np.intp]


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
    return _packed(series[which], bucket, counts[which, bucket])


def read_buckets(rows: list[bytes]) -> BucketEntries:
    """The entries of histogram rows, in their order."""
    plain = [zlib.decompress(row) if row else b"" for row in rows]
    lengths = [len(row) // _ENTRY for row in plain]
    # A row holds its series, then its buckets, then its counts.
    buckets_at = [length * _SERIES.itemsize for length in lengths]
    counts_at = [length * (_SERIES.itemsize + _BUCKET.itemsize) for length in lengths]
    cuts = list(zip(plain, buckets_at, counts_at, strict=True))
    return BucketEntries(
        np.frombuffer(b"".join([row[:b] for row, b, _ in cuts]), dtype=_SERIES),
        np.frombuffer(b"".join([row[b:c] for row, b, c in cuts]), dtype=_BUCKET),
        np.frombuffer(b"".join([row[c:] for row, _, c in cuts]), dtype=_COUNT),
        np.array(lengths, dtype=np.intp),
    )


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
    entries = read_buckets(rows)
    key = entries.series.astype(np.int64) << 8 | entries.bucket
    keys, place = np.unique(key, return_inverse=True)
    counts: Array = np.bincount(
        place, weights=entries.count.astype(np.float64), minlength=len(keys)
    ).astype(np.float64)
    return _packed((keys >> 8).astype(np.uint16), keys & 0xFF, counts)


def merged(rows: list[tuple[bytes, bytes | None]], *, kind: Kind) -> tuple[bytes, bytes | None]:
    """A row's two parts, made one from those of several rows in the order of time."""
    data = [row[0] for row in rows]
    if kind is not Kind.HISTOGRAM:
        return merged_scalars(data, kind=kind), None
    sums = merged_scalars([row[1] or b"" for row in rows], kind=Kind.COUNTER)
    return merged_buckets(data), sums


def _packed(series: NDArray[np.uint16], bucket: NDArray[np.signedinteger], counts: Array) -> bytes:
    # A count that does not fit an entry is split over several; they add up when read.
    while (large := counts > _MOST).any():
        series = np.concatenate([series, series[large]])
        bucket = np.concatenate([bucket, bucket[large]])
        counts = np.concatenate(
            [np.where(large, counts - _MOST, counts), np.full(large.sum(), _MOST)]
        )
    if not len(series):
        return b""
    columns = (series.astype(_SERIES), bucket.astype(_BUCKET), counts.astype(_COUNT))
    return zlib.compress(b"".join([column.tobytes() for column in columns]), _LEVEL)
