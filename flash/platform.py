"""What every room needs to know of Modal's flash platform, whoever answers it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

__all__ = [
    "Container",
    "ContainerState",
    "FlashError",
    "Platform",
    "PlatformUnreachableError",
    "TargetError",
]


class FlashError(Exception):
    """Base of this package's errors; the message says what to do."""


class TargetError(FlashError):
    """The target was not given, or was given in a way that cannot be used."""


class PlatformUnreachableError(FlashError):
    """Whoever should know the URLs or containers did not answer, or not usefully."""


class ContainerState(StrEnum):
    """Where a container is in its life."""

    STARTING = "starting"
    LIVE = "live"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container and the address at which it is reached without passing a proxy.

    ``region`` is where it runs and ``None`` where the platform does not say. ``started_at`` and
    ``ready_at`` are Unix seconds; ``None`` means not known, or not yet. ``in_flight`` is the
    number of requests in it as the proxies count them, ``None`` where nobody counts.
    """

    task_id: str
    url: str
    state: ContainerState
    region: str | None = None
    in_flight: int | None = None
    started_at: float | None = None
    ready_at: float | None = None


class Platform(Protocol):
    """Which regions there are, each region's URL, and which containers live.

    The calls block, for at most a few seconds; asyncio code runs them in a thread. Safe to call
    from several threads.
    """

    @property
    def told_states(self) -> Sequence[ContainerState]:
        """The states that containers are told in; how many are in another is not known."""

    def flash_urls(self) -> dict[str, str]:
        """The flash URL of each region, without a trailing slash; never empty.

        Raises:
            PlatformUnreachableError: there was no useful answer.
        """

    def containers(self) -> list[Container] | None:
        """The containers that exist now, or ``None`` where the platform cannot tell.

        Raises:
            PlatformUnreachableError: there was no useful answer.
        """

    def describe(self) -> str:
        """One phrase for people: what was asked, without any secret."""
