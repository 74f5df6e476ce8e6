"""Confidence intervals: how far chance alone may have moved a figure."""

from collections.abc import Callable
from math import sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST_BLOCKS", "Interval", "blocks_of", "difference_interval", "wilson_interval"]

FEWEST_BLOCKS: Final = 8
"""Below this many blocks a bootstrap knows too little of how much they differ."""

_MOST_BLOCKS: Final = 40
_DRAWS: Final = 1000
_TAILS: Final = (0.025, 0.975)
_Z: Final = 1.959963984540054
"""The normal distribution's quantile that leaves 2.5 % above it."""

Array = NDArray[np.float64]
Interval = tuple[float, float]


def wilson_interval(hits: float, trials: float) -> Interval | None:
    """95 % interval of a share, as if trials were independent; ``None`` without a trial.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 1927. Right also near 0 and 1.
    """
    if trials <= 0:
        return None
    share = hits / trials
    scale = 1 + _Z * _Z / trials
    middle = (share + _Z * _Z / (2 * trials)) / scale
    half = _Z / scale * sqrt(share * (1 - share) / trials + _Z * _Z / (4 * trials * trials))
    # At 0 and 1 the two are equal but for rounding.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def blocks_of(values: Array) -> Array:
    """Sums over up to 40 stretches of the first axis, all of about the same length."""
    starts = np.unique(np.linspace(0, len(values), min(_MOST_BLOCKS, len(values)), endpoint=False))
    return np.add.reduceat(values, starts.astype(np.intp), axis=0)


def difference_interval(
    first: Array,
    second: Array,
    figure: Callable[[Array], Array],
    *,
    rng: np.random.Generator,
) -> Interval | None:
    """95 % interval of ``figure`` of ``second`` less that of ``first``.

    Both are (blocks, columns): what was counted in the same stretches of time. ``figure`` takes
    (draws, columns) of summed blocks to one number each, NaN where there is none. ``None`` where
    fewer than eight blocks hold anything of both.

    A percentile bootstrap that draws whole blocks: requests close in time depend on each other, and
    what a moment did to both kinds of request is no difference between them. Sources: Efron and
    Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13; Carlstein, "The use of
    subseries values for estimating the variance of a general statistic", Annals of Statistics 14,
    1986.
    """
    held = (first.sum(axis=1) > 0) & (second.sum(axis=1) > 0)
    blocks = int(held.sum())
    if blocks < FEWEST_BLOCKS:
        return None
    times_drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=_DRAWS)
    weights = times_drawn.astype(np.float64)
    differences = figure(weights @ second[held]) - figure(weights @ first[held])
    low, high = np.quantile(differences[~np.isnan(differences)], _TAILS).tolist()
    return low, high
