"""Where panels get their numbers from: one interface, whoever stores them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from dashboard.exposition import Labels
from dashboard.model import Event, Run
from dashboard.window import Window

__all__ = ["MOST_HISTOGRAMS", "MOST_LINES", "Histograms", "Match", "Scalars", "Source"]

MOST_LINES: Final = 500
"""Label sets that one answer tells apart; those that came later are left out and counted."""

MOST_HISTOGRAMS: Final = 200_000
"""Histograms in one answer, all steps of all label sets; they take a kilobyte each and more."""

Match = Mapping[str, frozenset[str]]
"""Labels and the values they may have. A series without the label matches if "" is among them."""


@dataclass(frozen=True, slots=True, eq=False)
class Scalars:
    """One number per label set and step: ``values`` is (label sets, steps), NaN for no data.

    ``left_out`` is how many label sets are not among them.
    """

    labels: tuple[Labels, ...]
    values: NDArray[np.float64]
    left_out: int = 0

    def totals(self, label: str) -> dict[str, float]:
        """All steps added up, by the values of the only label that was asked for."""
        return {
            dict(labels).get(label, ""): float(np.nansum(values))
            for labels, values in zip(self.labels, self.values, strict=True)
        }


@dataclass(frozen=True, slots=True, eq=False)
class Histograms:
    """One histogram per label set and step.

    ``counts`` is (label sets, steps, buckets), not cumulative; ``sums`` is (label sets, steps).
    ``scraped`` (label sets, steps) is false where there is no data. ``bounds`` are the buckets'
    upper bounds, the last one infinite. ``left_out`` is how many label sets are not among them.
    """

    labels: tuple[Labels, ...]
    bounds: tuple[float, ...]
    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    scraped: NDArray[np.bool_]
    left_out: int = 0


class Source(Protocol):
    """A store of metrics that can be asked.

    Each metric's series are added up over all targets by the labels in ``by``; a label that
    a series lacks is left out. There are at most :data:`MOST_LINES` sums, and
    :data:`MOST_HISTOGRAMS` histograms, of the label sets that came first. All raise
    :class:`dashboard.errors.StoreError`, or :class:`dashboard.errors.PrometheusError` where
    Prometheus is asked, when there is no answer in time.
    """

    @property
    def is_exact(self) -> bool:
        """Whether all that was counted is told, also what a series counted before its first
        scrape: without that refusals and errors are not judged."""

    async def window(self, start: float | None, end: float | None, step: float | None) -> Window:
        """The window asked for, as the store can answer it.

        Raises:
            BadQueryError: see :func:`dashboard.window.window`.
        """

    async def increases(
        self, metric: str, window: Window, *, by: tuple[str, ...], match: Match
    ) -> Scalars:
        """By how much a counter grew in each step."""

    async def gauges(
        self, metric: str, window: Window, *, by: tuple[str, ...], match: Match
    ) -> Scalars:
        """A gauge's last value in each step, added up over series and targets."""

    async def histograms(
        self, metric: str, window: Window, *, by: tuple[str, ...], match: Match
    ) -> Histograms:
        """What was added to a histogram in each step."""

    async def label_values(self, metric: str, label: str) -> list[str]:
        """The values that a label of a metric has had, in the order in which they came."""

    async def runs(self) -> list[Run]:
        """All runs of the load generator, newest first."""

    async def events(self, start: float, end: float) -> list[Event]:
        """What happened from ``start`` to before ``end`` (Unix seconds), in order."""
