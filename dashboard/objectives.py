"""Objectives given to a run, such as ``p99<50ms,response_time.p95<1s``, as lines on the charts."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from flash.objective import Measure, ObjectiveError, Relation
from flash.objective import Objective as Given

__all__ = ["Objective", "given_objectives", "objectives_of"]

_LABEL: Final = "objective"
_PANELS: Final = (Measure.LATENCY, Measure.RESPONSE_TIME)
_UPPER: Final = (Relation.BELOW, Relation.AT_MOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The ``quantile`` (0 to 1) of a panel that is to stay below ``limit_s``; ``text`` says so."""

    panel: str
    quantile: float
    limit_s: float
    text: str


def given_objectives(labels: Mapping[str, str]) -> list[Given]:
    """The objectives in a run's labels, but for those that are none to us."""
    found: list[Given] = []
    for text in labels.get(_LABEL, "").split(","):
        with suppress(ObjectiveError):
            found.append(Given.parse(text))
    return found


def objectives_of(labels: Mapping[str, str]) -> list[Objective]:
    """The objectives in a run's labels that a chart can show; others have no line."""
    return [
        Objective(
            panel=str(given.measure),
            quantile=round(given.quantile, 9),
            limit_s=given.bound,
            text=f"{given.name}{given.relation}{given.bound_text}",
        )
        for given in given_objectives(labels)
        if given.measure in _PANELS and given.quantile is not None and given.relation in _UPPER
    ]
