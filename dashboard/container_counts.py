"""How many containers there are, by region and state, as the platform tells it: a metric of ours.

No scrape tells it by region, so the dashboard exposes and stores what it sees itself.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from dashboard.increments import Increment, Memory
from dashboard.model import ScrapeResult, Target
from dashboard.shape import Family, Kind
from flash.platform import Container, ContainerState

__all__ = ["METRIC", "ContainerCounter", "ContainerCounts", "counts_scrape"]

METRIC: Final = "dashboard_containers"

ContainerCounts = Mapping[tuple[str, ContainerState], int]
"""Containers by the region that they run in, "" where it is not told, and by state."""

_SELF: Final = Target(key="dashboard", job="dashboard", url="")
_NO_MEMORY: Final = Memory([], np.zeros(0), {}, None)


class ContainerCounter:
    """Counts containers. A region that had some before has zero of them when there are none.

    ``states`` are those that the platform tells; of others nothing is known.
    """

    def __init__(self, states: Iterable[ContainerState]) -> None:
        self._states = tuple(states)
        self._regions: set[str] = set()

    def count(self, containers: Iterable[Container]) -> ContainerCounts:
        """How many of ``containers`` there are, by region and state."""
        found = Counter((container.region or "", container.state) for container in containers)
        self._regions.update(region for region, _ in found)
        # While none has been anywhere, the regions that they will be in are not known.
        regions = sorted(self._regions) or [""]
        return {
            (region, state): found[region, state] for region in regions for state in self._states
        }


def counts_scrape(counts: ContainerCounts, second: int) -> ScrapeResult:
    """The counts of Unix second ``second`` as the store takes them."""
    labels = tuple(
        (("region", region), ("state", str(state))) if region else (("state", str(state)),)
        for region, state in counts
    )
    family = Family(METRIC, Kind.GAUGE, labels, np.arange(len(labels), dtype=np.intp))
    values = np.array(list(counts.values()), dtype=np.float64)
    return ScrapeResult(
        target=_SELF, second=second, increments=[Increment(family, values)], memory=_NO_MEMORY
    )
