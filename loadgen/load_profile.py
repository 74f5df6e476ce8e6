"""How the load of a run changes over time, as shares of its full load: ramp, steps, spike, soak."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

from loadgen.arrival_schedule import RateSchedule
from loadgen.duration import parse_duration
from loadgen.errors import UsageError

__all__ = ["LoadProfile"]

_MOST_STEPS: Final = 1000


@dataclass(frozen=True, slots=True)
class LoadProfile:
    """Straight lines between points ``(second, share of the full load)``, and over at the last.

    The first point is at 0; two points at one second are a jump. ``text`` is what it was made from.
    """

    text: str
    points: tuple[tuple[float, float], ...]

    @classmethod
    def parse(cls, text: str) -> "LoadProfile":
        """From ``KIND`` or ``KIND:NAME=VALUE,NAME=VALUE,...``, as ``ramp:up=30,hold=2m``.

        Raises:
            UsageError: it is no profile.
        """
        kind, colon, given = text.partition(":")
        if kind not in _KINDS:
            known = _listed(list(_KINDS))
            raise UsageError(f"expected {known}, as in ramp:up=30,hold=2m, got {text!r}")
        settings, phases = _KINDS[kind]
        values = {name: setting.default for name, setting in settings.items()}
        for part in given.split(",") if colon else ():
            name, equals, value = part.partition("=")
            if not equals or name not in settings:
                names = _listed([f"{name}=" for name in settings])
                raise UsageError(f"expected {names} after {kind}:, got {part!r}")
            values[name] = settings[name].parse(value)
        points = tuple(_points(phases(values)))
        if not points:
            raise UsageError(f"expected a profile that takes some time, got {text!r}")
        return cls(text, points)

    def __str__(self) -> str:
        return self.text

    @property
    def end_s(self) -> float:
        """When it is over, in seconds since its start."""
        return self.points[-1][0]

    def share(self, second: float) -> float | None:
        """Of the full load at a time from 0 on, at a jump after it; ``None`` once it is over."""
        for (start, first), (end, last) in pairwise(self.points):
            if start <= second < end:
                return first + (last - first) * (second - start) / (end - start)
        return None

    def schedule(self, highest: float) -> RateSchedule:
        """Arrivals at these shares of a rate per second, and none after its end."""
        points = [(second, share * highest) for second, share in self.points]
        if points[-1][1]:
            points.append((self.end_s, 0.0))
        return RateSchedule(tuple(points))


class _Phase(NamedTuple):
    seconds: float
    first: float
    last: float


class _Setting(NamedTuple):
    default: float
    parse: Callable[[str], float]


def _points(phases: list[_Phase]) -> list[tuple[float, float]]:
    points: list[tuple[float, float]] = []
    second = 0.0
    for phase in phases:
        if not phase.seconds:
            continue
        if not points or points[-1][1] != phase.first:
            points.append((second, phase.first))
        second += phase.seconds
        points.append((second, phase.last))
    return points


def _ramp(values: Mapping[str, float]) -> list[_Phase]:
    return [_Phase(values["up"], 0.0, 1.0), _Phase(values["hold"], 1.0, 1.0)]


def _steps(values: Mapping[str, float]) -> list[_Phase]:
    count = int(values["count"])
    return [_Phase(values["each"], n / count, n / count) for n in range(1, count + 1)]


def _spike(values: Mapping[str, float]) -> list[_Phase]:
    base = values["base"]
    return [
        _Phase(values["before"], base, base),
        _Phase(values["spike"], 1.0, 1.0),
        _Phase(values["after"], base, base),
    ]


def _soak(values: Mapping[str, float]) -> list[_Phase]:
    return [*_ramp(values), _Phase(values["down"], 1.0, 0.0)]


def _count(text: str) -> float:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= _MOST_STEPS:
        raise UsageError(f"expected a number of steps from 1 to {_MOST_STEPS}, got {text!r}")
    return float(text)


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"expected a share from 0% to 100%, got {text!r}")
    return share


def _seconds(default: float) -> _Setting:
    return _Setting(default, parse_duration)


_KINDS: Final[
    Mapping[str, tuple[Mapping[str, _Setting], Callable[[Mapping[str, float]], list[_Phase]]]]
] = {
    "ramp": ({"up": _seconds(60), "hold": _seconds(60)}, _ramp),
    "steps": ({"count": _Setting(5, _count), "each": _seconds(60)}, _steps),
    "spike": (
        {
            "base": _Setting(0.1, _share),
            "before": _seconds(60),
            "spike": _seconds(30),
            "after": _seconds(60),
        },
        _spike,
    ),
    "soak": ({"up": _seconds(60), "hold": _seconds(3600), "down": _seconds(60)}, _soak),
}


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
