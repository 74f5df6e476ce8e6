"""What a server has to meet, as ``p99(us-east) < 50ms``: the grammar of objectives.

METRIC[.STATISTIC][(REGION[,ROUTING])] (< | <= | > | >=) VALUE[UNIT]
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flash.duration import seconds_of

__all__ = ["BoundError", "Measure", "Objective", "ObjectiveError", "Relation", "Unit"]

_ROUTINGS: Final = ("sticky", "non_sticky")

_WRITTEN: Final = re.compile(
    r"(?P<name>[a-z_0-9.]+)\s*"
    r"(?:\(\s*(?P<region>[^\s(),]+)\s*(?:,\s*(?P<routing>[^\s(),]+)\s*)?\))?\s*"
    r"(?P<relation>[<>]=?)\s*(?P<bound>[^\s<>=]+)"
)
_STATISTIC: Final = re.compile(r"(?:([a-z_]+)\.)?(?:p(\d+(?:\.\d+)?)|(max))")


class ObjectiveError(ValueError):
    """A text is no objective."""


class BoundError(ObjectiveError):
    """It is one but for its bound, which is no number in the unit of what is measured."""


class Unit(StrEnum):
    """What a figure is counted in."""

    SECONDS = "s"
    SHARE = "share"
    PER_SECOND = "/s"
    COUNT = "count"


class Measure(StrEnum):
    """What can be measured: a distribution of durations has statistics, the others have none."""

    LATENCY = "latency"
    RESPONSE_TIME = "response_time"
    TIME_TO_FIRST_BYTE = "time_to_first_byte"
    EDGE_OVERHEAD = "edge_overhead"
    COLD_START_WAIT = "cold_start_wait"
    SHARE_503 = "share_503"
    ERRORS = "errors"
    AFFINITY = "affinity"
    CACHE_HITS = "cache_hits"
    THROUGHPUT = "throughput"
    REQUESTS = "requests"

    @property
    def unit(self) -> Unit:
        """The unit of its bounds and figures."""
        return _UNITS.get(self, Unit.SECONDS)


_UNITS: Final[Mapping[Measure, Unit]] = {
    Measure.SHARE_503: Unit.SHARE,
    Measure.ERRORS: Unit.SHARE,
    Measure.AFFINITY: Unit.SHARE,
    Measure.CACHE_HITS: Unit.SHARE,
    Measure.THROUGHPUT: Unit.PER_SECOND,
    Measure.REQUESTS: Unit.COUNT,
}


class Relation(StrEnum):
    """How a figure has to stand to its bound."""

    BELOW = "<"
    AT_MOST = "<="
    ABOVE = ">"
    AT_LEAST = ">="

    def holds(self, value: float, bound: float) -> bool:
        """Whether ``value`` stands so to ``bound``."""
        if value == bound:
            return self in (Relation.AT_MOST, Relation.AT_LEAST)
        return (value < bound) == (self in (Relation.BELOW, Relation.AT_MOST))


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """A figure and its bound.

    ``name`` is metric and statistic as they were written, ``quantile`` (0 to 1) the statistic of a
    distribution, ``None`` of anything else. Without ``region`` each region has to meet it, without
    ``routing`` both kinds of traffic together. ``bound`` is in the measure's unit: seconds, or a
    share from 0 to 1; ``bound_text`` is it as it was written.
    """

    name: str
    measure: Measure
    quantile: float | None
    region: str | None
    routing: str | None
    relation: Relation
    bound: float
    bound_text: str

    @classmethod
    def parse(cls, text: str) -> "Objective":
        """From a text such as ``cold_start_wait.max(us-east,sticky) <= 15s``.

        Raises:
            BoundError: the bound cannot be used.
            ObjectiveError: it is no objective for another reason.
        """
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise ObjectiveError(
                "expected an objective such as 'p99(us-east) < 50ms', 'share_503 < 1%' or "
                f"'throughput > 100/s', got {text.strip()!r}"
            )
        measure, quantile = _measured(found["name"])
        routing = found["routing"]
        if routing is not None and routing not in _ROUTINGS:
            raise ObjectiveError(f"expected sticky or non_sticky as routing, got {routing!r}")
        if routing is not None and measure is Measure.CACHE_HITS:
            raise ObjectiveError("cache_hits are not told apart by routing, only by region")
        return cls(
            name=found["name"],
            measure=measure,
            quantile=quantile,
            region=found["region"],
            routing=routing,
            relation=Relation(found["relation"]),
            bound=_bound(found["bound"], measure.unit),
            bound_text=found["bound"],
        )

    def __str__(self) -> str:
        scope = ",".join(part for part in (self.region, self.routing) if part is not None)
        where = f"({scope})" if scope else ""
        return f"{self.name}{where} {self.relation} {self.bound_text}"

    def is_met_by(self, value: float) -> bool:
        """Whether a measured figure, in the unit of ``bound``, is good."""
        return self.relation.holds(value, self.bound)


def _measured(name: str) -> tuple[Measure, float | None]:
    statistic = _STATISTIC.fullmatch(name)
    if statistic is None:
        if name in list(Measure) and Measure(name).unit is not Unit.SECONDS:
            return Measure(name), None
        raise ObjectiveError(_unknown(name))
    of, percentile, _ = statistic.groups()
    if of is None and percentile is not None:
        measure = Measure.LATENCY
    elif of in list(Measure) and of != Measure.LATENCY and Measure(of).unit is Unit.SECONDS:
        measure = Measure(of)
    else:
        raise ObjectiveError(_unknown(name))
    if percentile is None:
        return measure, 1.0
    if not 0 < float(percentile) <= 100:
        raise ObjectiveError(f"expected a percentile above 0 up to 100, got {name!r}")
    return measure, float(percentile) / 100


def _unknown(name: str) -> str:
    durations = [one for one in Measure if one.unit is Unit.SECONDS and one != Measure.LATENCY]
    plain = [one for one in Measure if one.unit is not Unit.SECONDS]
    return (
        f"there is no metric {name!r}; there are p50, p99 and so on (of latency), "
        f"{', '.join(f'{one}.p99' for one in durations)}, .max of these, and {', '.join(plain)}"
    )


def _bound(text: str, unit: Unit) -> float:
    if unit is Unit.SECONDS:
        try:
            return seconds_of(text, unit=None)
        except ValueError as error:
            raise BoundError(str(error)) from error
    if unit is Unit.SHARE:
        share = _number(text, "%")
        if share is None or share > 100:
            raise BoundError(f"expected a share from 0% to 100%, such as 0.1%, got {text!r}")
        return share / 100
    rate = unit is Unit.PER_SECOND
    number = _number(text, "/s" if rate else "")
    if number is None:
        example = "a rate such as 100/s" if rate else "a number without a unit"
        raise BoundError(f"expected {example}, got {text!r}")
    return number


def _number(text: str, unit: str) -> float | None:
    """The number before ``unit``, ``None`` if it is none or below zero."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)" + re.escape(unit), text, re.ASCII)
    return None if found is None else float(found[1])
