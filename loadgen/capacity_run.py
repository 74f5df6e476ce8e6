"""Searches a server's capacity: offers a rate, lets it settle, watches it, judges, and goes on."""

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from typing import Final, Protocol

from loadgen.capacity_judgement import CapacityStep, Look, judge
from loadgen.capacity_search import RateRange, Tried, Verdict, highest_held, next_rate
from loadgen.objective import Objective

__all__ = ["CapacityPlan", "CapacityRun", "Fleet", "RegionCapacity"]

_LOOK_EVERY_S: Final = 0.5
_WARM_LOOKS: Final = 4
_DRAINED_WITHIN_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """What is searched: the highest of ``rates`` at which the objectives hold for ``hold_s``.

    Each rate is offered for ``settle_s`` before it is judged. Before its first one a region gets
    the lowest rate until it answers without a 503, for ``warmup_s`` at most.
    """

    objectives: tuple[Objective, ...]
    rates: RateRange
    resolution: float
    hold_s: float
    settle_s: float
    warmup_s: float


class Fleet(Protocol):
    """The processes that make the load."""

    def offer(self, region: str, rate: float | None) -> Set[str]:
        """From now on have so many arrivals per second in a region, of ``None`` none at all.

        What waits for a user is dropped. Returns the workers that were told.
        """

    def look(self) -> Look:
        """What all of them have counted by now."""


@dataclass(slots=True)
class RegionCapacity:
    """What the search found in a region so far; ``is_complete`` once it is over."""

    region: str
    steps: list[CapacityStep] = field(default_factory=list)
    is_complete: bool = False

    @property
    def tried(self) -> list[Tried]:
        return [Tried(step.rate, step.verdict) for step in self.steps]

    @property
    def rate(self) -> float | None:
        """The highest rate per second that was held, ``None`` if none was."""
        return highest_held(self.tried)

    @property
    def ceiling(self) -> CapacityStep | None:
        """The step at the lowest rate that was not held, ``None`` if all were."""
        failed = [step for step in self.steps if step.verdict is not Verdict.HELD]
        return min(failed, key=lambda step: step.rate, default=None)


class CapacityRun:
    """One search, of one region after the other, since they share the server's containers.

    ``offered`` is the rate per second that it tries now, ``None`` between two. One that the
    generator did not make is offered once more, and only then believed to be its limit.
    ``sleep`` waits so many seconds; ``say`` is told each step, the first try of such a rate too.
    """

    def __init__(
        self,
        plan: CapacityPlan,
        fleet: Fleet,
        *,
        sleep: Callable[[float], None],
        say: Callable[[str, CapacityStep], None],
    ) -> None:
        self.plan = plan
        self.found: list[RegionCapacity] = []
        self.offered: float | None = None
        self._fleet = fleet
        self._sleep = sleep
        self._say = say

    def __repr__(self) -> str:
        return f"<CapacityRun of {', '.join(one.region for one in self.found)}>"

    def search(self, regions: Iterable[str]) -> None:
        """Fill ``found``."""
        for region in regions:
            capacity = RegionCapacity(region)
            self.found.append(capacity)
            self._warm_up(region)
            self._search(capacity)
            capacity.is_complete = True

    def _search(self, capacity: RegionCapacity) -> None:
        plan, region = self.plan, capacity.region
        while (rate := next_rate(plan.rates, plan.resolution, capacity.tried)) is not None:
            step = self._hold(region, rate)
            if step.verdict is Verdict.LIMITED:
                # What kept the generator from it once, as other work on its machine, may be over.
                self._say(region, step)
                self._drain(region)
                step = self._hold(region, rate)
            capacity.steps.append(step)
            self._say(region, step)
            if step.verdict is not Verdict.HELD:
                self._drain(region)
        self._drain(region)

    def _hold(self, region: str, rate: float) -> CapacityStep:
        plan = self.plan
        told = self._offer(region, rate)
        self._sleep(plan.settle_s)
        before = self._fleet.look()
        self._sleep(plan.hold_s)
        after = self._fleet.look()
        return judge(plan.objectives, region, rate=rate, before=before, after=after, told=told)

    def _warm_up(self, region: str) -> None:
        if not self.plan.warmup_s:
            return
        self._offer(region, self.plan.rates.lowest)
        first = last = self._fleet.look()
        warm = 0
        while warm < _WARM_LOOKS and last.at_s - first.at_s < self.plan.warmup_s:
            self._sleep(_LOOK_EVERY_S)
            look = self._fleet.look()
            answered = look.regions[region].since(first.regions[region]).ok
            refused = look.regions[region].since(last.regions[region]).responses_503
            warm = warm + 1 if answered and not refused else 0
            last = look

    def _drain(self, region: str) -> None:
        """Wait until nothing is in flight: what is left of a rate that was too high is no load."""
        self._offer(region, None)
        look = self._fleet.look()
        since_s = look.at_s
        while look.in_flight[region] and look.at_s - since_s < _DRAINED_WITHIN_S:
            self._sleep(_LOOK_EVERY_S)
            look = self._fleet.look()

    def _offer(self, region: str, rate: float | None) -> Set[str]:
        self.offered = rate
        return self._fleet.offer(region, rate)
