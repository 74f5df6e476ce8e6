"""The autoscaler's decision: how many containers to start or stop.

Wanted is what the demand needs at the target concurrency, plus the buffer while there is demand,
between the bounds. Containers are started once more than there are has been wanted for all of the
scale-up window, and stopped once fewer have been wanted for all of the scale-down window. A
refused request with no container at all counts as demand for one, at once.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf
from typing import Final, NamedTuple

__all__ = [
    "ROUNDING",
    "SHORTEST_STEP_S",
    "STEP_S",
    "Autoscaler",
    "AutoscalerSettings",
    "Candidate",
    "to_stop",
    "wanted",
]

ROUNDING: Final = 1e-9
"""What a number of containers may be above a whole one by rounding, and not need one more."""

STEP_S: Final = 0.11
"""Seconds from one decision to the next."""

SHORTEST_STEP_S: Final = 0.01
"""Seconds to the next decision when there is a reason not to wait, such as a first refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalerSettings:
    """As ``Server.update_autoscaler`` names them; windows in seconds, all counts of containers.

    Raises:
        ValueError: a setting out of its range, named in the message.
    """

    min_containers: int = 0
    max_containers: int = 4
    buffer_containers: int = 0
    target_concurrency: float = 8
    scaleup_window: float = 0.0
    scaledown_window: float = 60.0

    def __post_init__(self) -> None:
        for name in ("min_containers", "buffer_containers", "scaleup_window", "scaledown_window"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.max_containers < 1:
            raise ValueError(f"max_containers must be at least 1, got {self.max_containers}")
        if self.target_concurrency <= 0:
            raise ValueError(f"target_concurrency must be above 0, got {self.target_concurrency}")
        if self.min_containers > self.max_containers:
            raise ValueError(
                f"min_containers ({self.min_containers}) is above "
                f"max_containers ({self.max_containers})"
            )


def wanted(settings: AutoscalerSettings, *, demand: float, refused: bool, crowded: int = 0) -> int:
    """How many containers ``demand`` requests in flight need.

    ``refused`` tells that a request found no container; it needs one. ``crowded`` is how many there
    were when one found all of them at their hard limit; it needs one more.
    """
    needed = ceil(demand / settings.target_concurrency - ROUNDING)
    if refused:
        needed = max(needed, 1)
    if crowded:
        needed = max(needed, crowded + 1)
    if needed:
        needed += settings.buffer_containers
    return max(settings.min_containers, min(settings.max_containers, needed))


class Autoscaler:
    """Remembers what was wanted over the windows. Times are seconds of any one clock."""

    def __init__(self, settings: AutoscalerSettings) -> None:
        self.settings = settings
        self._highest = _Highest()
        self._lowest = _Highest()
        self._wanted: int | None = None
        self._since = inf

    def __repr__(self) -> str:
        return f"Autoscaler({self.settings!r}, wanted={self._wanted})"

    def step(
        self, now: float, *, demand: float, refused: bool, containers: int, crowded: int = 0
    ) -> int:
        """Containers to start (above zero) or stop (below zero), at time ``now``.

        Args:
            demand: requests in flight, as a mean since the last step.
            refused: whether a request found no container since the last step.
            containers: how many are starting or live; draining ones no longer count.
            crowded: how many were live when a request found all of them full; 0 if none did.
        """
        settings = self.settings
        target = wanted(settings, demand=demand, refused=refused, crowded=crowded)
        if self._wanted != target:
            self._highest.add(now, target)
            self._lowest.add(now, -target)
            self._wanted = target
            self._since = min(self._since, now)
        least = -self._lowest.since(now - settings.scaleup_window)
        most = self._highest.since(now - settings.scaledown_window)
        floor, ceiling = settings.min_containers, settings.max_containers
        if containers < floor:
            return floor - containers
        if containers > ceiling:
            return ceiling - containers
        if refused and not containers:
            least = max(least, 1)
        if containers < least:
            return least - containers
        if containers > most and self._since <= now - settings.scaledown_window:
            return most - containers
        return 0


class _Highest:
    """The highest of values over a window that ends now; each one holds until the next.

    What a later value is not below makes no difference any more, and is forgotten: the rest
    descends, and the first one whose time is not over is the highest. A window that becomes longer
    looks back no further than the one before did.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: deque[tuple[float, int]] = deque()

    def add(self, now: float, value: int) -> None:
        """From ``now`` on it is ``value``."""
        held = self._held
        if held:
            held.append((now, held.pop()[1]))
        while held and held[-1][1] <= value:
            held.pop()
        held.append((inf, value))

    def since(self, began: float) -> int:
        """The highest from ``began`` on; there has to be one."""
        while self._held[0][0] <= began:
            self._held.popleft()
        return self._held[0][1]


class Candidate(NamedTuple):
    """A container as the choice of which to stop sees it; times in seconds of any one clock.

    ``ready`` is ``None`` while it is starting.
    """

    name: str
    in_flight: int
    started: float
    ready: float | None


def to_stop(
    candidates: Iterable[Candidate], count: int, *, ready_by: float | None = None
) -> list[str]:
    """Which ``count`` containers to stop: the least busy first, of equal ones the youngest.

    With ``ready_by`` the ones that became ready after that time, or did not yet, are kept and
    count as stopped: whoever asked for them gets the chance to come back.
    """
    those = list(candidates)
    if ready_by is not None:
        settled = [one for one in those if one.ready is not None and one.ready <= ready_by]
        count -= len(those) - len(settled)
        those = settled
    ordered = sorted(those, key=lambda c: (c.in_flight, -c.started, c.name))
    return [candidate.name for candidate in ordered[: max(0, count)]]
