"""A panel's lines over a window, from any source."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, assert_never

import numpy as np
from numpy.typing import NDArray

from dashboard.panels import Buckets, Gauge, Panel, Quantiles, Query, Rate, Samples, Share
from dashboard.quantiles import several_quantiles
from dashboard.source import Histograms, Match, Scalars, Source
from dashboard.window import Window

__all__ = ["FILTERS", "Line", "PanelLines", "filterable", "panel_lines"]

FILTERS: Final = ("region", "routing")
"""Labels that lines can be chosen by."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One line of a chart: a value per step of the window, NaN where there is no data."""

    labels: dict[str, str]
    values: Array


@dataclass(frozen=True, slots=True, eq=False)
class PanelLines:
    """A panel's lines, sorted by their labels; ``left_out`` is how many there was no room for."""

    lines: Sequence[Line]
    left_out: int


async def panel_lines(panel: Panel, source: Source, window: Window, match: Match) -> PanelLines:
    """The panel's lines over a window.

    ``match`` filters by region and routing. What is not told apart by one of them (the cache of
    a container serves both routings) is not filtered by it.
    """
    lines: list[Line] = []
    left_out = 0
    for part in panel.parts:
        added = dict(part.labels)
        found = await _lines(part.query, source, window, match)
        lines += [Line(line.labels | added, line.values) for line in found.lines]
        left_out += found.left_out
    return PanelLines(sorted(lines, key=lambda line: sorted(line.labels.items())), left_out)


def filterable(query: Query) -> tuple[str, ...]:
    """The labels of :data:`FILTERS` that a query's series are chosen by."""
    # The heat map is of all lines together, so it must be filtered without being told apart.
    if isinstance(query, Buckets):
        return FILTERS
    return tuple(name for name in FILTERS if name in query.by)


async def _lines(query: Query, source: Source, window: Window, match: Match) -> PanelLines:
    kept = {name: values for name, values in match.items() if name in filterable(query)}
    if isinstance(query, Rate):
        if query.only is not None:
            kept[query.only[0]] = frozenset({query.only[1]})
        found = await source.increases(query.metric, window, by=query.by, match=kept)
        rates = [Line(line.labels, line.values / window.step) for line in _each(found)]
        return PanelLines(rates, found.left_out)
    if isinstance(query, Gauge):
        found = await source.gauges(query.metric, window, by=query.by, match=kept)
        return PanelLines(list(_each(found)), found.left_out)
    if isinstance(query, Share):
        by = (*query.by, query.label)
        found = await source.increases(query.metric, window, by=by, match=kept)
        return PanelLines(_share(query, found), found.left_out)
    histograms = await source.histograms(query.metric, window, by=query.by, match=kept)
    return PanelLines(_of_histograms(query, histograms, window), histograms.left_out)


def _of_histograms(
    query: Quantiles | Samples | Buckets, histograms: Histograms, window: Window
) -> list[Line]:
    if isinstance(query, Quantiles):
        return _quantiles(query, histograms)
    if isinstance(query, Samples):
        return _samples(histograms, window)
    if isinstance(query, Buckets):
        return _buckets(histograms, window)
    assert_never(query)


def _each(scalars: Scalars) -> Iterable[Line]:
    for labels, values in zip(scalars.labels, scalars.values, strict=True):
        yield Line(dict(labels), values)


def _share(query: Share, parts: Scalars) -> list[Line]:
    groups: dict[tuple[tuple[str, str], ...], tuple[Array, Array]] = {}
    for line in _each(parts):
        value = line.labels.pop(query.label, "")
        counted = np.nan_to_num(line.values)
        hits, all_ = groups.setdefault(
            tuple(line.labels.items()), (np.zeros_like(counted), np.zeros_like(counted))
        )
        all_ += counted
        if value == query.value:
            hits += counted
    return [
        Line(dict(labels), np.divide(hits, all_, out=np.full_like(all_, np.nan), where=all_ > 0))
        for labels, (hits, all_) in groups.items()
    ]


def _quantiles(query: Quantiles, histograms: Histograms) -> list[Line]:
    lines: list[Line] = []
    several = several_quantiles(histograms.counts, query.quantiles, histograms.bounds)
    for q, found in zip(query.quantiles, several, strict=True):
        told = {"quantile": f"{q:g}"} if query.labelled else {}
        for labels, values in zip(histograms.labels, found, strict=True):
            lines.append(Line(dict(labels) | told, values))
    return lines


def _samples(histograms: Histograms, window: Window) -> list[Line]:
    rates = np.where(histograms.scraped, histograms.counts.sum(axis=2) / window.step, np.nan)
    return [
        Line(dict(labels), values) for labels, values in zip(histograms.labels, rates, strict=True)
    ]


def _buckets(histograms: Histograms, window: Window) -> list[Line]:
    lines: list[Line] = []
    for labels, counts, scraped in zip(
        histograms.labels, histograms.counts, histograms.scraped, strict=True
    ):
        for bucket in np.flatnonzero(counts.sum(axis=0)):
            bound = histograms.bounds[bucket]
            le = "+Inf" if np.isinf(bound) else repr(bound)
            rates = np.where(scraped, counts[:, bucket] / window.step, np.nan)
            lines.append(Line(dict(labels) | {"le": le}, rates))
    return lines
