"""What a server has to hold, as ``p99<50ms,errors<0.1%``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Final

from flash import objective as grammar
from flash.buckets import BOUNDS_S, quantile
from flash.objective import BoundError, Measure, ObjectiveError, Relation
from loadgen.errors import UsageError
from loadgen.region_figures import RegionFigures

__all__ = ["Objective", "parse_objectives"]

_SHARES: Final[Mapping[str, Callable[[RegionFigures], float | None]]] = {
    Measure.ERRORS: lambda figures: figures.errors,
    Measure.SHARE_503: lambda figures: figures.share_503,
}
_MEASURES: Final = (Measure.LATENCY, Measure.RESPONSE_TIME, Measure.ERRORS, Measure.SHARE_503)
_RELATIONS: Final = (Relation.BELOW, Relation.AT_MOST)


@dataclass(frozen=True, slots=True)
class Objective:
    """A figure that has to be below ``bound``, or, if it is ``inclusive``, may be equal to it.

    ``figure`` is ``latency`` or ``response_time``, whose ``quantile`` (0 to 1) in seconds is meant,
    or ``errors`` or ``share_503``, shares from 0 to 1 that have no quantile.
    """

    name: str
    figure: str
    quantile: float | None
    bound: float
    inclusive: bool
    text: str

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """From ``p99<50ms``, ``response_time.p99.9<=2s``, ``errors<0.1%`` or ``share_503<1%``.

        Raises:
            UsageError: it is none of these.
        """
        text = text.strip()
        try:
            written = grammar.Objective.parse(text)
        except BoundError as error:
            raise UsageError(str(error)) from error
        except ObjectiveError as error:
            raise UsageError(_not_an_objective(text)) from error
        fits = written.measure in _MEASURES and written.relation in _RELATIONS
        # Each region is judged, with both kinds of its traffic, and no maximum is.
        if not fits or written.region is not None or written.name.endswith(".max"):
            raise UsageError(_not_an_objective(text))
        return cls(
            written.name,
            str(written.measure),
            written.quantile,
            written.bound,
            written.relation is Relation.AT_MOST,
            text,
        )

    def __str__(self) -> str:
        return self.text

    @property
    def is_of_attempts(self) -> bool:
        """Whether no wait of the generator's own can be in the figure."""
        return self.figure != "response_time"

    def measure(self, figures: RegionFigures) -> float | None:
        """The figure, ``None`` where there is no data.

        A quantile is that of ``flash.buckets``, but infinite above the last bound there.
        """
        if self.quantile is None:
            return _SHARES[self.figure](figures)
        counts = figures.latency if self.figure == "latency" else figures.response_time
        value = quantile(counts, self.quantile)
        if isnan(value):
            return None
        return float("inf") if value >= BOUNDS_S[-1] else value

    def is_held_by(self, value: float | None) -> bool:
        """Whether a measured figure is good; no data is not."""
        if value is None:
            return False
        return value < self.bound or (self.inclusive and value == self.bound)


def parse_objectives(text: str) -> tuple[Objective, ...]:
    """Several, with commas between.

    Raises:
        UsageError: one of them is none, or a figure is there twice.
    """
    objectives = tuple(map(Objective.parse, text.split(",")))
    names = [objective.name for objective in objectives]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"expected one bound for each figure, got several for {name}")
    return objectives


def _not_an_objective(text: str) -> str:
    return (
        "expected objectives such as p99<50ms, response_time.p95<=2s, errors<0.1% or share_503<1%, "
        f"with commas between, got {text!r}"
    )
