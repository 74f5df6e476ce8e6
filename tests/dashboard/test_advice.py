"""The advice on scripted stores: what is read of a run, what is said of it, and when nothing is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from dashboard.__main__ import main
from dashboard.advice import Option, changes, option_grid, sentence
from dashboard.app import create_app
from dashboard.config import Config
from dashboard.model import Event
from dashboard.replay import Outcome
from flash.autoscaler import AutoscalerSettings

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

START = 1_700_000_000
SETTINGS = {
    "min_containers": 0,
    "max_containers": 4,
    "buffer_containers": 0,
    "target_concurrency": 8,
    "scaleup_window": 0,
    "scaledown_window": 10,
}
PLACE = {"region": "us-east", "routing": "non_sticky"}


@pytest.fixture
def fill(
    scraped: Scraped, fake_metrics: FakeMetrics, finished_run: Callable[..., Any]
) -> Callable[..., None]:
    """Store the finished run, changed as the keywords say."""

    def run(**script: Any) -> None:
        asyncio.run(finished_run(scraped, fake_metrics, START, **script))

    return run


def asked(scraped: Scraped, **query: float) -> tuple[int, Any]:
    async def ask() -> tuple[int, Any]:
        source = scraped.source()
        transport = httpx.ASGITransport(create_app(Config(), source))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.get("/api/runs/r1/advice", params=query)
        source.close()
        return answer.status_code, answer.json()

    return asyncio.run(ask())


def test_a_run_is_replayed_and_held_against_what_was_measured(
    scraped: Scraped, fill: Callable[..., None]
) -> None:
    fill()
    status, told = asked(scraped)
    assert status == 200
    assert told["own"]["settings"] == SETTINGS
    assert (told["start"], told["seconds"]) == (START + 1.0, 40)
    measured, own = told["measured"], told["own"]["outcome"]
    assert measured == {
        "refused": 80,
        "share_503": pytest.approx(80 / (80 + 400)),
        "answered": 400,
        "delayed": 20,
        "mean_wait": 1.5,
        "gave_up": 0,
        "container_seconds": pytest.approx(39.95),
    }
    # Twenty requests in two seconds; the waits between tries add up to 0.075, 0.225, 0.525, 1.125
    # and 2.325 s on average, so that one with t seconds to go is refused about 1 + as many times.
    expected = sum(
        1 + sum(sum_s < left for sum_s in (0.075, 0.225, 0.525, 1.125, 2.325))
        for left in (2.0 - (n + 0.5) / 10 for n in range(20))
    )
    assert own["refused"] == pytest.approx(expected, rel=0.06)
    assert own["delayed"] == pytest.approx(20, abs=1)
    assert own["answered"] == pytest.approx(400, abs=2)
    assert own["container_seconds"] == pytest.approx(40, abs=0.3)
    best = [option for option in told["options"] if option["best"]]
    assert [option["outcome"]["refused"] for option in best] == sorted(
        (option["outcome"]["refused"] for option in best), reverse=True
    )
    kept = next(one for one in told["picked"] if one["settings"]["min_containers"] == 1)
    assert kept["outcome"]["refused"] == 0
    assert kept["text"].startswith("min_containers=1")
    assert f"met 0 instead of {own['refused']:.0f} refusals" in kept["text"]
    assert any("open model" in note for note in told["notes"])
    assert 40 <= len(told["options"]) <= 120


def test_what_the_replay_misses_is_said(scraped: Scraped, fill: Callable[..., None]) -> None:
    # Somebody else had two containers more.
    others = [
        Event(at=START + at, kind=f"container_{kind}", text=name, labels={"container": name})
        for name in ("b", "c")
        for kind, at in (("starting", 5.0), ("live", 6.0))
    ]
    fill(more_events=others)
    _, told = asked(scraped)
    (doubt,) = [note for note in told["notes"] if "take the rest with care" in note]
    assert "container-seconds" in doubt
    assert "112 were measured" in doubt


def test_settings_that_are_not_told_have_to_be_given(
    scraped: Scraped, fill: Callable[..., None]
) -> None:
    fill(settings=False)
    status, told = asked(scraped)
    assert status == 409
    assert told["error"]["code"] == "no_advice"
    assert "tell min_containers, max_containers, buffer_containers" in told["error"]["message"]
    assert "scaleup_window" not in told["error"]["message"]
    given = {name: value for name, value in SETTINGS.items() if name != "scaleup_window"}
    status, told = asked(scraped, **given | {"scaledown_window": 25})
    assert status == 200
    assert told["own"]["settings"] == SETTINGS | {"scaledown_window": 25}
    status, told = asked(scraped, **given | {"min_containers": 9})
    assert (status, told["error"]["message"]) == (
        409,
        "min_containers (9) is above max_containers (4)",
    )
    assert asked(scraped, min_containers=-1)[0] == 422


def changed(metrics: FakeMetrics, second: int) -> None:
    metrics.gauge("edge_min_containers", 1 if second > 20 else 0)


def throttled(metrics: FakeMetrics, second: int) -> None:
    metrics.count("loadgen_requests_total", 1, **PLACE, outcome="throttled")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ({"ends": False}, "run r1 has no end"),
        ({"asked_for": None, "live": None}, "no container was seen during the run"),
        ({"asked_for": None, "live": -5.0}, "no container was seen to start"),
        ({"also": changed}, "min_containers was changed during the run, from 0 to 1"),
        ({"also": throttled}, "41 attempts were turned away with 429"),
        ({"cold_start_policy": "probe"}, "--cold-start-policy probe"),
        ({"first": 12}, "the first 11 s of the run are not in the store"),
    ],
)
def test_of_too_little_there_is_a_reason_and_no_advice(
    scraped: Scraped, fill: Callable[..., None], script: dict[str, Any], reason: str
) -> None:
    fill(**script)
    status, told = asked(scraped)
    assert (status, told["error"]["where"]) == (409, "run")
    assert reason in told["error"]["message"]


def test_how_long_a_start_takes_is_else_known_from_the_cold(
    scraped: Scraped, fill: Callable[..., None]
) -> None:
    def cold(metrics: FakeMetrics, second: int) -> None:
        if second == 5:
            metrics.observe("loadgen_cold_start_window_seconds", 2.0, region="us-east")

    fill(asked_for=None, live=4.0, also=cold)
    status, told = asked(scraped)
    assert status == 200
    assert any("does not tell when containers were asked for" in note for note in told["notes"])
    assert told["own"]["outcome"]["refused"] > 60


def test_a_run_of_the_closed_model_is_one_of_users(
    scraped: Scraped, fill: Callable[..., None]
) -> None:
    fill(load_model="closed")
    _, told = asked(scraped)
    assert any("closed model" in note for note in told["notes"])
    # Thirty users, of whom each has but one request to be refused.
    assert told["own"]["outcome"]["delayed"] == pytest.approx(30, abs=1)
    assert told["own"]["outcome"]["answered"] == pytest.approx(400, rel=0.1)


def test_a_run_that_does_not_tell_its_model_is_open_if_its_requests_could_be_late(
    scraped: Scraped, fill: Callable[..., None]
) -> None:
    def late(metrics: FakeMetrics, second: int) -> None:
        metrics.observe("loadgen_schedule_lag_seconds", 0.001, **PLACE)

    fill(also=late, load_model="")
    _, told = asked(scraped)
    assert any("open model" in note for note in told["notes"])


def test_the_command_prints_a_table_or_the_whole_as_json(
    scraped: Scraped, fill: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    fill()
    assert main(["advise", "--store", str(scraped.path)], {}) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "run r1, 40 s"
    assert lines[1].startswith("with min_containers=0, max_containers=4, buffer_containers=0")
    measured = next(line for line in lines if line.startswith("measured"))
    assert measured.split() == ["measured", "80", "16.7%", "20", "1.50", "s", "0", "40"]
    assert any("min_containers=1 would have cost" in line for line in lines)
    assert main(["advise", "r1", "--store", str(scraped.path), "--json", "-"], {}) == 0
    output = capsys.readouterr()
    assert json.loads(output.out) == asked(scraped)[1]
    assert output.err.splitlines() == lines
    assert main(["advise", "r2", "--store", str(scraped.path)], {}) == 2
    assert "there is no run 'r2'" in capsys.readouterr().err


def test_the_grid_has_the_own_settings_first_and_each_once() -> None:
    for own in (
        AutoscalerSettings(),
        AutoscalerSettings(min_containers=3, max_containers=3, buffer_containers=5),
        AutoscalerSettings(max_containers=1, target_concurrency=0.5, scaledown_window=0),
    ):
        grid = option_grid(own, seconds=100)
        assert grid[0] == own
        assert len(set(grid)) == len(grid) <= 120
        assert any(one.max_containers == 2 * own.max_containers for one in grid)
    long = AutoscalerSettings(scaledown_window=100)
    assert {one.scaledown_window for one in option_grid(long, seconds=100)} == {25, 100}


def outcome(refused: float, container_s: float) -> Outcome:
    return Outcome(
        refused=refused, answered=9, delayed=1, waited_s=1, gave_up=0, container_s=container_s
    )


OWN = Option(settings=AutoscalerSettings(), outcome=outcome(412, 6600))


@pytest.mark.parametrize(
    ("changed", "other", "said"),
    [
        (
            {"min_containers": 1},
            outcome(0, 7800),
            "min_containers=1 would have cost 1,200 container-seconds more (+18%) and met 0 "
            "instead of 412 refusals.",
        ),
        (
            {"scaledown_window": 15, "target_concurrency": 4},
            outcome(412.3, 3300),
            "target_concurrency=4, scaledown_window=15 would have cost 3,300 container-seconds "
            "less (-50%) and met as many (412) refusals.",
        ),
        (
            {"buffer_containers": 1},
            outcome(400, 6600.2),
            "buffer_containers=1 would have cost the same and met 400 instead of 412 refusals.",
        ),
        ({}, outcome(412, 6600), "The run's own settings."),
    ],
)
def test_a_sentence_says_what_it_would_have_made(
    changed: dict[str, float], other: Outcome, said: str
) -> None:
    option = Option(settings=replace(AutoscalerSettings(), **changed), outcome=other)
    assert sentence(option, OWN) == said
    assert changes(option.settings, OWN.settings) == changed
