"""Grafana's dashboard, made from the panels of our own page: the same figures and words."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from dashboard.panels import PANELS, Buckets, Panel, Part
from dashboard.promql import Expression, panel_expressions

__all__ = ["board"]

DATA_SOURCE: Final = {"type": "prometheus", "uid": "flashgauge-prometheus"}
"""As ``grafana/provisioning/datasources`` declares it."""

WINDOW: Final = "$__rate_interval"
FILTERS: Final = {"region": 'region=~"$region"', "routing": 'routing=~"$routing"'}

_UNITS: Final = {"1/s": "reqps", "s": "s", "ratio": "percentunit"}
_SCHEMA: Final = 39  # Grafana brings older ones up to date, and refuses none that is known to it
_WIDTH, _HEIGHT, _COLUMNS = 12, 8, 2


def board(panels: Iterable[Panel] = PANELS.values()) -> dict[str, object]:
    """The dashboard in Grafana's JSON model."""
    return {
        "uid": "flashgauge",
        "title": "flashgauge",
        "description": "A Modal HTTP Server under load, from the panels of flashgauge's own page.",
        "tags": ["flashgauge"],
        "schemaVersion": _SCHEMA,
        "editable": False,
        "refresh": "5s",
        "time": {"from": "now-15m", "to": "now"},
        "timepicker": {"refresh_intervals": ["1s", "5s", "10s", "30s", "1m"]},
        "graphTooltip": 1,
        "templating": {"list": [_variable(name) for name in FILTERS]},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _variable(label: str) -> dict[str, object]:
    return {
        "name": label,
        "label": label.capitalize(),
        "type": "query",
        "datasource": DATA_SOURCE,
        "query": {"query": f"label_values(loadgen_users, {label})", "refId": label},
        "definition": f"label_values(loadgen_users, {label})",
        "refresh": 2,  # whenever the time range changes
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def _panel(number: int, panel: Panel) -> dict[str, object]:
    row, column = divmod(number, _COLUMNS)
    is_heatmap = any(isinstance(part.query, Buckets) for part in panel.parts)
    return {
        "id": number + 1,
        "title": panel.title,
        "description": f"{panel.meaning} From {panel.metric}.",
        "datasource": DATA_SOURCE,
        "gridPos": {"x": column * _WIDTH, "y": row * _HEIGHT, "w": _WIDTH, "h": _HEIGHT},
        "targets": _targets(panel, is_heatmap=is_heatmap),
        **(_HEATMAP if is_heatmap else _lines(panel.unit)),
    }


def _targets(panel: Panel, *, is_heatmap: bool) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for part in panel.parts:
        alone = replace(panel, parts=(part,))
        for expression in panel_expressions(alone, window=WINDOW, filters=FILTERS):
            found.append(
                {
                    "refId": chr(ord("A") + len(found)),
                    "datasource": DATA_SOURCE,
                    "expr": expression.text,
                    "legendFormat": "{{le}}" if is_heatmap else _legend(part, expression),
                    "format": "heatmap" if is_heatmap else "time_series",
                    "range": True,
                }
            )
    return found


def _legend(part: Part, expression: Expression) -> str:
    own = [f"{{{{{label}}}}}" for label in part.query.by]
    return " ".join((*own, *(_told(name, value) for name, value in expression.labels)))


def _told(name: str, value: str) -> str:
    return f"p{100 * float(value):g}" if name == "quantile" else value


def _lines(unit: str) -> Mapping[str, object]:
    return {
        "type": "timeseries",
        "fieldConfig": {
            "defaults": {
                "unit": _UNITS.get(unit, "short"),
                "min": 0,
                # No data is a gap, never a line through it.
                "custom": {"drawStyle": "line", "lineWidth": 1, "spanNulls": False},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull"]},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


_HEATMAP: Final[Mapping[str, object]] = {
    "type": "heatmap",
    "options": {
        "calculate": False,
        "cellGap": 0,
        "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
        "yAxis": {"unit": "s"},
    },
}
