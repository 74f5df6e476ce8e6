"""What scraper, store and queries hand to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from dashboard.increments import Increment, Memory

__all__ = ["Event", "Run", "ScrapeResult", "Target", "TargetStatus"]


def _none() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something to scrape.

    ``key`` tells targets apart for good: an address that another container took over later is
    another target. ``labels`` are added to those series that lack them. An ``optional`` target may
    be absent without being an error.
    """

    key: str
    job: str
    url: str
    labels: Mapping[str, str] = field(default_factory=_none)
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeResult:
    """One good scrape of a target at Unix second ``second``, worked out against the one before.

    ``counts_since`` is the Unix time since which a target has counted that was never scraped
    before, or has restarted; ``None`` where that is not told, or of no matter.
    """

    target: Target
    second: int
    increments: list[Increment]
    memory: Memory
    counts_since: float | None = None
    dropped_series: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """How the newest attempt at a target went.

    ``duration_s`` and ``scraped_at`` (Unix seconds) are ``None`` before the first attempt.
    ``error`` is ``None`` when it went well. ``series`` is ``None`` where that is not told.
    ``dropped_series`` is how many series were not stored because the target has too many.
    """

    target: Target
    up: bool = False
    error: str | None = None
    duration_s: float | None = None
    scraped_at: float | None = None
    series: int | None = 0
    dropped_series: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at Unix time ``at`` and is marked on the time charts."""

    at: float
    kind: str
    text: str
    labels: Mapping[str, str] = field(default_factory=_none)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the load generator; ``end`` is ``None`` while it runs (Unix seconds)."""

    run: str
    start: float
    end: float | None
    labels: Mapping[str, str]
