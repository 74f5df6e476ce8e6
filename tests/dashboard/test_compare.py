"""Runs that a store holds: the list with its verdicts, two of them compared, one deleted."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from dashboard import compare
from dashboard.__main__ import main
from dashboard.app import create_app
from dashboard.collector import Collector
from dashboard.config import Config
from dashboard.embedded import EmbeddedSource
from dashboard.errors import ConfigError
from dashboard.own_metrics import OwnMetrics
from dashboard.prometheus_api import PrometheusApi
from dashboard.prometheus_beat import PrometheusBeat
from flash.buckets import bucket_of, representative_s

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

START = 1_700_000_000
SECONDS = 60
RUNS = {"monday": (0, 0.030), "tuesday": (100, 0.031), "friday": (200, 0.045)}
"""When each run began, and the middle of its latencies in seconds."""

PLACES = [(region, routing) for region in ("eu-west", "us-east") for routing in ("sticky",)]


def latencies(run: str, second: int) -> list[float]:
    rng = np.random.default_rng([list(RUNS).index(run), second])
    return (RUNS[run][1] * rng.lognormal(0, 0.4, size=30)).tolist()


async def fill(scraped: Scraped, metrics: FakeMetrics) -> None:
    """Three runs of a minute: two much alike, and one that is half as slow again."""
    for run, (began, _) in RUNS.items():
        told = {"target": "http://127.0.0.1:1", "objective": "p99<100ms,errors<1%", "run": run}
        metrics.gauge("loadgen_run_start_timestamp_seconds", START + began + 0.5, run=run)
        metrics.gauge("loadgen_run_end_timestamp_seconds", 0, run=run)
        metrics.gauge("loadgen_run_info", 1, **told)
        metrics.gauge("loadgen_workers", 1)
        for second in range(SECONDS):
            for region, routing in PLACES:
                labels = {"region": region, "routing": routing}
                values = latencies(run, second)
                metrics.count("loadgen_requests_total", 30, **labels, outcome="ok")
                metrics.observe("loadgen_request_duration_seconds", *values, **labels)
                metrics.observe("loadgen_response_time_seconds", *values, **labels)
            metrics.gauge("loadgen_cpu_ratio", 0.3, process="local")
            if second == SECONDS - 1:
                end = START + began + SECONDS - 0.5
                metrics.gauge("loadgen_run_end_timestamp_seconds", end, run=run)
            await scraped.look(metrics, START + began + second)
        # Whoever looks at the time between the runs finds nothing.
        await scraped.look(metrics, START + began + SECONDS)


@pytest.fixture(scope="module")
def stored_runs(
    open_store: type[Scraped],
    make_metrics: type[FakeMetrics],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A store of three runs, made once; to be copied."""
    made = open_store(tmp_path_factory.mktemp("runs") / "store.sqlite")
    asyncio.run(fill(made, make_metrics()))
    made.store.close()
    return made.path


@pytest.fixture
def three_runs(open_store: type[Scraped], stored_runs: Path, tmp_path: Path) -> Iterator[Scraped]:
    made = open_store(Path(shutil.copy(stored_runs, tmp_path)))
    yield made
    made.store.close()


# The command.


def command(scraped: Scraped, *arguments: str) -> int:
    return main(["compare", *arguments, "--store", str(scraped.path)], {})


def test_the_newest_run_is_compared_with_the_one_before(
    three_runs: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(three_runs) == 1
    told = capsys.readouterr()
    assert told.err == ""
    lines = told.out.splitlines()
    assert lines[:2] == ["before: run tuesday", "after:  run friday"]
    assert lines[2].split() == [
        "figure",
        "before",
        "after",
        "change",
        "95",
        "%",
        "interval",
        "verdict",
    ]
    for place in PLACES:
        (row,) = (line for line in lines if line.startswith(f"p50({','.join(place)})"))
        assert row.endswith("worse, for sure")
    assert lines[-1] == "a figure is worse for sure"
    assert any("of the 14 rows" in line for line in lines)


def test_runs_that_are_alike_are_status_0(
    three_runs: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(three_runs, "monday", "tuesday", "--tolerance", "10%") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "no figure is worse for sure"
    # A run that got better is none the worse.
    assert command(three_runs, "friday", "monday") == 0
    assert "better, for sure" in capsys.readouterr().out


def test_the_result_as_json_has_every_figure_of_both(
    three_runs: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(three_runs, "monday", "friday", "--json", "-") == 1
    output = capsys.readouterr()
    assert output.err.startswith("before: run monday\n")
    told = json.loads(output.out)
    assert (told["base"]["run"], told["run"]["run"]) == ("monday", "friday")
    assert (told["outcome"], told["status"], told["measurement_problems"]) == ("worse", 1, [])
    rows = {(row["figure"], row["region"]): row for row in told["rows"]}
    assert len(rows) == len(told["rows"]) == 14
    row = rows["p95", "us-east"]
    for side, run in (("before", "monday"), ("after", "friday")):
        values = np.sort([v for second in range(SECONDS) for v in latencies(run, second)])
        exact = representative_s(bucket_of(values[int(np.ceil(0.95 * len(values))) - 1]))
        assert row[side] == exact
        assert row[f"{side}_samples"] == len(values) == 1800
    assert row["low"] < 0.5 < row["high"]
    assert (row["unit"], row["verdict"], row["sure"]) == ("s", "worse", True)
    assert row["p"] <= row["p_of_all"] <= 0.05
    row = rows["throughput", "eu-west"]
    assert row["before"] == row["after"] == pytest.approx(1800 / 59)
    assert row["verdict"] == "no difference shown"


def test_one_run_alone_and_unknown_ones_are_status_2_and_one_line(
    three_runs: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, told in (
        (["previous", "monday"], "there is no run before monday"),
        (["sunday"], "there is no run 'sunday'; there are friday, tuesday, monday"),
        (["--tolerance", "much"], "--tolerance: expected a share from 0% to 100%"),
    ):
        assert command(three_runs, *arguments) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith(f"dashboard: {told}")
        assert output.err.count("\n") == 1


def test_a_bad_measurement_of_either_run_is_status_3(
    three_runs: Scraped, fake_metrics: FakeMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    async def bad() -> None:
        fake_metrics.gauge("loadgen_run_start_timestamp_seconds", START + 300.5, run="bad")
        fake_metrics.gauge("loadgen_run_end_timestamp_seconds", 0, run="bad")
        for second in range(300, 330):
            fake_metrics.gauge("loadgen_cpu_ratio", 0.98, process="local")
            await three_runs.look(fake_metrics, START + second)
        fake_metrics.gauge("loadgen_run_end_timestamp_seconds", START + 329.5, run="bad")
        await three_runs.look(fake_metrics, START + 330)

    asyncio.run(bad())
    for pair in (("bad", "monday"), ("monday", "bad")):
        assert command(three_runs, *pair) == 3
        *_, problem, verdict = capsys.readouterr().out.splitlines()
        assert problem.startswith(
            "bad measurement: run bad: the load generator was the limit: local"
        )
        assert verdict == "no verdict, as the measurement itself is bad"


def test_variables_stand_for_options(three_runs: Scraped, tmp_path: Path) -> None:
    environ = {
        "DASHBOARD_STORE": str(three_runs.path),
        "DASHBOARD_COMPARE_TOLERANCE": "0.9",
        "DASHBOARD_COMPARE_JSON": str(tmp_path / "compare.json"),
    }
    assert compare.main([], environ) == 0
    assert json.loads((tmp_path / "compare.json").read_text())["tolerance"] == 0.9
    with pytest.raises(ConfigError, match="--json: cannot write /: "):
        compare.main(["--json", "/"], environ)


# The interface.


@asynccontextmanager
async def client_of(scraped: Scraped, now: float) -> AsyncIterator[httpx.AsyncClient]:
    source = scraped.source(now)
    collector = Collector(Config(), scraped.store, metrics=OwnMetrics(), clock=lambda: now)
    app = create_app(Config(), source, collector, clock=lambda: now)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client
    source.close()


@pytest.fixture
def ask(three_runs: Scraped) -> Iterator[Callable[..., Any]]:
    """Runs one coroutine with a client of the application over the store."""

    def run(work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
        async def asked() -> Any:
            async with client_of(three_runs, START + 1000.0) as client:
                return await work(client)

        return asyncio.run(asked())

    return run


def test_the_list_of_runs_has_what_each_came_to_and_the_verdict_of_a_check(
    ask: Callable[..., Any], three_runs: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work(client: httpx.AsyncClient) -> list[Any]:
        note = {"text": "new image", "at": START + 200.5}
        assert (await client.post("/api/events", json=note)).status_code == 201
        plain = await client.get("/api/runs")
        told = await client.get("/api/runs", params={"figures": True, "limit": 2})
        one = await client.get("/api/runs/monday")
        return [plain.json(), told.json(), one.json()]

    plain, told, one = ask(work)
    assert [run["run"] for run in plain] == ["friday", "tuesday", "monday"]
    assert all(run["figures"] is run["notes"] is None for run in plain)
    assert [run["run"] for run in told] == ["friday", "tuesday"]
    friday, tuesday = (run["figures"] for run in told)
    assert [note["text"] for note in told[0]["notes"]] == ["new image"]
    assert told[1]["notes"] == []
    for run, figures in (("friday", friday), ("tuesday", tuesday), ("monday", one["figures"])):
        values = np.sort([v for second in range(SECONDS) for v in latencies(run, second)] * 2)
        assert figures["requests"] == len(values) == 3600
        assert figures["seconds"] == pytest.approx(59.0)
        for name, q in (("p50", 0.5), ("p99", 0.99)):
            exact = values[int(np.ceil(q * len(values))) - 1]
            assert figures[name] == representative_s(bucket_of(exact))
        assert (figures["share_503"], figures["measurement_problems"]) == (0.0, [])
        slos = ("--slo", "p99 < 100ms", "--slo", "errors < 1%", "--json", "-")
        status = main(["check", run, "--store", str(three_runs.path), *slos], {})
        checked = json.loads(capsys.readouterr().out)
        assert figures["verdict"] == checked["verdict"] == ("missed" if status else "met")
        assert [one["measured"] for one in figures["objectives"]] == [
            one["measured"] for one in checked["objectives"]
        ]
    assert (friday["verdict"], tuesday["verdict"]) == ("missed", "met")
    assert one["totals"] == {"ok": 3600}


def test_a_run_that_goes_on_has_no_figures_yet(
    ask: Callable[..., Any], three_runs: Scraped, fake_metrics: FakeMetrics
) -> None:
    fake_metrics.gauge("loadgen_run_start_timestamp_seconds", START + 990.5, run="now")
    fake_metrics.gauge("loadgen_run_end_timestamp_seconds", 0, run="now")
    asyncio.run(three_runs.look(fake_metrics, START + 991))

    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.get("/api/runs", params={"figures": True}),
            await client.get("/api/compare"),
            await client.delete("/api/runs/now"),
        ]

    listed, compared, deleted = ask(work)
    assert listed.json()[0]["figures"] is None
    assert listed.json()[1]["figures"]["verdict"] == "missed"
    assert compared.status_code == 404
    assert "run now has no end" in compared.json()["error"]["message"]
    assert deleted.status_code == 409
    assert deleted.json()["error"]["code"] == "conflict"


def test_the_interface_compares_as_the_command_does(
    ask: Callable[..., Any], three_runs: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.get("/api/compare"),
            await client.get("/api/compare", params={"base": "monday", "run": "sunday"}),
            await client.get("/api/compare", params={"tolerance": 2}),
        ]

    told, unknown, wrong = ask(work)
    command(three_runs, "--json", "-")
    assert told.json() == json.loads(capsys.readouterr().out)
    assert (unknown.status_code, wrong.status_code) == (404, 422)


class Estimating(EmbeddedSource):
    """A source that does not know what was counted before the first scrapes."""

    is_exact = False


def test_what_is_not_counted_exactly_is_not_judged(three_runs: Scraped, tmp_path: Path) -> None:
    now = START + 1000.0
    config = Config(prometheus="http://127.0.0.1:1")
    api = PrometheusApi("http://127.0.0.1:1")

    async def asked() -> list[httpx.Response]:
        source = Estimating(three_runs.path, clock=lambda: now)
        beat = PrometheusBeat(config, api, three_runs.store, metrics=OwnMetrics())
        transport = httpx.ASGITransport(create_app(config, source, beat, clock=lambda: now))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answers = [
                await client.get("/api/runs", params={"figures": True}),
                await client.get("/api/compare"),
                await client.delete("/api/runs/monday"),
            ]
        await api.close()
        source.close()
        return answers

    listed, compared, deleted = asyncio.run(asked())
    figures = listed.json()[0]["figures"]
    assert (figures["requests"], figures["verdict"], figures["objectives"]) == (3600, None, [])
    assert (compared.status_code, deleted.status_code) == (409, 409)
    assert "deleted there" in deleted.json()["error"]["message"]


def test_a_run_is_deleted_by_its_own_page_only(ask: Callable[..., Any]) -> None:
    async def work(client: httpx.AsyncClient) -> list[httpx.Response]:
        note = {"text": "gone with it", "at": START + 130}
        await client.post("/api/events", json=note)
        before = await client.get("/api/runs", params={"figures": True})
        evil = {"Origin": "https://evil.example"}
        own = {"Origin": "http://127.0.0.1:8000"}
        return [
            before,
            await client.delete("/api/runs/tuesday", headers=evil),
            await client.delete("/api/runs/tuesday", headers=own),
            await client.delete("/api/runs/tuesday", headers=own),
            await client.get("/api/runs", params={"figures": True}),
            await client.get("/api/events", params={"start": START, "end": START + 500}),
        ]

    before, foreign, gone, again, after, events = ask(work)
    assert [run["run"] for run in before.json()] == ["friday", "tuesday", "monday"]
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "foreign_origin")
    assert gone.json() == {"run": "tuesday", "spans": [[START + 100, START + 161]], "notes": 1}
    assert again.status_code == 404
    # The others are as they were.
    left = [run for run in before.json() if run["run"] != "tuesday"]
    assert after.json() == left
    assert not [event for event in events.json() if event["kind"] == "note"]
