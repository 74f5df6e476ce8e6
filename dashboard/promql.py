"""The panels' queries as PromQL: what a Prometheus with the same scrapes is asked for them.

A ``window`` is the text of a range, such as ``10s`` or Grafana's ``$__rate_interval``. Of counters
and histograms it must span two scrapes to give a number. A matcher is the text of one, such as
``region="us-east"``.

Differences to our own store's answers: Prometheus does not count a series' first value, it
extrapolates to the window's ends, and ``histogram_quantile`` interpolates within a bucket.

Language: https://prometheus.io/docs/prometheus/latest/querying/basics/
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from dashboard.lines import filterable
from dashboard.panels import Buckets, Gauge, Panel, Quantiles, Query, Rate, Samples, Share
from dashboard.source import Match

__all__ = [
    "Expression",
    "bucket_rate",
    "last",
    "matchers_of",
    "panel_expressions",
    "query_expressions",
    "rate",
    "selector",
]

LE: Final = "le"
"""The label that tells a histogram's buckets apart; Prometheus keeps them cumulative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A PromQL expression. ``labels`` are a panel's labels that its answer does not carry."""

    text: str
    labels: tuple[tuple[str, str], ...] = ()


def panel_expressions(
    panel: Panel, *, window: str, filters: Mapping[str, str] | None = None
) -> list[Expression]:
    """The expressions of a panel's lines, in the order of its parts.

    ``filters`` are matchers by the label they filter by, such as ``region=~"$region"``; each is
    applied to those parts that are filtered by it. Buckets come cumulative, with label ``le``.
    """
    found: list[Expression] = []
    for part in panel.parts:
        kept = [text for label, text in (filters or {}).items() if label in filterable(part.query)]
        found += [
            Expression(text=expression.text, labels=expression.labels + part.labels)
            for expression in query_expressions(part.query, window=window, matchers=kept)
        ]
    return found


def query_expressions(
    query: Query, *, window: str, matchers: Iterable[str] = ()
) -> list[Expression]:
    """The expressions of one query: one per quantile, else a single one."""
    given = tuple(matchers)
    if isinstance(query, Quantiles):
        buckets = bucket_rate(query.metric, by=query.by, window=window, matchers=given)
        return [
            Expression(
                text=f"histogram_quantile({q:g}, {buckets})",
                labels=(("quantile", f"{q:g}"),) if query.labelled else (),
            )
            for q in query.quantiles
        ]
    return [Expression(text=_single(query, window, given))]


def rate(metric: str, *, by: tuple[str, ...], window: str, matchers: Iterable[str] = ()) -> str:
    """A counter's growth per second over the window, added up by labels."""
    return _sum(by, f"rate({selector(metric, matchers)}[{window}])")


def bucket_rate(
    metric: str, *, by: tuple[str, ...], window: str, matchers: Iterable[str] = ()
) -> str:
    """Samples per second in a histogram's buckets, cumulative, added up by labels and ``le``."""
    return rate(f"{metric}_bucket", by=(LE, *by), window=window, matchers=matchers)


def last(metric: str, *, by: tuple[str, ...], window: str, matchers: Iterable[str] = ()) -> str:
    """A gauge's last value in the window, added up by labels; nothing where it has none.

    A bare gauge would stay for five minutes after its last scrape.
    """
    return _sum(by, f"last_over_time({selector(metric, matchers)}[{window}])")


def selector(metric: str, matchers: Iterable[str] = ()) -> str:
    """The series of a metric that all matchers let through."""
    text = ", ".join(matchers)
    return f"{metric}{{{text}}}" if text else metric


def matchers_of(match: Match) -> list[str]:
    """Labels' possible values as matchers; "" stands for a series that lacks the label."""
    found: list[str] = []
    for label, values in match.items():
        if len(values) == 1:
            found.append(f"{label}={_quoted(next(iter(values)))}")
        else:
            found.append(f"{label}=~{_quoted('|'.join(map(re.escape, sorted(values))))}")
    return found


def _single(
    query: Rate | Samples | Share | Gauge | Buckets, window: str, given: tuple[str, ...]
) -> str:
    if isinstance(query, Rate):
        only = () if query.only is None else (_equal(*query.only),)
        return rate(query.metric, by=query.by, window=window, matchers=(*only, *given))
    if isinstance(query, Samples):
        return rate(f"{query.metric}_count", by=query.by, window=window, matchers=given)
    if isinstance(query, Gauge):
        return last(query.metric, by=query.by, window=window, matchers=given)
    if isinstance(query, Buckets):
        return bucket_rate(query.metric, by=query.by, window=window, matchers=given)
    if isinstance(query, Share):
        wanted = (_equal(query.label, query.value), *given)
        part = rate(query.metric, by=query.by, window=window, matchers=wanted)
        all_ = rate(query.metric, by=query.by, window=window, matchers=given)
        # Where no series has the value its share is zero, not unknown.
        return f"({part} or 0 * {all_}) / {all_}"
    assert_never(query)


def _sum(by: tuple[str, ...], text: str) -> str:
    return f"sum by ({', '.join(by)}) ({text})" if by else f"sum({text})"


def _equal(label: str, value: str) -> str:
    return f"{label}={_quoted(value)}"


def _quoted(text: str) -> str:
    # JSON's escapes are among those of PromQL's strings.
    return json.dumps(text, ensure_ascii=False)
