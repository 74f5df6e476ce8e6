"""Parameters of the routes: their bounds, and errors that name the one at fault.

| route | parameter | range | default |
|---|---|---|---|
| ``/work`` | ``sleep_ms`` | 0 to 60,000 | 0 |
| ``/work`` | ``cpu_ms`` | 0 to 10,000 | 0 |
| ``/work`` | ``bytes`` | 0 to 1,073,741,824 | 0 |
| ``/generate`` | ``tokens`` | 1 to 10,000 | 32 |
| ``/generate`` | ``tokens_per_s`` | 0.1 to 100,000 | 200 |
| ``/generate`` | ``prompt_tokens`` | 0 to 1,000,000 | 512 |
| ``/generate`` | ``prefill_tokens_per_s`` | 1 to 10,000,000 | 5,000 |
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl

from target_app.errors import TargetAppError

_NUMBER: Final = re.compile(r"[+-]?\d{1,40}(\.\d{0,40})?([eE][+-]?\d{1,3})?", re.ASCII)
_LONGEST_ECHO: Final = 80

__all__ = ["GENERATE", "WORK", "Bounds", "ParameterError", "from_json", "from_query"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The least and the most that a parameter may be, both included, and its default."""

    least: float
    most: float
    default: float
    whole: bool = False


WORK: Final = MappingProxyType(
    {
        "sleep_ms": Bounds(0, 60_000, 0),
        "cpu_ms": Bounds(0, 10_000, 0),
        "bytes": Bounds(0, 1 << 30, 0, whole=True),
    }
)
GENERATE: Final = MappingProxyType(
    {
        "tokens": Bounds(1, 10_000, 32, whole=True),
        "tokens_per_s": Bounds(0.1, 100_000, 200),
        "prompt_tokens": Bounds(0, 1_000_000, 512, whole=True),
        "prefill_tokens_per_s": Bounds(1, 10_000_000, 5_000),
    }
)


class ParameterError(TargetAppError):
    """A parameter that cannot be used. ``where`` is its name."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where[:_LONGEST_ECHO]


def from_query(query: bytes, bounds: Mapping[str, Bounds]) -> dict[str, float]:
    """Every parameter's value from a query string; unknown and repeated ones are errors."""
    given: dict[str, object] = {}
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name in given:
            raise ParameterError(name, f"{name[:_LONGEST_ECHO]!r} is given twice")
        # What is no number stays text, and is refused as such where its bounds are known.
        given[name] = float(value) if _NUMBER.fullmatch(value) else value
    return _checked(given, bounds)


def from_json(body: bytes, bounds: Mapping[str, Bounds]) -> dict[str, float]:
    """Every parameter's value from a JSON object; an empty body is an empty object."""
    if not body.strip():
        return _checked({}, bounds)
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise ParameterError("body", "the body is not JSON") from None
    if not isinstance(given, dict):
        raise ParameterError("body", "the body is not a JSON object")
    return _checked(given, bounds)


def _checked(given: Mapping[str, object], bounds: Mapping[str, Bounds]) -> dict[str, float]:
    for name in given:
        if name not in bounds:
            known = ", ".join(bounds)
            raise ParameterError(
                name, f"{name[:_LONGEST_ECHO]!r} is no parameter here; known are {known}"
            )
    return {
        name: _value(name, given[name], allowed) if name in given else allowed.default
        for name, allowed in bounds.items()
    }


def _value(name: str, given: object, allowed: Bounds) -> float:
    kind = "a whole number" if allowed.whole else "a number"
    expected = f"{name}: expected {kind} from {allowed.least:,g} to {allowed.most:,.0f}"
    # bool is an int to Python but no number to a caller. NaN is within no bounds.
    if (
        isinstance(given, bool)
        or not isinstance(given, int | float)
        or not allowed.least <= given <= allowed.most
        or (allowed.whole and given != int(given))
    ):
        shown = f"{given:g}" if isinstance(given, float) else str(given)
        raise ParameterError(name, f"{expected}, got {shown[:_LONGEST_ECHO]!r}")
    return float(given)
