"""Objectives given to a run, such as ``p99<50ms,response_time.p95<1s``, as lines on the charts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["Objective", "objectives_of"]

_LABEL: Final = "objective"
_PANELS: Final = {"": "latency", "response_time": "response_time"}
_UNITS_S: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_FORM: Final = re.compile(
    r"(?:(?P<of>[a-z_]+)\.)?p(?P<percentile>100|\d{1,2}(?:\.\d+)?)\s*<=?\s*"
    r"(?P<limit>\d+(?:\.\d+)?)\s*(?P<unit>us|ms|s|m|h)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The ``quantile`` (0 to 1) of a panel that is to stay below ``limit_s``; ``text`` as given."""

    panel: str
    quantile: float
    limit_s: float
    text: str


def objectives_of(labels: Mapping[str, str]) -> list[Objective]:
    """The objectives in a run's labels that a chart can show; others have no line."""
    found: list[Objective] = []
    for text in labels.get(_LABEL, "").split(","):
        form = _FORM.fullmatch(text.strip())
        panel = _PANELS.get(form["of"] or "") if form else None
        if form and panel:
            found.append(
                Objective(
                    panel=panel,
                    quantile=round(float(form["percentile"]) / 100, 9),
                    limit_s=float(form["limit"]) * _UNITS_S[form["unit"]],
                    text=text.strip(),
                )
            )
    return found
