"""The life of a container, as data: which state follows which, and on what."""

from collections.abc import Mapping
from enum import StrEnum, auto
from types import MappingProxyType
from typing import Final

__all__ = ["MOST_FAILED_CHECKS", "TRANSITIONS", "Happening", "State", "next_state"]

MOST_FAILED_CHECKS: Final = 10
"""Failed port checks in a row after which a container is replaced."""


class State(StrEnum):
    """``UNHEALTHY`` is live but out of routing until its port answers again."""

    STARTING = auto()
    LIVE = auto()
    UNHEALTHY = auto()
    DRAINING = auto()
    GONE = auto()


class Happening(StrEnum):
    """What can befall a container."""

    PORT_OPEN = auto()
    CHECK_FAILED = auto()
    CHECK_PASSED = auto()
    TOO_MANY_FAILED = auto()
    STARTED_TOO_SLOWLY = auto()
    STOPPED = auto()
    EXITED = auto()


TRANSITIONS: Final[Mapping[tuple[State, Happening], State]] = MappingProxyType(
    {
        (State.STARTING, Happening.PORT_OPEN): State.LIVE,
        (State.STARTING, Happening.STARTED_TOO_SLOWLY): State.DRAINING,
        (State.STARTING, Happening.STOPPED): State.DRAINING,
        (State.LIVE, Happening.CHECK_PASSED): State.LIVE,
        (State.LIVE, Happening.CHECK_FAILED): State.UNHEALTHY,
        (State.LIVE, Happening.STOPPED): State.DRAINING,
        (State.UNHEALTHY, Happening.CHECK_PASSED): State.LIVE,
        (State.UNHEALTHY, Happening.CHECK_FAILED): State.UNHEALTHY,
        (State.UNHEALTHY, Happening.TOO_MANY_FAILED): State.DRAINING,
        (State.UNHEALTHY, Happening.STOPPED): State.DRAINING,
        **{(state, Happening.EXITED): State.GONE for state in State if state is not State.GONE},
    }
)
"""What is not listed does not happen to a container in that state, and changes nothing."""


def next_state(state: State, happening: Happening) -> State:
    """The state after ``happening``; the same one where that has no meaning."""
    return TRANSITIONS.get((state, happening), state)
