"""The gate on scripted stores: its figures, its four exit statuses, and its reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import httpx
import pytest

from dashboard import check
from dashboard.__main__ import main
from dashboard.app import create_app
from dashboard.config import Config
from dashboard.errors import ConfigError, NotFoundError
from flash.buckets import bucket_of, representative_s

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

START = 1_700_000_000
SECONDS = 20
EAST = [0.010 + 0.0001 * n for n in range(160)]
WEST = [0.080 + 0.0005 * n for n in range(160)]
LATENCIES = {"us-east": EAST, "eu-west": WEST}


def exact(values: list[float], q: float) -> float:
    """The bucket's middle that stands for the sample of nearest rank, from the plain list."""
    return representative_s(bucket_of(sorted(values)[ceil(q * len(values) - 1e-9) - 1]))


def begin(metrics: FakeMetrics, run: str, start: float, end: float = 0.0) -> None:
    metrics.gauge("loadgen_run_start_timestamp_seconds", start, run=run)
    metrics.gauge("loadgen_run_end_timestamp_seconds", end, run=run)
    metrics.gauge("loadgen_run_info", 1, target="http://127.0.0.1:1", run=run)


def answer(metrics: FakeMetrics, region: str, routing: str, values: list[float]) -> None:
    labels = {"region": region, "routing": routing}
    metrics.count("loadgen_requests_total", len(values), **labels, outcome="ok")
    metrics.count("loadgen_responses_total", len(values), **labels, code="200")
    metrics.observe("loadgen_request_duration_seconds", *values, **labels)
    metrics.observe("loadgen_time_to_first_byte_seconds", *[v / 2 for v in values], **labels)
    metrics.observe("loadgen_edge_overhead_seconds", *[v / 4 for v in values], **labels)
    metrics.observe("loadgen_response_time_seconds", *[v * 2 for v in values], **labels)


async def run_of_twenty_seconds(
    scraped: Scraped,
    metrics: FakeMetrics,
    also: Callable[[FakeMetrics, int], None] = lambda metrics, second: None,
) -> None:
    """Sixteen seconds of answers after two of refusals, eight per second and place; ends at 19.5.

    A run of other figures has gone before, and another one follows.
    """
    begin(metrics, "before", START - 19.5, START - 4.5)
    metrics.observe(
        "loadgen_request_duration_seconds", *[9.0] * 999, region="us-east", routing="sticky"
    )
    await scraped.look(metrics, START - 4)
    await scraped.look(metrics, START - 1)
    begin(metrics, "r1", START + 0.5)
    for second in range(SECONDS):
        for region, values in LATENCIES.items():
            for n, routing in enumerate(("sticky", "non_sticky")):
                labels = {"region": region, "routing": routing}
                if second < 2:
                    metrics.count("loadgen_requests_total", 4, **labels, outcome="cold_start")
                elif second < 18:
                    at = (second - 2) * 10 + n * 5
                    answer(metrics, region, routing, values[at : at + 5])
                if second == 2:
                    wait = 1.5 if region == "us-east" else 2.5
                    metrics.observe("loadgen_cold_start_wait_seconds", wait, **labels)
            moved = "moved" if second == 5 else "same"
            sticky = {"region": region, "routing": "sticky"}
            metrics.count("loadgen_session_requests_total", 5, **sticky, container=moved)
        metrics.gauge("loadgen_workers", 1)
        metrics.gauge("loadgen_cpu_ratio", 0.97 if second == 0 else 0.4, process="local")
        also(metrics, second)
        if second == SECONDS - 1:
            begin(metrics, "r1", START + 0.5, START + 19.5)
        await scraped.look(metrics, START + second)
    await scraped.look(metrics, START + SECONDS)
    begin(metrics, "after", START + 40.5)
    answer(metrics, "us-east", "sticky", [8.0] * 100)
    await scraped.look(metrics, START + 41)
    begin(metrics, "after", START + 40.5, START + 49.5)
    await scraped.look(metrics, START + 50)


@pytest.fixture
def filled(scraped: Scraped, fake_metrics: FakeMetrics) -> Scraped:
    asyncio.run(run_of_twenty_seconds(scraped, fake_metrics))
    return scraped


def gate(store: Path, *slos: str, run: str = "r1", more: tuple[str, ...] = ()) -> int:
    objectives = [word for slo in slos for word in ("--slo", slo)]
    return main(["check", run, "--store", str(store), *objectives, *more], {})


def document(scraped: Scraped, capsys: pytest.CaptureFixture[str], *slos: str) -> Any:
    gate(scraped.path, *slos, more=("--json", "-"))
    return json.loads(capsys.readouterr().out)


FIGURES = [
    ("p50(us-east) < 1s", exact(EAST, 0.5), 160),
    ("p99(us-east) < 1s", exact(EAST, 0.99), 160),
    ("p99.9(eu-west) < 1s", exact(WEST, 0.999), 160),
    ("p90(eu-west,sticky) < 1s",
     exact([v for n, v in enumerate(WEST) if n % 10 < 5], 0.9), 80),
    ("response_time.p95(us-east) < 1s", exact([v * 2 for v in EAST], 0.95), 160),
    ("time_to_first_byte.p50(us-east) < 1s", exact([v / 2 for v in EAST], 0.5), 160),
    ("edge_overhead.p50(us-east) < 1s", exact([v / 4 for v in EAST], 0.5), 160),
    ("cold_start_wait.max(eu-west) < 15s", exact([2.5], 1.0), 2),
    ("share_503(us-east) < 50%", 16 / 176, 176),
    ("errors(us-east) < 1%", 0.0, 160),
    ("affinity(us-east) > 90%", 95 / 100, 100),
    ("throughput(us-east) > 1/s", 160 / 19.0, 160),
    ("throughput(us-east,sticky) > 1/s", 80 / 19.0, 80),
    ("requests(us-east) >= 160", 160.0, 160),
]  # fmt: skip


def test_figures_are_of_the_run_alone(filled: Scraped, capsys: pytest.CaptureFixture[str]) -> None:
    told = document(filled, capsys, *[slo for slo, _, _ in FIGURES])
    for (slo, value, samples), one in zip(FIGURES, told["objectives"], strict=True):
        assert (one["objective"], one["samples"], one["verdict"]) == (slo, samples, "met")
        assert one["measured"] == pytest.approx(value), slo
    assert (told["run"], told["status"], told["verdict"]) == ("r1", 0, "met")


def test_errors_are_requests_without_a_good_answer(
    scraped: Scraped, fake_metrics: FakeMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two time-outs have no response time; one 500 and one request that gave up have one."""

    def also(metrics: FakeMetrics, second: int) -> None:
        east = {"region": "us-east", "routing": "sticky"}
        if second == 10:
            metrics.count("loadgen_requests_total", 2, **east, outcome="timeout")
            metrics.count("loadgen_requests_total", 1, **east, outcome="connection_error")
            metrics.count("loadgen_requests_total", 1, **east, outcome="server_error")
            metrics.count("loadgen_requests_total", 3, **east, outcome="cold_start")
            metrics.observe("loadgen_response_time_seconds", 0.1, 5.0, **east)

    asyncio.run(run_of_twenty_seconds(scraped, fake_metrics, also))
    told = document(scraped, capsys, "errors(us-east) < 1%", "requests(us-east) > 1")
    errors, requests = told["objectives"]
    assert (errors["measured"], errors["samples"]) == (pytest.approx(5 / 165), 165)
    assert (requests["measured"], requests["verdict"]) == (165, "met")
    assert told["status"] == 1


def test_cache_hits_are_by_the_region_of_the_container(
    scraped: Scraped, fake_metrics: FakeMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    def also(metrics: FakeMetrics, second: int) -> None:
        for result in ("hit", "hit", "hit", "miss"):
            metrics.count("target_session_cache_total", 1, container="ta-1", result=result)

    asyncio.run(run_of_twenty_seconds(scraped, fake_metrics, also))
    told = document(scraped, capsys, "cache_hits >= 75%")
    (one,) = told["objectives"]
    assert (one["measured"], one["samples"], one["region"]) == (0.75, 80, None)


def test_without_a_region_each_region_has_to_meet_it_by_itself(
    filled: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    told = document(filled, capsys, "p99 < 50ms")
    assert [(one["objective"], one["verdict"]) for one in told["objectives"]] == [
        ("p99(eu-west) < 50ms", "missed"),
        ("p99(us-east) < 50ms", "met"),
    ]
    assert told["status"] == 1


def test_figures_agree_with_the_page_for_the_same_window(
    filled: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    async def page() -> Any:
        source = filled.source(START + 100.0)
        app = create_app(Config(), source, StillBeat(), clock=lambda: START + 100.0)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.get(f"/api/summary?start={START}&end={START + 21}")
            totals = await client.get("/api/runs/r1")
        source.close()
        return answer.json(), totals.json()["totals"]

    summary, totals = asyncio.run(page())
    lines = summary["lines"] + summary["regions"]
    assert [line["labels"] for line in lines] == [
        *(
            {"region": "eu-west", "routing": "non_sticky"},
            {"region": "eu-west", "routing": "sticky"},
        ),
        *(
            {"region": "us-east", "routing": "non_sticky"},
            {"region": "us-east", "routing": "sticky"},
        ),
        *({"region": "eu-west"}, {"region": "us-east"}),
    ]
    shown = {"p50": "p50", "p95": "p95", "p99": "p99", "share_503": "share_503"}
    shown |= {"cold_start_wait.max": "cold_start_wait_max", "affinity": "affinity"}
    bounds = {"share_503": "99%", "affinity": "99%"}
    for line in lines:
        scope = ",".join(line["labels"].values())
        slos = [f"{name}({scope}) < {bounds.get(name, '9s')}" for name in shown]
        found = document(filled, capsys, *slos)["objectives"]
        assert [one["measured"] for one in found] == [line[key] for key in shown.values()]
        assert found[0]["samples"] == line["answered"]
        assert found[3]["samples"] == line["attempts"]
    assert totals == {"ok": 320, "cold_start": 32}


class StillBeat:
    """Knows no targets and brings nothing new."""

    platform_error = None

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def settled(self, within_s: float) -> None:
        pass

    def take_changes(self) -> int | None:
        return None

    def status(self) -> list[Any]:
        return []

    async def note(self, event: Any) -> None:
        pass


# The four statuses.


def test_all_met_is_status_0_and_a_table(
    filled: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gate(filled.path, "p99(us-east) < 50ms", "share_503 <= 20%") == 0
    told = capsys.readouterr()
    assert told.err == ""
    assert told.out.splitlines() == [
        "run r1, 19 s",
        "objective                  measured  samples  verdict",
        "p99(us-east) < 50ms         25.2 ms      160  met",
        "share_503(eu-west) <= 20%    9.091%      176  met",
        "share_503(us-east) <= 20%    9.091%      176  met",
        "all objectives are met",
    ]


def test_one_missed_is_status_1(filled: Scraped, capsys: pytest.CaptureFixture[str]) -> None:
    assert gate(filled.path, "p99(us-east) < 50ms", "p50(eu-west) < 50ms") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "an objective is missed"


def test_beyond_the_last_bucket_no_upper_bound_is_met(
    scraped: Scraped, fake_metrics: FakeMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    def also(metrics: FakeMetrics, second: int) -> None:
        if second == 10:
            answer(metrics, "us-east", "sticky", [500.0])

    asyncio.run(run_of_twenty_seconds(scraped, fake_metrics, also))
    (one,) = document(scraped, capsys, "p100(us-east) < 1h")["objectives"]
    assert (one["measured"], one["beyond_last_bucket"], one["verdict"]) == (None, True, "missed")


@pytest.mark.parametrize(
    "slo", ["p99(mars) < 1s", "cold_start_wait.max(us-east,non_sticky) < 1s", "cache_hits > 1%"]
)
def test_no_data_is_status_2_and_never_met(
    filled: Scraped, capsys: pytest.CaptureFixture[str], slo: str
) -> None:
    slo = slo.replace("us-east,", "mars,")
    assert gate(filled.path, slo, "p99(us-east) < 50ms") == 2
    out = capsys.readouterr().out.splitlines()
    assert out[2].split()[-4:] == ["-", "0", "no", "data"]
    assert out[-1] == "no verdict, as there is no data for an objective"


@pytest.mark.parametrize(
    ("slo", "run", "told"),
    [
        ("p99 < 50ms", "r9", "there is no run 'r9'; there are after, r1, before"),
        ("p99 < 50", "r1", "--slo 'p99 < 50': expected a duration such as 50ms"),
        ("mean < 50ms", "r1", "--slo 'mean < 50ms': there is no metric 'mean'"),
        ("nonsense", "r1", "--slo 'nonsense': expected an objective such as"),
    ],
)
def test_what_cannot_be_checked_is_status_2_and_one_line(
    filled: Scraped, capsys: pytest.CaptureFixture[str], slo: str, run: str, told: str
) -> None:
    assert gate(filled.path, slo, run=run) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"dashboard: {told}")
    assert output.err.count("\n") == 1


def lost_worker(metrics: FakeMetrics, second: int) -> None:
    metrics.count("loadgen_worker_changes_total", 2 if second == 0 else 0, change="joined")
    metrics.count("loadgen_worker_changes_total", 1 if second == 9 else 0, change="lost")


def unauthorized(metrics: FakeMetrics, second: int) -> None:
    labels = {"region": "us-east", "routing": "sticky"}
    metrics.count("loadgen_responses_total", 1 if second > 10 else 0, **labels, code="401")


def forbidden(metrics: FakeMetrics, second: int) -> None:
    labels = {"region": "us-east", "routing": "sticky"}
    metrics.count("loadgen_responses_total", 1 if second == 5 else 0, **labels, code="403")


def busy(metrics: FakeMetrics, second: int) -> None:
    metrics.gauge("loadgen_cpu_ratio", 0.95, process="worker-1")


def late(metrics: FakeMetrics, second: int) -> None:
    labels = {"region": "us-east", "routing": "sticky"}
    metrics.observe("loadgen_schedule_lag_seconds", 0.2, **labels)


@pytest.mark.parametrize(
    ("also", "told"),
    [
        (lost_worker, "the load generator was the limit: 1 worker was lost during the run"),
        (unauthorized, "9 responses were 401: the target did not let the load in"),
        (forbidden, "1 response was 403: the target did not let the load in"),
        (busy, "the load generator was the limit: worker-1 used 95.0% of a core"),
        (late, "the load generator was the limit: requests started up to 201 ms late"),
    ],
)
def test_a_bad_measurement_is_status_3_whatever_it_measured(
    scraped: Scraped,
    fake_metrics: FakeMetrics,
    capsys: pytest.CaptureFixture[str],
    also: Callable[[FakeMetrics, int], None],
    told: str,
) -> None:
    asyncio.run(run_of_twenty_seconds(scraped, fake_metrics, also))
    for slo in ("p99 < 1s", "p99 < 1ms", "p99(mars) < 1s"):
        assert gate(scraped.path, slo) == 3
        *_, problem, verdict = capsys.readouterr().out.splitlines()
        assert problem.startswith(f"bad measurement: {told}")
        assert verdict == "no verdict, as the measurement itself is bad"


def test_a_run_that_was_not_watched_from_its_start_is_status_3(
    scraped: Scraped, fake_metrics: FakeMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fill() -> None:
        begin(fake_metrics, "r1", START + 0.5)
        fake_metrics.gauge("loadgen_workers", 1)
        for second in range(START + 15, START + 20):
            answer(fake_metrics, "us-east", "sticky", EAST)
            await scraped.look(fake_metrics, second)
        begin(fake_metrics, "r1", START + 0.5, START + 20.5)
        await scraped.look(fake_metrics, START + 21)

    asyncio.run(fill())
    assert gate(scraped.path, "p99 < 1s") == 3
    told = capsys.readouterr().out.splitlines()[-2]
    assert told.startswith("bad measurement: the first 14 s of the run are not in the store")


def test_what_went_wrong_in_another_run_is_of_no_matter(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    """Counters that have grown before the run began, or grow after its end."""

    async def fill() -> None:
        labels = {"region": "us-east", "routing": "sticky"}
        fake_metrics.count("loadgen_responses_total", 7, **labels, code="401")
        await run_of_twenty_seconds(scraped, fake_metrics)
        fake_metrics.count("loadgen_worker_changes_total", 3, change="lost")
        await scraped.look(fake_metrics, START + 52)

    asyncio.run(fill())
    assert gate(scraped.path, "p99 < 1s") == 0


# Runs and options.


def test_the_latest_run_is_the_one_that_is_meant_by_default(
    filled: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["latest"], []):
        slo = ("--slo", "p99 < 10s", "--store", str(filled.path))
        assert main(["check", *arguments, *slo], {}) == 0
        out = capsys.readouterr().out.splitlines()
        assert out[0] == "run after, 9 s"
        assert out[2].split()[:5] == ["p99(us-east)", "<", "10s", "7.66", "s"]


def test_a_run_that_goes_on_is_not_judged(
    scraped: Scraped, fake_metrics: FakeMetrics, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(fake_metrics, "r1", START + 0.5)
    answer(fake_metrics, "us-east", "sticky", EAST)
    asyncio.run(scraped.look(fake_metrics, START + 1))
    assert gate(scraped.path, "p99 < 1s") == 2
    assert "run r1 has no end: it is still going on" in capsys.readouterr().err


def test_a_store_is_only_read_while_a_dashboard_has_it_and_after(filled: Scraped) -> None:
    """``filled`` still holds the store's lock."""
    assert gate(filled.path, "p99 < 1s") == 0
    filled.store.close()
    before = filled.path.read_bytes()
    assert gate(filled.path, "p99 < 1s") == 0
    assert filled.path.read_bytes() == before


def test_variables_stand_for_options(
    filled: Scraped, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    environ = {
        "DASHBOARD_STORE": str(filled.path),
        "DASHBOARD_CHECK_SLO": "p99(us-east,sticky) < 50ms; p99(us-east) < 50ms;",
        "DASHBOARD_CHECK_JSON": str(tmp_path / "check.json"),
        "DASHBOARD_CHECK_JUNIT": "-",
    }
    assert check.main(["r1"], environ) == 0
    told = capsys.readouterr()
    assert told.out.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<testsuite ')
    assert told.err.startswith("run r1, 19 s\n")
    written = json.loads((tmp_path / "check.json").read_text())
    assert len(written["objectives"]) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--slo: expected at least one objective"),
        (["--slo", "p99 < 1s", "--junit", "-", "--json", "-"], "would be mixed up"),
        (["--slo", "p99 < 1s", "--json", "no/such/folder/x"], "--json: cannot write no/such"),
        (["--slo", "p99 < 1s", "--junit", "/"], "--junit: cannot write /: "),
    ],
)
def test_unusable_options_are_told(filled: Scraped, arguments: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check.main(["r1", "--store", str(filled.path), *arguments], {})


def test_a_store_without_a_run_is_told(scraped: Scraped) -> None:
    with pytest.raises(NotFoundError, match="the store has no run"):
        check.main(["--store", str(scraped.path), "--slo", "p99 < 1s"], {})


# Reports.


def junit(scraped: Scraped, path: Path, *slos: str) -> dict[str, list[str]]:
    """The results of each case, and the numbers that the suite tells of them."""
    gate(scraped.path, *slos, more=("--junit", str(path)))
    suite = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    cases = {
        str(case.get("name")): [result.tag for result in case if result.tag != "system-out"]
        for case in suite
    }
    assert suite.get("tests") == str(len(cases))
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(count) == str(sum(tags == [tag] for tags in cases.values()))
    return cases


def test_junit_has_a_case_for_each_objective(filled: Scraped, tmp_path: Path) -> None:
    slos = ("p99 < 50ms", "p99(mars) < 1s")
    assert junit(filled, tmp_path / "check.xml", *slos) == {
        "measurement": [],
        "p99(eu-west) < 50ms": ["failure"],
        "p99(us-east) < 50ms": [],
        "p99(mars) < 1s": ["error"],
    }


def test_junit_has_no_failure_where_the_measurement_is_bad(
    scraped: Scraped, fake_metrics: FakeMetrics, tmp_path: Path
) -> None:
    asyncio.run(run_of_twenty_seconds(scraped, fake_metrics, forbidden))
    assert junit(scraped, tmp_path / "check.xml", "p99 < 50ms") == {
        "measurement": ["error"],
        "p99(eu-west) < 50ms": ["skipped"],
        "p99(us-east) < 50ms": [],
    }


def test_what_a_target_calls_itself_does_no_harm(
    scraped: Scraped,
    fake_metrics: FakeMetrics,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Control characters would move the terminal's cursor, and may not stand in XML at all."""

    def also(metrics: FakeMetrics, second: int) -> None:
        answer(metrics, "\x1b[2Jmars<&>", "sticky", [0.01])

    asyncio.run(run_of_twenty_seconds(scraped, fake_metrics, also))
    cases = junit(scraped, tmp_path / "check.xml", "p99 < 1s")
    assert "p99(?[2Jmars<&>) < 1s" in cases
    assert "\x1b" not in capsys.readouterr().out
