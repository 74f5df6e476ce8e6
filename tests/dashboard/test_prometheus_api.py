"""What Prometheus, or whoever stands at its address, may answer: over real HTTP, by a script."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from dashboard.app import create_app
from dashboard.config import Config
from dashboard.errors import PrometheusError
from dashboard.model import Event
from dashboard.prometheus_api import Credentials, PrometheusApi
from dashboard.prometheus_source import PrometheusSource
from dashboard.window import Window

T = TypeVar("T")
MATRIX = {"status": "success", "data": {"resultType": "matrix", "result": []}}
LATENCY = "/api/panels/latency/data?start=1000&end=1100"


class ScriptedPrometheus:
    """Answers every request with ``status``, ``headers`` and ``body``; keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = json.dumps(MATRIX)
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.authorizations: list[str | None] = []
        self.held = threading.Event()
        self.held.set()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                scripted.held.wait(10)
                parts = urlsplit(self.path)
                scripted.asked.append((parts.path, parse_qs(parts.query)))
                scripted.authorizations.append(self.headers["Authorization"])
                with suppress(OSError):  # who asked may have gone
                    self.send_response(scripted.status)
                    for name, value in scripted.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(scripted.body.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.held.set()
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@pytest.fixture
def scripted() -> Iterator[ScriptedPrometheus]:
    prometheus = ScriptedPrometheus()
    yield prometheus
    prometheus.close()


async def no_events(start: float, end: float) -> list[Event]:
    return []


@asynccontextmanager
async def client_of(url: str, timeout_s: float = 5.0) -> AsyncIterator[httpx.AsyncClient]:
    secret = Credentials(token="s3cr3t-token")
    api = PrometheusApi(url, credentials=secret, timeout_s=timeout_s)
    source = PrometheusSource(api, events=no_events, clock=lambda: 1100.0)
    app = create_app(Config(), source, clock=lambda: 1100.0)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client
    await api.close()


def asked(url: str, ask: Callable[[httpx.AsyncClient], Awaitable[T]], timeout_s: float = 5.0) -> T:
    async def run() -> T:
        async with client_of(url, timeout_s) as client:
            return await ask(client)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "body", "expected", "code", "why"),
    [
        (401, "", 502, "prometheus_failed", "DASHBOARD_PROMETHEUS_TOKEN"),
        (403, "<html>", 502, "prometheus_failed", "refuses the credentials (status 403)"),
        (302, "", 502, "prometheus_failed", "redirects (status 302)"),
        (404, "nothing here", 502, "prometheus_failed", "answers with status 404"),
        (
            422,
            '{"status":"error","errorType":"execution","error":"too many\\nsamples"}',
            502,
            "prometheus_failed",
            ": too many samples",
        ),
        (
            503,
            '{"status":"error","errorType":"timeout","error":"query timed out"}',
            504,
            "prometheus_timeout",
            ": query timed out",
        ),
        (200, "<html>welcome</html>", 502, "prometheus_failed", "does not answer as Prometheus"),
        (200, '{"data":{"resultType":"scalar"}}', 502, "prometheus_failed", "data.resultType"),
        (
            200,
            '{"data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"x"]]}]}}',
            502,
            "prometheus_failed",
            "data.result.0.values.0.1",
        ),
    ],
)
def test_an_answer_that_is_none_is_an_error_that_says_why(
    scripted: ScriptedPrometheus, status: int, body: str, expected: int, code: str, why: str
) -> None:
    scripted.status, scripted.body = status, body
    scripted.headers = {"Location": f"{scripted.url}/elsewhere"} if status == 302 else {}
    answer = asked(scripted.url, lambda client: client.get(LATENCY))
    assert answer.status_code == expected
    error = answer.json()["error"]
    assert error["code"] == code
    assert why in error["message"]
    assert scripted.url in error["message"]
    assert error["where"] == "/api/panels/latency/data"
    assert "s3cr3t" not in answer.text
    # Redirects lead nowhere: the credentials are for this address.
    assert {path for path, _ in scripted.asked} == {
        "/api/v1/status/buildinfo",
        "/api/v1/query_range",
    }


def test_who_does_not_answer_in_time_or_not_at_all_is_told_so(scripted: ScriptedPrometheus) -> None:
    scripted.held.clear()
    late = asked(scripted.url, lambda client: client.get(LATENCY), timeout_s=0.1)
    assert late.status_code == 504
    assert "did not answer within 0.1 s" in late.json()["error"]["message"]
    scripted.close()
    gone = asked(scripted.url, lambda client: client.get(LATENCY))
    assert gone.status_code == 502
    assert "cannot be reached" in gone.json()["error"]["message"]


def test_every_question_has_its_window_a_time_limit_and_the_token(
    scripted: ScriptedPrometheus,
) -> None:
    path = "/api/panels/throughput/data?start=1000&end=1100&step=10&region=us-east"
    answer = asked(scripted.url, lambda client: client.get(path))
    assert answer.json() == {"start": 1000, "end": 1100, "step": 10, "lines": []}
    selected = 'loadgen_requests_total{region="us-east"}'
    assert scripted.asked == [
        ("/api/v1/status/buildinfo", {}),
        (
            "/api/v1/query_range",
            {
                "query": [f"sum by (region, routing, outcome) (rate({selected}[11000ms]))"],
                "start": ["1009.999"],
                "end": ["1099.999"],
                "step": ["10"],
                "timeout": ["5s"],
            },
        ),
    ]
    assert scripted.authorizations == ["Bearer s3cr3t-token"] * 2


@pytest.mark.parametrize(
    ("version", "range_"), [("2.42.0+ds", "1999ms"), ("3.5.0", "2000ms"), ("", "2000ms")]
)
def test_a_range_holds_the_scrapes_of_a_step_and_one_before(
    scripted: ScriptedPrometheus, version: str, range_: str
) -> None:
    async def run() -> None:
        api = PrometheusApi(scripted.url)
        source = PrometheusSource(api, events=no_events)
        scripted.body = json.dumps({"data": {"version": version}})
        with pytest.raises(PrometheusError):  # the same is answered to the query
            await source.increases("m", Window(0, 10, 1), by=(), match={})
        scripted.body = json.dumps(MATRIX)
        await source.increases("m", Window(0, 10, 1), by=(), match={})
        assert [path for path, _ in scripted.asked].count("/api/v1/status/buildinfo") == 1
        assert scripted.asked[-1][1]["query"] == [f"sum(rate(m[{range_}]))"]
        await api.close()

    asyncio.run(run())


def test_a_user_and_password_are_sent_as_basic_authentication(scripted: ScriptedPrometheus) -> None:
    async def run() -> None:
        api = PrometheusApi(scripted.url, credentials=Credentials(user="me", password="p:w"))
        assert "p:w" not in repr(api)
        await api.query_range("up", start=0, end=10, step=10)
        await api.close()

    asyncio.run(run())
    assert scripted.authorizations == ["Basic " + base64.b64encode(b"me:p:w").decode()]


def test_values_come_as_they_are_written_and_targets_with_their_health(
    scripted: ScriptedPrometheus,
) -> None:
    values = [[1.5, "0.25"], [2.5, "NaN"], [3.5, "+Inf"]]
    matrix = {"resultType": "matrix", "result": [{"metric": {"a": "b"}, "values": values}]}
    target = {
        "labels": {"job": "loadgen", "instance": "h:1"},
        "scrapeUrl": "http://h:1/metrics",
        "health": "down",
        "lastError": "connection refused",
        "lastScrape": "2026-11-24T20:00:00.123456789Z",
        "lastScrapeDuration": 0.25,
    }

    async def run() -> None:
        api = PrometheusApi(scripted.url)
        scripted.body = json.dumps({"data": matrix})
        (series,) = await api.query_range("up", start=0, end=10, step=10)
        assert series.labels == {"a": "b"}
        assert series.times.tolist() == [1.5, 2.5, 3.5]
        assert str(series.values.tolist()) == "[0.25, nan, inf]"
        scripted.body = json.dumps({"data": {"activeTargets": [target]}})
        (told,) = await api.targets()
        assert (told.scrape_url, told.last_error) == ("http://h:1/metrics", "connection refused")
        scripted.body = json.dumps({"data": ["us-east", "eu-west"]})
        assert await api.label_values("m", "region", since=5) == ["eu-west", "us-east"]
        assert scripted.asked[-1] == (
            "/api/v1/label/region/values",
            {"match[]": ["m"], "start": ["5.000"]},
        )
        await api.close()

    asyncio.run(run())
