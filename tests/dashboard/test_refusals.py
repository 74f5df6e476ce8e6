"""Scripted histories, from what is scraped and told to what the interface says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dashboard.app import create_app
from dashboard.config import Config
from dashboard.model import Event

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

START = 1_700_000_000
EAST, WEST = "us-east", "eu-west"


class History:
    """Seconds of traffic and events of containers, played into a store."""

    def __init__(self, scraped: Scraped, metrics: FakeMetrics) -> None:
        self.scraped = scraped
        self.metrics = metrics
        self.second = START

    def play(self, seconds: int = 1, *, edge: bool = True, live: int = 0, **counts: int) -> None:
        """So many seconds in each of which ``ok``, ``refused``, ... are counted in us-east."""
        for _ in range(seconds):
            self.count(EAST, **counts)
            if edge:
                self.metrics.gauge("edge_containers", live, state="live")
                self.metrics.gauge("edge_target_concurrency", 4)
                self.metrics.gauge("edge_max_containers", 1)
            asyncio.run(self.scraped.look(self.metrics, self.second))
            self.second += 1

    def count(self, region: str, routing: str = "sticky", **counts: int) -> None:
        """Before the next scrape: attempts by outcome, and what containers or the edge counted."""
        of = {"region": region, "routing": routing}
        named = counts.pop("named", 0)
        refused = counts.pop("refused", 0) + named
        # All are there from the first user on, with zeros.
        for outcome in ("ok", "cold_start", "throttled"):
            amount = refused if outcome == "cold_start" else counts.get(outcome, 0)
            self.metrics.count("loadgen_requests_total", amount, **of, outcome=outcome)
        self.metrics.count("loadgen_container_refusals_total", named, **of)
        self.metrics.gauge("loadgen_in_flight", counts.get("in_flight", 0), **of)

    def event(self, kind: str, container: str = "ta-1", *, ago_s: float = 0.5) -> None:
        """Something happened just before the last scrape."""
        at = self.second - 1 - ago_s
        event = Event(
            at=at, kind=f"container_{kind}", text=f"{kind} {container}",
            labels={"container": container},
        )  # fmt: skip
        asyncio.run(self.scraped.store.add_events([event]))

    def boots(self, container: str = "ta-1", *, refused: int = 10, seconds: int = 3) -> None:
        """A container is asked for, and comes."""
        self.play(refused=refused)
        self.event("starting", container)
        self.play(seconds - 1, refused=refused)
        self.event("process_started", container)
        self.play(refused=refused)
        self.event("live", container, ago_s=0.2)
        self.play(10, live=1, ok=50)

    def told(self, **query: Any) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            source = self.scraped.source(float(self.second))
            transport = httpx.ASGITransport(create_app(Config(), source))
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as one:
                window = {"start": START, "end": self.second}
                answer = await one.get("/api/refusals", params={**window, **query})
            source.close()
            assert answer.status_code == 200, answer.text
            told: dict[str, Any] = answer.json()
            return told

        return asyncio.run(ask())

    def streaks(self, **query: Any) -> list[tuple[str, int, float]]:
        """Cause, second of the beginning and number of each streak, the oldest first."""
        return [
            (one["cause"], one["began_at"] - START, one["refused"])
            for one in self.told(**query)["streaks"][::-1]
        ]


def texts(told: Iterable[dict[str, Any]]) -> list[str]:
    return [fact["text"] for streak in told for fact in streak["evidence"]]


def test_a_server_that_wakes_up_and_loses_its_containers(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    story.boots()  # seconds 0 to 3 refused, then 4 to 13 answered
    story.event("killed")
    story.event("exited", ago_s=0.45)
    story.boots("ta-2")  # 14 to 17, then 18 to 27
    story.event("draining", "ta-2")
    story.event("exited", "ta-2", ago_s=0.3)
    story.boots("ta-3")  # 28 to 31, then 32 to 41
    story.event("draining", "ta-3")
    story.play(8)  # nobody asks
    story.boots("ta-4")  # 50 to 53
    assert story.streaks() == [
        ("scale_from_zero", 0, 40.0),
        ("no_container", 14, 40.0),
        ("draining", 28, 40.0),
        ("scale_from_zero", 50, 40.0),
    ]
    first = story.told()["streaks"][-1]
    assert first["by_routing"] == {"sticky": 40.0}
    assert (first["ended_at"] - START, texts([first])) == (
        4,
        ["no container had been there before", "ta-1 took 3.3 s to come up"],
    )
    assert {"name": "boot_s", "value": 3.299999952316284, "text": "ta-1 took 3.3 s to come up"} in (
        first["evidence"]
    )


def test_what_a_container_answers_itself_is_apart_also_while_others_are_refused(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    story.boots()
    story.play(5, live=1, ok=50, named=2)
    story.event("killed")
    story.play(2, refused=7, named=1)
    assert story.streaks() == [
        ("scale_from_zero", 0, 40.0),
        ("application", 14, 12.0),
        ("no_container", 19, 14.0),
    ]


def test_a_container_that_had_all_it_was_to_have_was_saturated(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    story.boots()
    story.play(5, live=1, ok=50, in_flight=9)
    story.event("unhealthy")
    story.play(2, refused=7, in_flight=9)
    story.event("live", ago_s=0.1)
    story.play(8, live=1, ok=50, in_flight=3)
    story.event("unhealthy")
    story.play(2, refused=7)
    assert [cause for cause, _, _ in story.streaks()] == [
        "scale_from_zero",
        "saturation",
        "no_container",  # it stopped for another reason
    ]
    assert "9 requests under way before on 1 container, 4 aimed at for each" in texts(
        story.told()["streaks"]
    )


def test_what_containers_count_is_theirs_where_their_503s_do_not_name_them(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    story.boots()
    for _ in range(3):
        fake_metrics.count("target_requests_total", 5, container="ta-1", code="503")
        fake_metrics.count("edge_requests_total", 5, region=EAST, code="503")
        story.play(live=1, ok=50, refused=5)
    (own, _) = story.told()["streaks"]
    assert (own["cause"], own["refused"]) == ("application", 15.0)
    assert texts([own]) == [
        "1 container took requests",
        "150 attempts answered meanwhile",
        "containers counted 15 as theirs",
        "the edge counted 15 there",
    ]


def test_refusals_beside_live_containers_are_not_explained(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    story.boots()
    story.play(2, live=1, ok=40, refused=3)
    (unknown, _) = story.told()["streaks"]
    assert (unknown["cause"], unknown["refused"]) == ("unknown", 6.0)
    assert texts([unknown]) == ["1 container took requests", "80 attempts answered meanwhile"]


def test_without_containers_told_nothing_is_known(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    story.play(3, edge=False, refused=5)
    story.play(3, edge=False, ok=5)
    assert story.streaks() == [("unknown", 0, 15.0)]
    assert texts(story.told()["streaks"]) == ["nobody tells which containers there were"]


def test_containers_that_are_only_seen_now_and_then_are_seen_late(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    """As on Modal: gone at second 14, seen to be at 18."""
    story = History(scraped, fake_metrics)
    story.play(3, edge=False, refused=5)
    story.event("live", ago_s=0)
    story.play(11, edge=False, ok=50)
    story.play(5, edge=False, refused=5)
    story.event("gone", ago_s=0)
    story.play(3, edge=False, refused=5)
    story.event("live", "ta-2", ago_s=0)
    story.play(3, edge=False, ok=50)
    assert story.streaks() == [("scale_from_zero", 0, 15.0), ("no_container", 14, 40.0)]


def test_an_edge_that_is_not_there_any_more_tells_nothing(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    fake_metrics.count("edge_requests_total", 3, region=EAST, code="503")
    fake_metrics.count("target_requests_total", 3, container="ta-0", code="503")
    story.play(2, live=1, refused=1)
    for kept in (fake_metrics.counters, fake_metrics.gauges):
        for name in [name for name in kept if not name.startswith("loadgen_")]:
            del kept[name]
    story.play(30, edge=False, ok=5)
    story.play(2, edge=False, refused=5)
    told = story.told(start=story.second - 10)["streaks"]
    assert [(one["cause"], one["refused"]) for one in told] == [("unknown", 10.0)]
    assert texts(told) == ["nobody tells which containers there were"]


def test_a_container_from_long_ago_is_known_by_the_edges_count(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    story.play(3, live=1, ok=50)
    story.play(2, live=1, ok=50, refused=2)
    assert story.streaks() == [("unknown", 3, 4.0)]
    assert "1 container took requests" in texts(story.told()["streaks"])


def test_the_verdict_is_the_same_whatever_is_shown(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    story.boots()
    story.event("killed")
    story.count(WEST, "non_sticky", refused=3)
    story.play()  # the first to be refused is of the other region
    story.play(5)
    story.play(2, refused=4)
    story.count(WEST, "non_sticky")
    assert story.streaks() == [
        ("scale_from_zero", 0, 40.0),
        ("no_container", 14, 3.0),
        ("no_container", 20, 8.0),
    ]
    assert story.streaks(region=EAST) == [("scale_from_zero", 0, 40.0), ("no_container", 20, 8.0)]
    assert story.streaks(routing="non_sticky") == [("no_container", 14, 3.0)]


def test_sessions_are_listed_unless_all_others_were_full(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    story = History(scraped, fake_metrics)
    for container, in_flight in (("ta-bad", 0), ("ta-good", 1)):
        fake_metrics.gauge("target_requests_in_flight", in_flight, container=container)
    story.play(40, live=2, ok=50, named=2)

    def refused(session: str, at: int, number: int, by: str = "ta-bad") -> Event:
        labels = {
            **{"region": EAST, "session": session, "refused": str(number), "beside": "9"},
            **{"seconds": "10", "others_answered": "500", "others_refused": "1", "answered": "0"},
            "refused_by": by,
        }
        return Event(at=START + at, kind="session_refused", text=f"{session} {at}", labels=labels)

    asyncio.run(
        scraped.store.add_events(
            [refused("s1", 20, 11), refused("s2", 21, 30), refused("s1", 30, 12)]
        )
    )
    told = story.told()["sessions"]
    assert [(one["session"], one["refused"]) for one in told] == [("s2", 30.0), ("s1", 23.0)]
    assert told[1] == {
        "region": EAST,
        "session": "s1",
        "began_at": START + 10,
        "ended_at": START + 30,
        "refused": 23.0,
        "beside": 18.0,
        "others_answered": 1000.0,
        "others_refused": 2.0,
        "containers": ["ta-bad"],
        "answered": False,
        "idlest_in_flight": 1.0,
        "target_concurrency": 4.0,
    }
    assert story.told(routing="non_sticky")["sessions"] == []
    assert story.told(region=WEST)["sessions"] == []
    fake_metrics.gauge("target_requests_in_flight", 4, container="ta-good")
    began = story.second - START
    story.play(30, live=2, ok=50, named=2)
    asyncio.run(scraped.store.add_events([refused("s3", began + 20, 9)]))
    assert "s3" not in {one["session"] for one in story.told()["sessions"]}


KINDS = "starting process_started live draining killed exited failed unhealthy gone".split()


@settings(
    max_examples=12,
    deadline=None,
    # What the fixtures are is used, not what is in them.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seconds=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 5),
            st.integers(0, 5),
            st.none() | st.tuples(st.sampled_from(KINDS), st.sampled_from(["a", "b"])),
        ),
        min_size=1,
        max_size=12,
    ),
    edge=st.booleans(),
)
def test_whatever_happens_every_503_is_in_one_streak_with_evidence(
    tmp_path_factory: pytest.TempPathFactory,
    open_store: type[Scraped],
    fake_metrics: FakeMetrics,
    seconds: list[tuple[int, int, int, tuple[str, str] | None]],
    edge: bool,
) -> None:
    scraped = open_store(tmp_path_factory.mktemp("story") / "s.sqlite")
    story = History(scraped, type(fake_metrics)())
    total = 0
    for east, west, named, happened in seconds:
        story.count(WEST, "non_sticky", refused=west)
        story.play(edge=edge, refused=east, named=named)
        total += east + west + named
        if happened:
            story.event(*happened)
    told = story.told()["streaks"]
    assert sum(one["refused"] for one in told) == total
    assert all(one["evidence"] for one in told)
    own = sum(one["refused"] for one in told if one["cause"] == "application")
    assert own == sum(named for _, _, named, _ in seconds)
    scraped.store.close()
