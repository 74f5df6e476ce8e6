from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
from pydantic import TypeAdapter

from dashboard.answers import PanelData, RunAnswer, SdGroup, SummaryAnswer
from dashboard.app import create_app
from dashboard.config import Config
from dashboard.model import Event, Target, TargetStatus
from dashboard.panels import PANELS
from flash.buckets import bucket_of, representative_s

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

T = TypeVar("T")
START = 1_700_000_000


class StillBeat:
    """Knows a few targets and brings nothing new."""

    platform_error = None

    def __init__(self) -> None:
        page = Target(key="a", job="loadgen", url="http://127.0.0.1:9646/metrics")
        tunnel = Target(
            key="b",
            job="target_app",
            url="https://h.modal.host/metrics",
            labels={"container": "ta-1"},
        )
        self.noted: list[Event] = []
        self.statuses = [
            TargetStatus(target=page, up=True, scraped_at=1.0),
            TargetStatus(target=tunnel, error="refused"),
        ]

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def settled(self, within_s: float) -> None:
        pass

    def take_changes(self) -> int | None:
        return None

    def status(self) -> list[TargetStatus]:
        return self.statuses

    def targets(self) -> list[Target]:
        return [status.target for status in self.statuses]

    async def note(self, event: Event) -> None:
        self.noted.append(event)


@asynccontextmanager
async def client_of(
    scraped: Scraped, config: Config | None = None, now: float = START + 100.0
) -> AsyncIterator[httpx.AsyncClient]:
    source = scraped.source(now)
    app = create_app(config or Config(), source, StillBeat(), clock=lambda: now)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client
    source.close()


def asked(
    scraped: Scraped, ask: Callable[[httpx.AsyncClient], Awaitable[T]], config: Config | None = None
) -> T:
    async def run() -> T:
        async with client_of(scraped, config) as client:
            return await ask(client)

    return asyncio.run(run())


def panel(filled: Scraped, id_: str, **parameters: object) -> PanelData:
    async def ask(client: httpx.AsyncClient) -> PanelData:
        query = {"start": START, "end": START + 20, "step": 1, **parameters}
        answer = await client.get(f"/api/panels/{id_}/data", params=query)
        assert answer.status_code == 200, answer.text
        return PanelData.model_validate_json(answer.text, strict=True)

    return asked(filled, ask)


def lines(data: PanelData) -> dict[tuple[str, ...], list[float | None]]:
    return {
        tuple(value for _, value in sorted(line.labels.items())): [v for _, v in line.points]
        for line in data.lines
    }


def bucket_middle(seconds: float) -> float:
    return representative_s(bucket_of(seconds))


def test_all_panels_of_the_interface_are_there(filled: Scraped) -> None:
    async def ask(client: httpx.AsyncClient) -> list[dict[str, str]]:
        return (await client.get("/api/panels")).json()

    told = asked(filled, ask)
    promised = (
        "latency responses_503 throughput response_time time_to_first_byte edge_overhead "
        "cold_starts affinity cache_hits containers generator heatmap"
    )
    assert set(promised.split()) <= {one["id"] for one in told}
    assert all({"id", "title", "unit", "metric"} <= one.keys() for one in told)


@pytest.mark.parametrize("id_", sorted(PANELS))
def test_every_panel_has_a_point_for_every_step(filled: Scraped, id_: str) -> None:
    data = panel(filled, id_)
    assert (data.start, data.end, data.step) == (START, START + 20, 1)
    assert data.lines
    for line in data.lines:
        assert [t for t, _ in line.points] == list(range(START, START + 20))
        assert any(value is not None for _, value in line.points)


def test_503s_are_rates_by_region_and_routing(filled: Scraped) -> None:
    told = lines(panel(filled, "responses_503"))
    assert len(told) == 4
    assert told["us-east", "sticky"] == [10.0, 10.0, *[0.0] * 18]


def test_rates_times_the_step_add_up_to_what_was_counted(filled: Scraped) -> None:
    for step in (1, 2, 5, 20):
        data = panel(filled, "throughput", step=step)
        total = sum(v or 0.0 for line in data.lines for _, v in line.points) * data.step
        assert total == pytest.approx(20 * 4 * 10, rel=1e-12)


def test_latency_is_a_quantile_of_the_merged_histogram(filled: Scraped) -> None:
    told = lines(panel(filled, "latency", step=20))
    assert told["0.5", "us-east", "sticky"] == [bucket_middle(0.01)]
    assert told["0.95", "us-east", "sticky"] == [bucket_middle(0.03)]
    assert told["0.99", "eu-west", "non_sticky"] == [bucket_middle(0.3)]
    # Nothing was answered in the cold seconds: no data, not zero.
    assert lines(panel(filled, "latency"))["0.5", "us-east", "sticky"][:3] == [
        None,
        None,
        bucket_middle(0.01),
    ]


def test_shares_are_of_what_was_counted_in_the_step(filled: Scraped) -> None:
    assert lines(panel(filled, "affinity", step=20))["us-east", "sticky"] == [14 / 18]
    assert lines(panel(filled, "cache_hits"))[("us-east",)] == [0.75] * 20


def test_what_containers_serve_stands_beside_what_they_are_to_serve(filled: Scraped) -> None:
    assert lines(panel(filled, "container_load")) == {("a",): [5.0] * 20, ("target",): [8.0] * 20}


def test_region_and_routing_choose_lines(filled: Scraped) -> None:
    assert set(lines(panel(filled, "responses_503", region="us-east"))) == {
        ("us-east", "sticky"),
        ("us-east", "non_sticky"),
    }
    both = panel(filled, "responses_503", region="us-east,eu-west", routing="sticky")
    assert set(lines(both)) == {("us-east", "sticky"), ("eu-west", "sticky")}
    assert lines(panel(filled, "responses_503", region="mars")) == {}
    slow = panel(filled, "heatmap", region="eu-west")
    assert min(float(line.labels["le"]) for line in slow.lines) > 0.09


def test_the_heat_map_holds_every_answered_attempt(filled: Scraped) -> None:
    data = panel(filled, "heatmap")
    assert sum(v or 0.0 for line in data.lines for _, v in line.points) == 18 * 4 * 10


def test_the_summary_says_what_the_panels_say(filled: Scraped) -> None:
    async def ask(client: httpx.AsyncClient) -> SummaryAnswer:
        answer = await client.get("/api/summary", params={"start": START, "end": START + 20})
        return SummaryAnswer.model_validate_json(answer.text, strict=True)

    told = asked(filled, ask)
    east = next(line for line in told.regions if line.labels == {"region": "us-east"})
    assert (east.attempts, east.answered, east.share_503) == (400, 360, 0.1)
    assert (east.p50, east.p99) == (bucket_middle(0.01), bucket_middle(0.03))
    assert (east.waited, east.cold_start_wait_max) == (1, bucket_middle(2.0))
    assert east.affinity == 14 / 18
    assert (told.generator_limited, told.cpu_ratio_max) == (False, 0.25)


def test_the_summary_says_how_much_of_the_waiting_was_the_generator_s(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def fill() -> None:
        for region, late in (("us-east", 0.02), ("eu-west", None)):
            labels = {"region": region, "routing": "sticky"}
            fake_metrics.count("loadgen_requests_total", 4, **labels, outcome="ok")
            fake_metrics.observe("loadgen_response_time_seconds", *[0.1] * 4, **labels)
            if late is not None:
                fake_metrics.observe("loadgen_schedule_lag_seconds", late, 0.0, **labels)
        await scraped.look(fake_metrics, START)

    asyncio.run(fill())
    told = asked(scraped, lambda c: c.get("/api/summary", params={"start": START})).json()
    shares = {line["labels"]["region"]: line["generator_share"] for line in told["regions"]}
    assert shares == {"us-east": pytest.approx(0.05), "eu-west": None}


def test_runs_and_their_totals(filled: Scraped) -> None:
    async def ask(client: httpx.AsyncClient) -> tuple[list[RunAnswer], RunAnswer, httpx.Response]:
        runs = TypeAdapter(list[RunAnswer]).validate_json((await client.get("/api/runs")).text)
        one = RunAnswer.model_validate_json((await client.get("/api/runs/r1")).text)
        return runs, one, await client.get("/api/runs/r2")

    runs, one, missing = asked(filled, ask)
    assert [(run.run, run.start, run.end, run.labels) for run in runs] == [
        ("r1", START + 0.5, START + 19.5, {"objective": "p99<0.5s"})
    ]
    assert one.totals == {"ok": 720.0, "cold_start": 80.0}
    assert [(line.panel, line.quantile, line.limit) for line in one.objectives] == [
        ("latency", 0.99, 0.5)
    ]
    assert missing.status_code == 404
    assert missing.json()["error"]["where"] == "run"


def test_a_cold_start_is_told_with_its_course_and_its_cost(
    filled: Scraped, fake_metrics: FakeMetrics
) -> None:
    asyncio.run(
        filled.store.add_events(
            [
                Event(
                    at=START + 0.25, kind="container_starting", text="", labels={"container": "a"}
                ),
                Event(at=START + 1.75, kind="container_live", text="", labels={"container": "a"}),
                Event(
                    at=START + 15.0, kind="container_starting", text="", labels={"container": "b"}
                ),
            ]
        )
    )

    async def ask(client: httpx.AsyncClient) -> list[dict[str, object]]:
        answer = await client.get("/api/cold_starts", params={"start": START, "end": START + 20})
        return answer.json()

    west, east = sorted(asked(filled, ask), key=lambda cold: str(cold["region"]))
    container = {
        "task_id": "a",
        "requested_at": START + 0.25,
        "process_started_at": None,
        "live_at": START + 1.75,
    }
    assert east == {
        "region": "us-east",
        "began_at": START,
        "ended_at": START + 2,
        "first_answer_at": START + 2,
        "refused": 40.0,
        "waits": 1.0,
        "waited": 2.0,
        "containers": [container],
    }
    assert (west["region"], west["refused"], west["waits"]) == ("eu-west", 40.0, 0.0)


def test_the_distribution_holds_every_sample_and_its_exact_mean(filled: Scraped) -> None:
    async def ask(client: httpx.AsyncClient) -> dict[str, Any]:
        query = {"start": START, "end": START + 20, "region": "us-east", "routing": "sticky"}
        return (await client.get("/api/distribution", params=query)).json()

    (line,) = asked(filled, ask)["lines"]
    assert line["samples"] == 180
    assert line["mean"] == pytest.approx((9 * 0.01 + 0.03) / 10, rel=1e-12)
    assert [count for _, count in line["buckets"]] == [162, 18]
    assert (line["p50"], line["p95"]) == (bucket_middle(0.01), bucket_middle(0.03))


def test_a_selection_can_be_one_distribution(filled: Scraped) -> None:
    query = {"start": START, "end": START + 20, "merged": True}
    (line,) = asked(filled, lambda c: c.get("/api/distribution", params=query)).json()["lines"]
    assert (line["labels"], line["samples"]) == ({}, 720)
    assert (line["p50"], line["p99"]) == (bucket_middle(0.03), bucket_middle(0.3))


def test_a_container_is_told_with_its_life_its_boot_and_its_load(filled: Scraped) -> None:
    asyncio.run(
        filled.store.add_events(
            [
                Event(at=START + at, kind=f"container_{kind}", text="", labels={"container": "b"})
                for at, kind in ((4.0, "starting"), (4.5, "process_started"), (6.0, "live"))
            ]
        )
    )
    query = {"start": START, "end": START + 20}
    told = asked(filled, lambda c: c.get("/api/containers", params=query)).json()
    unknown = dict.fromkeys(
        ("region", "requested_at", "process_started_at", "live_at", "draining_at", "gone_at")
    ) | dict.fromkeys(("boot", "server_boot", "in_flight_max"))
    assert told == [
        unknown | {"task_id": "a", "in_flight_max": 5.0},
        unknown
        | {
            "task_id": "b",
            "requested_at": START + 4.0,
            "process_started_at": START + 4.5,
            "live_at": START + 6.0,
            "boot": 2.0,
        },
    ]


def test_what_sticky_routing_is_worth_is_told_in_one_answer(filled: Scraped) -> None:
    asyncio.run(
        filled.store.add_events(
            [Event(at=START + 8.0, kind="container_live", text="", labels={"container": "new"})]
        )
    )
    query = {"start": START, "end": START + 20, "region": "us-east"}
    told = asked(filled, lambda c: c.get("/api/stickiness", params=query)).json()
    sticky = next(one for one in told["affinity"] if one["labels"]["routing"] == "sticky")
    assert (sticky["hits"], sticky["trials"], sticky["share"]) == (140, 180, 140 / 180)
    assert sticky["low"] < sticky["share"] < sticky["high"]
    assert (told["cache_hits"]["hits"], told["cache_hits"]["trials"]) == (60, 80)
    assert told["metric"] == "loadgen_time_to_first_byte_seconds"
    mean, p50, p95 = told["comparisons"]
    # Both routings were served alike.
    assert (mean["figure"], mean["difference"], mean["low"], mean["high"]) == ("mean", 0, 0, 0)
    assert mean["sticky"] == pytest.approx(0.012)
    assert (p50["sticky"], p95["non_sticky"]) == (bucket_middle(0.01), bucket_middle(0.03))
    (moves,) = told["moves"]
    assert (moves["before"], moves["after"], moves["sessions"]) == (1, 2, 1)
    assert (moves["moved"], moves["least_share"], moves["least"]) == (30, 0.5, 0.5)


def test_the_matrix_is_by_the_generator_s_region_and_marks_the_best(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def fill() -> None:
        for client, region, latency, samples in (
            ("us-east", "us-east", 0.01, 30),
            ("us-east", "eu-west", 0.1, 30),
            ("eu-west", "us-east", 0.1, 30),
            ("eu-west", "eu-west", 0.012, 20),
            # Too few to be called best.
            ("eu-west", "ap-south", 0.001, 19),
        ):
            for routing in ("sticky", "non_sticky"):
                labels = {"client_region": client, "region": region, "routing": routing}
                values = [latency] * (samples // 2 + (routing == "sticky") * (samples % 2))
                fake_metrics.observe("loadgen_request_duration_seconds", *values, **labels)
        await scraped.look(fake_metrics, START)

    asyncio.run(fill())
    told = asked(scraped, lambda c: c.get("/api/matrix", params={"start": START})).json()
    assert [
        (cell["client_region"], cell["region"], cell["samples"], cell["best"])
        for cell in told["cells"]
    ] == [
        ("eu-west", "ap-south", 19, False),
        ("eu-west", "eu-west", 20, True),
        ("eu-west", "us-east", 30, False),
        ("us-east", "eu-west", 30, False),
        ("us-east", "us-east", 30, True),
    ]
    assert told["cells"][4]["p50"] == told["cells"][4]["p99"] == bucket_middle(0.01)


def test_without_a_client_region_there_is_no_matrix(filled: Scraped) -> None:
    assert (
        asked(filled, lambda c: c.get("/api/matrix", params={"start": START})).json()["cells"] == []
    )


def test_runs_are_among_the_events(filled: Scraped) -> None:
    query = {"start": START, "end": START + 20}
    told = asked(filled, lambda c: c.get("/api/events", params=query)).json()
    assert [(event["at"], event["kind"]) for event in told] == [
        (START + 0.5, "run_start"),
        (START + 19.5, "run_end"),
    ]


def test_a_note_is_kept_and_one_from_another_site_is_refused(scraped: Scraped) -> None:
    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        return [
            await client.post("/api/events", json={"text": "<b>new</b> image"}),
            await client.post("/api/events", json={"text": ""}),
            await client.post("/api/events", json={"text": "x", "at": "NaN"}),
            await client.post(
                "/api/events", json={"text": "x"}, headers={"Origin": "https://evil.example"}
            ),
            await client.post(
                "/api/events", json={"text": "x"}, headers={"Origin": "http://127.0.0.1:8000"}
            ),
        ]

    answers = asked(scraped, ask)
    assert [answer.status_code for answer in answers] == [201, 422, 422, 403, 201]
    assert answers[0].json() == {
        "at": START + 100.0,
        "kind": "note",
        "text": "<b>new</b> image",
        "labels": {},
    }
    assert answers[1].json()["error"]["where"] == "text"
    assert answers[3].json()["error"]["code"] == "foreign_origin"


def test_targets_for_prometheus(filled: Scraped) -> None:
    async def ask(client: httpx.AsyncClient) -> list[SdGroup]:
        answer = await client.get("/sd/targets")
        assert answer.headers["content-type"] == "application/json"
        return TypeAdapter(list[SdGroup]).validate_json(answer.text)

    first, second = asked(filled, ask)
    assert first.targets == ["127.0.0.1:9646"]
    assert first.labels == {"job": "loadgen", "__scheme__": "http", "__metrics_path__": "/metrics"}
    assert second.targets == ["h.modal.host:443"]
    assert second.labels["container"] == "ta-1"
    assert second.labels["__scheme__"] == "https"


@pytest.mark.parametrize(
    ("path", "status", "where"),
    [
        ("/api/panels/nothing/data", 404, "id"),
        ("/api/panels/latency/data?start=soon", 422, "start"),
        ("/api/panels/latency/data?start=20&end=10", 400, "end"),
        ("/api/panels/latency/data?step=0", 400, "step"),
        ("/api/panels/latency/data?start=nan", 400, "start"),
        ("/api/live?step=3", 400, "step"),
        ("/api/live?panel=nothing", 404, "id"),
        ("/nothing/here", 404, "/nothing/here"),
        ("/api/panels/", 404, "/api/panels/"),
        ("/docs", 404, "/docs"),
        ("/static/0/app.js", 404, "name"),
        ("/static/0/..%2f..%2fapp.py", 404, "name"),
    ],
)
def test_every_error_has_the_same_form(
    scraped: Scraped, path: str, status: int, where: str
) -> None:
    answer = asked(scraped, lambda client: client.get(path))
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "where"}
    assert error["where"] == where


def test_a_method_that_is_not_there_is_told_as_such(scraped: Scraped) -> None:
    answer = asked(scraped, lambda client: client.delete("/api/panels"))
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "GET"


def test_the_document_of_the_interface_names_every_answer(scraped: Scraped) -> None:
    document = asked(scraped, lambda client: client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            answer = told["responses"]["201" if method == "post" else "200"]["content"]
            assert path == "/api/live" or answer["application/json"]["schema"], path
        assert methods["get"]["responses"]["422"]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/ErrorAnswer"
        }


def test_an_empty_store_answers_with_no_lines(scraped: Scraped) -> None:
    data = panel(scraped, "latency")
    assert data.lines == []


def test_the_page_and_its_files_come_from_here_and_are_cached_by_content(scraped: Scraped) -> None:
    async def ask(client: httpx.AsyncClient) -> list[httpx.Response]:
        page = await client.get("/")
        found = [page]
        for part in page.text.split('"'):
            if part.startswith("/static/"):
                found.append(await client.get(part, headers={"Accept-Encoding": "br"}))  # noqa: PERF401  # awaits
        return found

    page, *assets = asked(scraped, ask)
    assert page.headers["content-security-policy"].startswith(
        "default-src 'none'; script-src 'self';"
    )
    assert "unsafe-eval" not in page.headers["content-security-policy"]
    assert "://" not in page.text.replace(Config().locust_url, "")
    assert len(assets) >= 12
    for asset in assets:
        assert asset.status_code == 200, asset.url
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["content-encoding"] == "br"
    # Compressed, as it goes over the wire.
    assert sum(int(asset.headers["content-length"]) for asset in assets) < 500_000


def test_what_is_shipped_compressed_is_what_is_shipped() -> None:
    brotli = pytest.importorskip("brotli")
    vendor = Path(__file__).parents[2] / "dashboard" / "static" / "vendor"
    plain = vendor / "plotly.min.js"
    assert brotli.decompress((vendor / f"{plain.name}.br").read_bytes()) == plain.read_bytes()
    wanted = json.loads((vendor.parents[2] / "plotlyjs" / "package.json").read_text())
    version = wanted["dependencies"]["plotly.js"]
    assert plain.read_bytes().startswith(f"/* plotly.js {version}, in part.".encode())
    licences = (vendor / "plotly.LICENSE").read_text()
    assert f"\nplotly.js {version}\n\nMIT License\n" in licences
    assert "@plotly/d3 3.8.2\n" in licences


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("dash.internal:8000", 200),
        ("dash.example", 200),
    ],
)
def test_only_names_of_ours_are_answered(scraped: Scraped, host: str, status: int) -> None:
    external = "https://Dash.example:8443"
    config = replace(Config(), allowed_hosts=("dash.internal",), external_url=external)
    answer = asked(scraped, lambda c: c.get("/healthz", headers={"Host": host}), config)
    assert answer.status_code == status


def test_with_a_token_nothing_is_told_without_it(scraped: Scraped) -> None:
    config = replace(Config(), token="open-sesame")

    async def ask(client: httpx.AsyncClient) -> list[int]:
        statuses = [
            (await client.get("/api/panels", headers=headers)).status_code
            for headers in (
                {},
                {"Authorization": "Bearer no"},
                {"Authorization": "Bearer open-sesame"},
            )
        ]
        opened = await client.get("/?token=open-sesame&range=1h")
        assert opened.headers["location"] == "/?range=1h"
        assert "HttpOnly" in opened.headers["set-cookie"]
        assert "samesite=strict" in opened.headers["set-cookie"].lower()
        # The client keeps the cookie.
        statuses.append((await client.get("/api/panels")).status_code)
        client.cookies.clear()
        statuses.append((await client.get("/?token=wrong")).status_code)
        return [*statuses, (await client.get("/healthz")).status_code]

    assert asked(scraped, ask, config) == [401, 401, 200, 200, 401, 200]


def test_its_own_metrics_are_an_exposition(scraped: Scraped) -> None:
    from dashboard.exposition import parse_series, read_exposition

    answer = asked(scraped, lambda client: client.get("/metrics"))
    names = {parse_series(raw).name for raw in read_exposition(answer.content).series}
    assert {"dashboard_live_clients", "dashboard_store_bytes"} <= names


def test_json_holds_no_number_that_json_does_not_know(filled: Scraped) -> None:
    def refuse(name: str) -> float:
        raise AssertionError(name)

    for id_ in PANELS:
        data = panel(filled, id_, start=START - 50, end=START + 60)
        json.loads(data.model_dump_json(), parse_constant=refuse)


ODD_PAGE = """# TYPE loadgen_requests_total counter
loadgen_requests_total{region="a",routing="sticky",outcome="ok"} 9007199254740992
# TYPE loadgen_request_duration_seconds histogram
loadgen_request_duration_seconds_bucket{region="a",routing="sticky",le="+Inf"} 3
loadgen_request_duration_seconds_sum{region="a",routing="sticky"} NaN
loadgen_request_duration_seconds_bucket{region="b",routing="sticky",le="+Inf"} 1099511627776
# TYPE loadgen_time_to_first_byte_seconds histogram
loadgen_time_to_first_byte_seconds_bucket{region="a",routing="sticky",le="0.125"} 30
loadgen_time_to_first_byte_seconds_bucket{region="a",routing="sticky",le="+Inf"} 30
loadgen_time_to_first_byte_seconds_bucket{region="a",routing="non_sticky",le="+Inf"} 30
loadgen_time_to_first_byte_seconds_sum{region="a",routing="non_sticky"} +Inf
# TYPE loadgen_cold_start_wait_seconds histogram
loadgen_cold_start_wait_seconds_bucket{region="a",routing="sticky",le="+Inf"} 2
# TYPE loadgen_response_time_seconds histogram
loadgen_response_time_seconds_bucket{region="a",routing="sticky",le="+Inf"} 2
loadgen_response_time_seconds_sum{region="a",routing="sticky"} -Inf
loadgen_users NaN
loadgen_workers +Inf
loadgen_cpu_ratio{process="x"} -Inf
edge_containers{region="a",state="live"} NaN
target_requests_in_flight{container="x"} +Inf
target_boot_duration_seconds{container="x"} NaN
loadgen_run_start_timestamp_seconds{run="r"} NaN
loadgen_run_start_timestamp_seconds{run="s"} 1e300
loadgen_run_start_timestamp_seconds{run="t"} 1
loadgen_run_end_timestamp_seconds{run="t"} NaN
"""


def test_whatever_numbers_a_target_sends_every_answer_is_json_and_nothing_is_a_false_zero(
    scraped: Scraped,
) -> None:
    class Odd:
        def __init__(self) -> None:
            self.text = ODD_PAGE.replace(" 30\n", " 0\n").replace(" 3\n", " 0\n")

        def exposition(self) -> bytes:
            return self.text.encode()

    async def ask(client: httpx.AsyncClient) -> dict[str, Any]:
        odd = Odd()
        for second in range(START, START + 12):
            await scraped.look(odd, second)  # type: ignore[arg-type]  # it is looked at only
            odd.text = ODD_PAGE.replace(" 30\n", f" {30 * (second - START + 1)}\n")
        await scraped.store.roll_up(START + 12)
        query = {"start": START - 5, "end": START + 15}
        told = {}
        for name in ("summary", "distribution", "cold_starts", "containers", "stickiness",
                     "matrix", "runs", "runs/t", "events", "labels", "targets"):  # fmt: skip
            answer = await client.get(f"/api/{name}", params=query)
            assert answer.status_code == 200, (name, answer.text)
            told[name] = json.loads(answer.text, parse_constant=refuse)
        for id_ in PANELS:
            for step in (1, 10):
                answer = await client.get(f"/api/panels/{id_}/data", params={**query, "step": step})
                told[id_] = json.loads(answer.text, parse_constant=refuse)
        return told

    def refuse(name: str) -> float:
        raise AssertionError(name)

    told = asked(scraped, ask)
    lines = {line["labels"]["region"]: line for line in told["distribution"]["lines"]}
    assert (lines["a"]["samples"], lines["a"]["mean"]) == (3, None)
    assert (lines["b"]["samples"], lines["b"]["mean"]) == (2**40, None)
    assert [run["run"] for run in told["runs"]] == ["t"]
    # Of what tells no sum there is no mean to compare, but its percentiles are known.
    figures = [one["figure"] for one in told["stickiness"]["comparisons"]]
    assert figures == ["p50", "p95"]
