"""How an attempt ended, in the words of ``loadgen_requests_total``."""

from typing import Final, Literal

__all__ = ["COLD_START", "OUTCOMES", "THROTTLED", "Outcome", "outcome_of_status"]

Outcome = Literal[
    "ok",
    "cold_start",
    "throttled",
    "client_error",
    "server_error",
    "timeout",
    "connection_error",
]

OUTCOMES: Final[tuple[Outcome, ...]] = (
    "ok",
    "cold_start",
    "throttled",
    "client_error",
    "server_error",
    "timeout",
    "connection_error",
)

COLD_START: Final = 503
"""The status of a flash URL with no container up."""

THROTTLED: Final = 429
"""The status of a container above its hard limit."""


def outcome_of_status(status: int) -> Outcome:
    """The outcome of an attempt that got a response: 2xx and 3xx are good."""
    if status < 400:
        return "ok"
    if status == COLD_START:
        return "cold_start"
    if status == THROTTLED:
        return "throttled"
    return "client_error" if status < 500 else "server_error"
