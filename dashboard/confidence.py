"""Confidence intervals: how far chance alone may have moved a figure."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import erfc, exp, inf, log1p, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "FEWEST_BLOCKS",
    "MOST_BLOCKS",
    "Difference",
    "Interval",
    "blocks_of",
    "difference_of",
    "wilson_interval",
]

FEWEST_BLOCKS: Final = 8
"""Below this many blocks a bootstrap knows too little of how much they differ."""

MOST_BLOCKS: Final = 40

_FEWEST_INDEPENDENT: Final = 4.0
_DRAWS: Final = 1000
_ROUNDING: Final = 1e-9
_ONE_THREAD: Final = 250_000
"""Products up to which a multiplication of matrices is done by one thread (OpenBLAS: 2^18)."""

_SEED: Final = 1998
_Z: Final = 1.959963984540054
"""The normal distribution's quantile that leaves 2.5 % above it."""

Array = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure less another one, and how well that is known.

    ``error`` is its standard error. ``independent`` is how many independent stretches of time that
    was learnt from; they are fewer than there were where neighbours are alike.
    """

    value: float
    error: float
    independent: float

    @property
    def interval(self) -> Interval:
        """The 95 % interval."""
        half = self.error * _student(_Z, self.independent - 1)
        return self.value - half, self.value + half

    def p_value(self, margin: float = 0.0) -> float:
        """How likely chance alone makes a difference as large as this one of one of ``margin``.

        Of both signs. 0.05 or less where the 95 % interval leaves out all within the margin.
        """
        beyond = abs(self.value) - margin
        if beyond <= 0:
            return 1.0
        ratio = beyond / self.error if self.error else inf
        return erfc(_normal(ratio, self.independent - 1) / sqrt(2))


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


def blocks_of(values: Array, most: int = MOST_BLOCKS) -> Array:
    """Sums over up to ``most`` stretches of the first axis, all of about the same length."""
    starts = np.unique(np.linspace(0, len(values), min(most, len(values)), endpoint=False))
    return np.add.reduceat(values, starts.astype(np.intp), axis=0)


def difference_of(
    first: Array, second: Array, figure: Callable[[Array], Array]
) -> Difference | None:
    """``figure`` of ``second`` less that of ``first``, and how well it is known.

    Both are (blocks, columns): what was counted in stretches of time that belong together.
    ``figure`` takes (n, columns) of summed blocks to n numbers, NaN where there is none. ``None``
    where either has something in fewer than eight blocks, or all are too much alike to tell.

    A bootstrap that draws whole blocks, of both alike: requests close in time depend on each other,
    and what a moment did to both is no difference between them. Sources: Efron and Tibshirani, "An
    Introduction to the Bootstrap", 1993, chapter 13; Carlstein, "The use of subseries values for
    estimating the variance of a general statistic", Annals of Statistics 14, 1986.

    What lasts longer than a block makes neighbours alike; so many blocks are worth n (1 - r) /
    (1 + r) independent ones (Bayley and Hammersley, "The effective number of independent
    observations in an autocorrelated time series", 1946), where r is the correlation of neighbours
    in what each block does to the difference, as the jackknife tells it.
    """
    if min(_held(first), _held(second)) < FEWEST_BLOCKS:
        return None
    either = (first.sum(axis=1) > 0) | (second.sum(axis=1) > 0)
    first, second = first[either], second[either]
    blocks = len(first)
    whole_first, whole_second = first.sum(axis=0), second.sum(axis=0)
    (before,), (after,) = figure(whole_first[None]), figure(whole_second[None])
    without = figure(whole_second - second) - figure(whole_first - first)
    alike = _correlation(without, least=_ROUNDING * max(abs(before), abs(after)))
    independent = blocks * (1 - alike) / (1 + alike)
    if independent < _FEWEST_INDEPENDENT:
        return None
    drawn = _draws(blocks)
    differences = figure(_summed(drawn, second)) - figure(_summed(drawn, first))
    known = differences[np.isfinite(differences)]
    # The spread among n blocks is that of n - 1; and the blocks are not as many as they seem.
    widened = sqrt(blocks / (blocks - 1) * blocks / independent)
    return Difference(float(after - before), float(known.std()) * widened, independent)


def _held(blocks: Array) -> int:
    return int((blocks.sum(axis=1) > 0).sum())


@lru_cache(maxsize=4)
def _draws(blocks: int) -> Array:
    """How often each block is drawn, draw by draw: the same for every figure and every call, so
    that a figure that is asked for again does not flicker."""
    even = np.full(blocks, 1 / blocks)
    drawn = np.random.default_rng(_SEED).multinomial(blocks, even, size=_DRAWS)
    return drawn.astype(np.float64)


def _summed(drawn: Array, blocks: Array) -> Array:
    """``drawn @ blocks``, in parts that are each too small for threads.

    Those wait for each other, ten times as long as they work where a load test has the cores.
    """
    rows = max(1, _ONE_THREAD // blocks.size)
    parts = (drawn[at : at + rows] @ blocks for at in range(0, len(drawn), rows))
    return np.concatenate(list(parts))


def _correlation(values: Array, *, least: float) -> float:
    """The correlation of neighbours, 0 to 1, without what a short series makes it too low.

    Of deviations below ``least`` there is none.
    """
    deviations = values - np.nanmean(values)
    deviations[~(np.abs(deviations) > least) | np.isinf(deviations)] = 0.0
    total = float(deviations @ deviations)
    if total == 0:
        return 0.0
    found = float(deviations[1:] @ deviations[:-1]) / total
    # Marriott and Pope, "Bias in the estimation of autocorrelations", Biometrika 41, 1954.
    return min(1.0, max(0.0, found + (1 + 3 * found) / len(values)))


# Student's t and the normal distribution, either from the other one, within 0.5 % from four degrees
# of freedom on, 0.1 % from seven on. Source: Wallace, "Bounds on normal approximations to Student's
# and the chi-square distributions", Annals of Mathematical Statistics 30, 1959.


def _student(z: float, freedom: float) -> float:
    scale = (8 * freedom + 3) / (8 * freedom + 1)
    return sqrt(freedom * (exp((z * scale) ** 2 / freedom) - 1))


def _normal(t: float, freedom: float) -> float:
    scale = (8 * freedom + 1) / (8 * freedom + 3)
    return scale * sqrt(freedom * log1p(t * t / freedom)) if t < inf else inf
