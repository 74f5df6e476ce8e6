from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from dashboard.container_lives import LiveChange, container_lives, live_changes, lives_in
from dashboard.model import Event
from dashboard.window import Window

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped


def event(at: float, kind: str, container: str, **labels: str) -> Event:
    return Event(at=at, kind=f"container_{kind}", text="", labels={"container": container} | labels)


def changes(events: list[Event], initially: str = "") -> list[tuple[float, str, str]]:
    return [
        (change.at, "".join(sorted(change.before)), "".join(sorted(change.after)))
        for change in live_changes(events, frozenset(initially))
    ]


def test_a_containers_life_is_put_together_from_its_events() -> None:
    found = container_lives(
        [
            event(1.0, "starting", "b", region="us-east"),
            event(2.0, "starting", "a"),
            event(2.5, "process_started", "b"),
            event(3.0, "live", "b"),
            event(4.0, "live", "unknown"),
            event(9.0, "draining", "b"),
            event(9.5, "exited", "b"),
            event(9.6, "gone", "b"),
        ]
    )
    assert [
        (life.task_id, life.requested_at, life.process_started_at, life.live_at) for life in found
    ] == [("b", 1.0, 2.5, 3.0), ("a", 2.0, None, None), ("unknown", None, None, 4.0)]
    assert (found[0].region, found[0].draining_at, found[0].gone_at) == ("us-east", 9.0, 9.5)


def test_containers_that_come_close_together_are_one_change() -> None:
    events = [event(10.0, "live", "b"), event(11.5, "live", "c"), event(20.0, "live", "d")]
    assert changes(events, "a") == [(10.0, "a", "abc"), (20.0, "abc", "abcd")]


def test_a_container_goes_when_it_drains_and_not_again_when_it_ends() -> None:
    events = [event(5.0, "draining", "b"), event(9.0, "exited", "b"), event(9.0, "gone", "b")]
    assert changes(events, "ab") == [(5.0, "ab", "a")]


def test_nothing_moves_at_the_first_wake_up_and_everything_at_one_from_zero() -> None:
    events = [
        event(1.0, "live", "a"),
        event(60.0, "draining", "a"),
        event(100.0, "starting", "b"),
        event(103.0, "live", "b"),
    ]
    assert changes(events) == [(103.0, "a", "b")]


def test_what_comes_and_goes_at_once_is_no_change() -> None:
    assert changes([event(1.0, "live", "b"), event(2.0, "killed", "b")], "a") == []


def test_containers_from_before_the_window_are_known_by_their_own_metrics(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> None:
        for second in range(1000, 1010):
            fake_metrics.gauge("target_requests_in_flight", second - 1000, container="old")
            fake_metrics.gauge("target_boot_duration_seconds", 1.5, container="old")
            await scraped.look(fake_metrics, second, region="us-east")
        await scraped.store.add_events(
            [
                event(500.0, "starting", "gone"),
                event(510.0, "gone", "gone"),
                event(1003.0, "starting", "new"),
                event(1005.0, "live", "new"),
            ]
        )
        source = scraped.source()
        lives, changed = await lives_in(source, Window(1000, 1010, 1))
        assert [(life.task_id, life.region, life.live_at) for life in lives] == [
            ("old", "us-east", None),
            ("new", None, 1005.0),
        ]
        assert (lives[0].server_boot_s, lives[0].in_flight_max) == (1.5, 9.0)
        assert (lives[1].server_boot_s, lives[1].in_flight_max) == (None, None)
        assert changed == [
            LiveChange(at=1005.0, before=frozenset({"old"}), after=frozenset({"old", "new"}))
        ]
        source.close()

    asyncio.run(run())
