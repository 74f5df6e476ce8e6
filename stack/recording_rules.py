"""Prometheus' recording rules: what panels ask most, computed once, for alerts and long ranges.

Made from the panels, so that a rule cannot say another thing than the chart of the same name.
Names are ``level:metric:operations`` as Prometheus' manual recommends.
https://prometheus.io/docs/practices/rules/
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from dashboard.panels import PANELS, Part, Quantiles, Rate
from dashboard.promql import query_expressions

__all__ = ["RecordingRule", "recording_rules", "rules_file"]

WINDOW: Final = "1m"
PANEL_IDS: Final = ("latency", "response_time", "cold_start_wait", "throughput", "responses_503")

_HEAD: Final = """\
# Made by `make stack-files` from the panels of the dashboard; do not edit.

groups:
  - name: flashgauge-panels
    interval: 5s
    rules:
"""


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """A new series' name and the expression that it is computed by."""

    record: str
    expression: str


def recording_rules() -> list[RecordingRule]:
    """All rules, in the order of the panels named."""
    return [rule for id_ in PANEL_IDS for part in PANELS[id_].parts for rule in _rules(part)]


def rules_file() -> str:
    """The rules as a file for Prometheus."""
    # A string of JSON is one of YAML, whatever it has in it.
    written = (
        f"      - record: {rule.record}\n        expr: {json.dumps(rule.expression)}\n"
        for rule in recording_rules()
    )
    return _HEAD + "".join(written)


def _rules(part: Part) -> Iterator[RecordingRule]:
    query = part.query
    level = "_".join(query.by)
    if isinstance(query, Quantiles):
        for quantile in query.quantiles:
            (found,) = query_expressions(replace(query, quantiles=(quantile,)), window=WINDOW)
            yield RecordingRule(f"{level}:{query.metric}:p{100 * quantile:g}_{WINDOW}", found.text)
    elif isinstance(query, Rate):
        (found,) = query_expressions(query, window=WINDOW)
        metric = query.metric.removesuffix("_total")
        of = "" if query.only is None else f"_{query.only[1]}"
        yield RecordingRule(f"{level}:{metric}{of}:rate{WINDOW}", found.text)
    else:
        raise TypeError(f"no recording rule is made of {type(query).__name__}")
