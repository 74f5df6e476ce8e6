"""What wrk prints of a run with ``--latency``, read."""

import re
import sys
from dataclasses import dataclass
from typing import Final

__all__ = ["WrkOutput", "found"]

_UNITS_MS: Final = (("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 60e3))


@dataclass(frozen=True, slots=True)
class WrkOutput:
    """``rate`` in requests/s, latencies in milliseconds; ``failed`` counts responses other than
    2xx and 3xx, and socket errors."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    failed: int

    @classmethod
    def read(cls, text: str) -> "WrkOutput":
        """Exits with a message where ``text`` is not what wrk prints."""
        errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
        refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
        # A line of the distribution begins with its percentage. Other lines only contain some.
        return cls(
            requests=int(found(r"(\d+) requests in", text)),
            rate=float(found(r"Requests/sec:\s+([\d.]+)", text)),
            p50_ms=_ms(found(r"\n\s+50%\s+(\S+)", text)),
            p99_ms=_ms(found(r"\n\s+99%\s+(\S+)", text)),
            failed=sum(map(int, errors.groups() if errors else ()))
            + (int(refused[1]) if refused else 0),
        )


def found(pattern: str, text: str) -> str:
    """The first group of a pattern in a program's output; exits with a message without it."""
    match = re.search(pattern, text)
    if match is None:
        sys.exit(f"benchmark: no {pattern!r} in this output:\n{text}")
    return match[1]


def _ms(text: str) -> float:
    for unit, factor in _UNITS_MS:
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    sys.exit(f"benchmark: expected a duration as wrk prints it, got {text!r}")
