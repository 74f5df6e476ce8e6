"""The autoscaler's decision: how many containers to start or stop.

Wanted is what the demand needs at the target concurrency, plus the buffer while there is demand,
between the bounds. Containers are started once more than there are has been wanted for all of the
scale-up window, and stopped once fewer have been wanted for all of the scale-down window. A
refused request with no container at all counts as demand for one, at once.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

__all__ = ["Autoscaler", "AutoscalerSettings", "Candidate", "to_stop", "wanted"]


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
    needed = ceil(demand / settings.target_concurrency)
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
        # (since, wanted): that many were wanted from then until the next entry.
        self._history: deque[tuple[float, int]] = deque()

    def __repr__(self) -> str:
        return f"Autoscaler({self.settings!r}, wanted={list(self._history)[-1:]!r})"

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
        target = wanted(self.settings, demand=demand, refused=refused, crowded=crowded)
        if not self._history or self._history[-1][1] != target:
            self._history.append((now, target))
        longest = max(self.settings.scaleup_window, self.settings.scaledown_window)
        while len(self._history) > 1 and self._history[1][0] <= now - longest:
            self._history.popleft()
        floor, ceiling = self.settings.min_containers, self.settings.max_containers
        if containers < floor:
            return floor - containers
        if containers > ceiling:
            return ceiling - containers
        least = min(self._over(now, self.settings.scaleup_window), default=target)
        if refused and not containers:
            least = max(least, 1)
        most = max(self._over(now, self.settings.scaledown_window), default=target)
        if containers < least:
            return least - containers
        if containers > most and self._known_for(now, self.settings.scaledown_window):
            return most - containers
        return 0

    def _over(self, now: float, window: float) -> Iterable[int]:
        """What was wanted at some time within the window that ends now."""
        began = now - window
        until = now
        for since, target in reversed(self._history):
            if until < began:
                return
            yield target
            if since <= began:
                return
            until = since

    def _known_for(self, now: float, window: float) -> bool:
        return bool(self._history) and self._history[0][0] <= now - window


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
