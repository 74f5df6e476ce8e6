"""Faults on purpose, per region, so that clients and charts can be tested against them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import cast

__all__ = ["Faults"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What a region does wrong.

    ``latency_s`` is added to the round trip; ``refuse_next`` requests are answered with 503;
    ``refuse_share`` and ``reset_share`` are probabilities (0 to 1) of a 503 and of a reset
    connection; ``body_bytes_per_s`` slows response bodies down, 0 does not.

    Raises:
        ValueError: a value out of its range, named in the message.
    """

    latency_s: float = 0.0
    refuse_next: int = 0
    refuse_share: float = 0.0
    reset_share: float = 0.0
    body_bytes_per_s: float = 0.0

    def __post_init__(self) -> None:
        for field, most in (
            ("latency_s", 60.0),
            ("refuse_next", 1e9),
            ("refuse_share", 1.0),
            ("reset_share", 1.0),
            ("body_bytes_per_s", 1e12),
        ):
            value = getattr(self, field)
            if not 0 <= value <= most:
                raise ValueError(f"{field}: expected a number from 0 to {most:g}, got {value!r}")

    def changed(self, given: Mapping[str, object]) -> "Faults":
        """These faults with some of them changed.

        Raises:
            ValueError: an unknown name, or a value that cannot be used.
        """
        known = [field.name for field in fields(self)]
        numbers: dict[str, float] = {}
        for name, value in given.items():
            if name not in known:
                raise ValueError(f"{name}: no such fault; there are {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
                raise ValueError(f"{name}: expected a number, got {str(value)[:100]!r}")
            if name == "refuse_next" and value != int(value):
                raise ValueError(f"{name}: expected a whole number, got {value!r}")
            numbers[name] = int(value) if name == "refuse_next" else value
        # refuse_next alone is whole; mypy sees one type for all names.
        return replace(self, **cast("dict[str, int]", numbers))
