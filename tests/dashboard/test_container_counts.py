from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dashboard.config import Config
from dashboard.container_counts import METRIC, ContainerCounter, ContainerCounts, counts_scrape
from dashboard.discovery import Discovery
from dashboard.lines import panel_lines
from dashboard.own_metrics import OwnMetrics
from dashboard.panels import PANELS
from dashboard.window import Window
from flash.platform import Container, ContainerState

if TYPE_CHECKING:
    from conftest import Scraped

STARTING, LIVE, DRAINING = ContainerState
START = 1_700_000_000


def containers(*told: tuple[str | None, ContainerState]) -> list[Container]:
    return [
        Container(task_id=f"ta-{n}", url=f"http://127.0.0.1:90{n}", region=region, state=state)
        for n, (region, state) in enumerate(told)
    ]


def test_a_state_with_none_is_zero_in_every_region_that_has_some() -> None:
    told = containers(("us-east", LIVE), ("us-east", LIVE), ("eu-west", STARTING))
    assert ContainerCounter(ContainerState).count(told) == {
        ("us-east", STARTING): 0,
        ("us-east", LIVE): 2,
        ("us-east", DRAINING): 0,
        ("eu-west", STARTING): 1,
        ("eu-west", LIVE): 0,
        ("eu-west", DRAINING): 0,
    }


def test_a_region_that_scaled_to_zero_has_none_and_is_not_forgotten() -> None:
    counter = ContainerCounter(ContainerState)
    counter.count(containers(("us-east", LIVE)))
    assert counter.count(containers(("eu-west", LIVE)))["us-east", LIVE] == 0
    assert set(counter.count([]).items()) == {
        ((region, state), 0) for region in ("us-east", "eu-west") for state in ContainerState
    }


def test_before_the_first_container_there_is_none_in_a_region_that_is_not_known() -> None:
    counter = ContainerCounter(ContainerState)
    assert counter.count([]) == {("", STARTING): 0, ("", LIVE): 0, ("", DRAINING): 0}
    assert {region for region, _ in counter.count(containers(("us-east", STARTING)))} == {"us-east"}


def test_of_states_that_a_platform_does_not_tell_nothing_is_told() -> None:
    modal = ContainerCounter((LIVE,))
    assert modal.count(containers((None, LIVE), (None, LIVE))) == {("", LIVE): 2}
    assert modal.count([]) == {("", LIVE): 0}
    assert ContainerCounter(()).count([]) == {}


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from([None, "us", "eu"]), st.sampled_from(ContainerState)))
    )
)
def test_counts_add_up_to_the_containers_that_there_are(
    looks: list[list[tuple[str | None, ContainerState]]],
) -> None:
    counter = ContainerCounter(ContainerState)
    seen: set[str] = set()
    for told in looks:
        counts = counter.count(containers(*told))
        assert sum(counts.values()) == len(told)
        seen |= {region or "" for region, _ in told}
        assert {region for region, _ in counts} == (seen or {""})
        for state in ContainerState:
            assert sum(n for (_, of), n in counts.items() if of is state) == sum(
                of is state for _, of in told
            )


def told_by_panel(scraped: Scraped, window: Window) -> dict[tuple[str, str], list[float | None]]:
    source = scraped.source(window.end)
    found = asyncio.run(panel_lines(PANELS["containers"], source, window, {}))
    source.close()
    return {
        (line.labels.get("region", ""), line.labels["state"]): [
            None if np.isnan(value) else value for value in line.values.tolist()
        ]
        for line in found.lines
    }


def test_what_is_stored_is_what_was_counted_and_a_gap_where_nothing_was(scraped: Scraped) -> None:
    counter = ContainerCounter(ContainerState)
    told: dict[int, ContainerCounts] = {
        0: counter.count([]),
        1: counter.count(containers(("us-east", STARTING))),
        2: counter.count(containers(("us-east", LIVE), ("eu-west", LIVE))),
        # 3 and 4: the platform does not answer.
        5: counter.count(containers(("us-east", DRAINING))),
        6: counter.count([]),
    }

    async def store() -> None:
        for second, counts in told.items():
            await scraped.store.write([counts_scrape(counts, START + second)])

    asyncio.run(store())
    none: list[float | None] = [None] * 6
    nowhere: list[float | None] = [0.0, *none]
    assert told_by_panel(scraped, Window(START, START + 7, 1)) == {
        ("", "starting"): nowhere,
        ("", "live"): nowhere,
        ("", "draining"): nowhere,
        ("us-east", "starting"): [None, 1.0, 0.0, None, None, 0.0, 0.0],
        ("us-east", "live"): [None, 0.0, 1.0, None, None, 0.0, 0.0],
        ("us-east", "draining"): [None, 0.0, 0.0, None, None, 1.0, 0.0],
        ("eu-west", "starting"): [None, None, 0.0, None, None, 0.0, 0.0],
        ("eu-west", "live"): [None, None, 1.0, None, None, 0.0, 0.0],
        ("eu-west", "draining"): [None, None, 0.0, None, None, 0.0, 0.0],
    }


def test_its_exposition_has_what_is_stored_and_no_sample_while_nothing_is_told() -> None:
    metrics = OwnMetrics()
    metrics.container_counts = ContainerCounter((LIVE,)).count(containers(("us-east", LIVE)))
    assert f'\n{METRIC}{{region="us-east",state="live"}} 1.0\n' in metrics.exposition().decode()
    metrics.container_counts = {}
    assert f"\n{METRIC}{{" not in metrics.exposition().decode()


class Platform:
    """Tells of one container."""

    told_states = tuple(ContainerState)

    def flash_urls(self) -> dict[str, str]:
        raise AssertionError("nobody needs them")

    def containers(self) -> list[Container] | None:
        return containers(("us-east", LIVE))

    def describe(self) -> str:
        return "a pretended platform"


def test_an_answer_is_no_longer_what_is_when_three_more_might_have_come() -> None:
    now = 100.0

    async def look() -> None:
        nonlocal now
        looked = asyncio.Event()
        discovery = Discovery(
            Config(flash_edge="http://h:1"),
            platform=Platform(),
            on_events=lambda events: looked.set(),
            monotonic=lambda: now,
        )
        assert discovery.containers() is None
        discovery.start()
        await asyncio.wait_for(looked.wait(), 10)
        now += 2.9
        assert discovery.containers() == containers(("us-east", LIVE))
        now += 0.2
        assert discovery.containers() is None
        # They are still scraped: each tells for itself.
        assert [target.job for target in discovery.targets()] == ["loadgen", "edge", "target_app"]
        discovery.stop()

    asyncio.run(look())
