"""The one layout of our latency histograms, and quantiles read from it.

Bounds lie at 2^(k/8) seconds for k from -104 to 56, that is from 2^-13 s (0.12 ms) to 2^7 s
(128 s). A bucket holds the values above the bound before it up to and including its own, as
Prometheus' ``le`` says. Neighbouring bounds differ by a factor of 1.0905, so the geometric middle
of a bucket is within a factor of 2^(1/16), 4.43 %, of every value in it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import ceil, isnan, nan, sqrt
from typing import Final

__all__ = ["BOUNDS_S", "BUCKETS", "LE", "bucket_of", "quantile", "representative_s"]

BOUNDS_S: Final[tuple[float, ...]] = tuple(2.0 ** (k / 8) for k in range(-13 * 8, 7 * 8 + 1))
"""The finite upper bounds in seconds, ascending; 161 of them."""

BUCKETS: Final = len(BOUNDS_S) + 1
"""Buckets of a histogram: one per finite bound, and the last one, up to infinity."""

LE: Final = (*(repr(bound) for bound in BOUNDS_S), "+Inf")
"""The ``le`` label of each bucket, as it is exposed everywhere."""


def bucket_of(value_s: float) -> int:
    """Index of the bucket that holds a duration in seconds; negative ones fall in the first."""
    return bisect_left(BOUNDS_S, value_s)


def representative_s(bucket: int) -> float:
    """The duration in seconds that stands for a bucket: its geometric middle.

    The first bucket reaches down to zero and the last up to infinity; they have no middle and
    are stood for by their finite bound.
    """
    if bucket <= 0:
        return BOUNDS_S[0]
    if bucket >= len(BOUNDS_S):
        return BOUNDS_S[-1]
    return sqrt(BOUNDS_S[bucket - 1] * BOUNDS_S[bucket])


def quantile(counts: Sequence[float], q: float) -> float:
    """The ``q`` quantile (0 to 1) in seconds of a histogram, NaN when it is empty.

    ``counts`` are per bucket, not cumulative, :data:`BUCKETS` long. The answer stands for the
    bucket of the sample of rank ceil(q n), at least 1 (the nearest-rank definition), so it is
    within 4.43 % of that sample wherever the sample lies between the first and the last bound.

    Raises:
        ValueError: ``q`` outside 0 to 1, or ``counts`` of another length.
    """
    if not 0.0 <= q <= 1.0:
        raise ValueError(f"a quantile lies between 0 and 1, got {q!r}")
    if len(counts) != BUCKETS:
        raise ValueError(f"a histogram has {BUCKETS} buckets, got {len(counts)}")
    total = sum(counts)
    if not total or isnan(total):
        return nan
    # q * total can land a rounding error above a whole number; that must not cost a rank.
    rank = min(total, max(1, ceil(q * total * (1 - 1e-12))))
    seen = 0.0
    for bucket, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return representative_s(bucket)
    return representative_s(BUCKETS - 1)
