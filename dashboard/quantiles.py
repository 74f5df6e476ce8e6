"""Quantiles of many histograms at once: the same answers as :func:`flash.buckets.quantile`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["log_quantiles", "middles", "quantiles", "several_quantiles"]

Array = NDArray[np.float64]


def middles(bounds: Sequence[float]) -> Array:
    """The value that stands for each bucket: the geometric middle of its bounds.

    ``bounds`` are ascending upper bounds, the last one infinite. The first and the last bucket have
    no geometric middle and are stood for by their finite bound.
    """
    upper = np.asarray(bounds, dtype=np.float64)
    if len(upper) < 2:
        return np.zeros(len(upper))
    middle = upper.copy()
    positive = upper[:-2] > 0
    middle[1:-1][positive] = np.sqrt(upper[:-2][positive] * upper[1:-1][positive])
    middle[-1] = upper[-2]
    return middle


def quantiles(counts: Array, q: float, bounds: Sequence[float]) -> Array:
    """The ``q`` quantile (0 to 1) of each histogram on the last axis; NaN where one is empty.

    The sample of rank ceil(q n), at least 1, decides (the nearest-rank definition); its bucket's
    middle stands for it.
    """
    return several_quantiles(counts, (q,), bounds)[0]


def several_quantiles(counts: Array, qs: Sequence[float], bounds: Sequence[float]) -> list[Array]:
    """:func:`quantiles` for several ``qs`` at once."""
    for q in qs:
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile lies between 0 and 1, got {q!r}")
    # Most buckets hold nothing in any of the histograms.
    held = np.flatnonzero(counts.any(axis=tuple(range(counts.ndim - 1))))
    if not len(held):
        return [np.full(counts.shape[:-1], np.nan) for _ in qs]
    seen = np.cumsum(counts[..., held], axis=-1)
    total = seen[..., -1]
    middle = middles(bounds)[held]
    found = []
    for q in qs:
        # q * total can land a rounding error above a whole number; that must not cost a rank.
        rank = np.minimum(total, np.maximum(1.0, np.ceil(q * total * (1 - 1e-12))))
        bucket = np.sum(seen < rank[..., None], axis=-1)
        found.append(np.where(total > 0, middle[np.minimum(bucket, len(held) - 1)], np.nan))
    return found


def log_quantiles(counts: Array, q: float, bounds: Sequence[float]) -> Array:
    """The natural logarithm of the ``q`` quantile of each histogram, read between its bounds.

    Within a bucket the samples are taken for evenly spread over the logarithm, so that a shift of
    less than a bucket is seen. Of the first and the last bucket no more than their finite bound is
    known. NaN where a histogram is empty.
    """
    held = np.flatnonzero(counts.any(axis=tuple(range(counts.ndim - 1))))
    if not len(held):
        return np.full(counts.shape[:-1], np.nan)
    finite = np.log(np.asarray(bounds[:-1], dtype=np.float64))
    lower = np.concatenate(([finite[0]], finite))[held]
    upper = np.concatenate((finite, [finite[-1]]))[held]
    seen = np.cumsum(counts[..., held], axis=-1)
    total = seen[..., -1]
    rank = q * total
    bucket = np.minimum(np.sum(seen < rank[..., None], axis=-1), len(held) - 1)
    until = np.take_along_axis(seen, bucket[..., None], axis=-1)[..., 0]
    within = np.take_along_axis(counts[..., held], bucket[..., None], axis=-1)[..., 0]
    share = np.divide(rank - (until - within), within, out=np.ones_like(rank), where=within > 0)
    found = lower[bucket] + np.clip(share, 0.0, 1.0) * (upper - lower)[bucket]
    return np.where(total > 0, found, np.nan)
