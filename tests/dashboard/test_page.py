"""The page in a real browser."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.model import Event

if TYPE_CHECKING:
    from conftest import FakeMetrics, FakeTarget, Scraped
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
REGIONS = {"us-east": 0.01, "eu-west": 0.1}
MINUTE = 60
UNANSWERED = range(50, 53)
"""Seconds at which the platform did not answer."""
HOSTILE = '<img src=x onerror="document.title=1">'

pytestmark = pytest.mark.end_to_end


@dataclass
class Watched:
    """A browser's page and what must not happen on it."""

    page: Page
    url: str
    trouble: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning")
                # An interface of the machine came or went; the page asks again.
                and "net::ERR_NETWORK_CHANGED" not in message.text
                and self.trouble.append(f"{message.type}: {message.text}")
            ),
        )
        self.page.on("request", lambda request: self._requested(request.url))

    def _requested(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "blob:")):
            self.trouble.append(f"request to {url}")

    def lines(self, panel: str) -> dict[str, list[float | None]]:
        """What a chart draws, by the name of the line."""
        return self.page.evaluate(
            """panel => Object.fromEntries(
                document.querySelector(`[data-panel=${panel}] .canvas`).data.map(
                    (trace) => [`${trace.name} ${trace.line.color}`, Array.from(trace.y)]))""",
            panel,
        )

    def points(self, panel: str) -> dict[str, dict[float, float | None]]:
        """What a chart draws by the name of the line and the time in Unix seconds, in UTC."""
        lines: list[tuple[str, list[float], list[float | None]]] = self.page.evaluate(
            """panel => document.querySelector(`[data-panel=${panel}] .canvas`).data.map(
                (trace) => [trace.name, Array.from(trace.x), Array.from(trace.y)])""",
            panel,
        )
        return {
            name: {time / 1000: value for time, value in zip(x, y, strict=True)}
            for name, x, y in lines
        }

    def wait_for_chart(self, panel: str) -> None:
        self.page.locator(
            f"[data-panel={panel}] .js-plotly-plot .trace, [data-panel={panel}] .js-plotly-plot .hm"
        ).first.wait_for(state="attached")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no chromium: install it, for in CI this test must run")
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Traffic:
    """Pretended load: cold for a while, then answered, until stopped."""

    def __init__(self, target: FakeTarget) -> None:
        self.metrics = target.metrics
        self.began = time.time()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.metrics.gauge("loadgen_run_start_timestamp_seconds", self.began + 2, run="r1")
        self.metrics.gauge("loadgen_run_end_timestamp_seconds", 0, run="r1")
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            cold = time.time() < self.began + 2.5
            with self.metrics.lock:
                for region, latency in REGIONS.items():
                    for routing in ("sticky", "non_sticky"):
                        labels = {"region": region, "routing": routing}
                        outcome = "cold_start" if cold else "ok"
                        self.metrics.count("loadgen_requests_total", 1, outcome=outcome, **labels)
                        if not cold:
                            name = "loadgen_request_duration_seconds"
                            self.metrics.observe(name, latency, **labels)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def dashboard(tmp_path: Path, fake_target: FakeTarget) -> Iterator[tuple[str, list[str]]]:
    command = [sys.executable, "-m", "dashboard", "--store", str(tmp_path / "s.sqlite")]
    command += ["--scrape", fake_target.url]
    url, process = launched([*command, "--port", "0"])
    port = url.rpartition(":")[2]
    running = [process]
    yield url, [*command, "--port", port]
    for process in running:
        process.terminate()
        process.communicate(timeout=10)


def launched(command: list[str]) -> tuple[str, subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("Dashboard: http")
    return line.split()[1].rstrip("/"), process


@pytest.fixture
def kept(
    tmp_path: Path, open_store: type[Scraped], fake_metrics: FakeMetrics
) -> Iterator[tuple[str, int, int]]:
    """A dashboard over a minute that has been stored: its address, the minute's start and end."""
    path = tmp_path / "kept.sqlite"
    start = int(time.time()) - 300
    # The browser's driver has an event loop running in this thread.
    with ThreadPoolExecutor(1) as other:
        other.submit(lambda: asyncio.run(fill(open_store(path), fake_metrics, start))).result()
    command = [sys.executable, "-m", "dashboard", "--store", str(path), "--port", "0"]
    url, process = launched([*command, "--scrape", "http://127.0.0.1:9/metrics"])
    yield url, start, start + MINUTE
    process.terminate()
    process.communicate(timeout=10)


def containers_at(second: int) -> dict[tuple[str, str], int]:
    """Containers by region and state: of the first one's region nothing is known before it."""
    if second < 2:
        return {("", "starting"): 0, ("", "live"): 0}
    east = {("us-east", "starting"): int(second < 3), ("us-east", "live"): int(second >= 3)}
    if second < 15:
        return east
    west = {("eu-west", "starting"): int(second < 20), ("eu-west", "live"): int(second >= 20)}
    return east | west


async def fill(scraped: Scraped, metrics: FakeMetrics, start: int) -> None:
    """A cold start, a second container, a lost worker; two generators, one in each region."""
    run = {"run": "r1"}
    metrics.gauge("loadgen_run_start_timestamp_seconds", start + 1.0, **run)
    metrics.gauge("loadgen_run_end_timestamp_seconds", 0, **run)
    metrics.gauge("loadgen_run_info", 1, objective="p99<150ms", **run)
    for second in range(MINUTE):
        for client in REGIONS:
            for region, latency in REGIONS.items():
                for routing in ("sticky", "non_sticky"):
                    one_second(metrics, second, client, region, routing, latency)
        metrics.gauge("loadgen_workers", 2 if second < 40 else 1)
        metrics.count("loadgen_worker_changes_total", int(second == 40), change="lost")
        metrics.gauge("loadgen_cpu_ratio", 0.25, process="worker-0")
        live = 0 if second < 3 else 1 if second < 20 else 2
        metrics.gauge("edge_containers", live, state="live")
        metrics.gauge("edge_containers", 1 if 15 <= second < 20 else 0, state="starting")
        metrics.gauge("edge_target_concurrency", 8)
        metrics.gauge("target_requests_in_flight", second % 4, container="ta-1")
        metrics.count("target_session_cache_total", 3, container="ta-1", result="hit")
        metrics.count("target_session_cache_total", 1, container="ta-1", result="miss")
        await scraped.look(metrics, start + second)
        if second == 0:  # of another time, so it has no chart
            await scraped.count_containers(start - 600, {("ap-south", "live"): 1})
        if second not in UNANSWERED:
            await scraped.count_containers(start + second, containers_at(second))
    await scraped.store.add_events(
        [
            Event(at=start + at, kind=f"container_{kind}", text=HOSTILE, labels={"container": name})
            for at, kind, name in (
                (0.0, "starting", "ta-1"),
                (1.0, "process_started", "ta-1"),
                (2.5, "live", "ta-1"),
                (15.0, "starting", "ta-2"),
                (20.0, "live", "ta-2"),
            )
        ]
    )
    refused = {"refused": "14", "beside": "12", "seconds": "9.5", "others_answered": "412"}
    labels = {"region": "us-east", "session": HOSTILE, "refused_by": "ta-1", "answered": "0"}
    labels |= {**refused, "others_refused": "3"}
    session = Event(at=start + 30.0, kind="session_refused", text=HOSTILE, labels=labels)
    await scraped.store.add_events([session])
    scraped.store.close()


def one_second(
    metrics: FakeMetrics, second: int, client: str, region: str, routing: str, latency: float
) -> None:
    labels = {"region": region, "routing": routing}
    outcome = "cold_start" if second < 3 else "ok"
    metrics.count("loadgen_requests_total", 5, **labels, outcome=outcome)
    metrics.gauge("loadgen_users", 6, **labels)
    if second < 3:
        return
    if second == 3:
        metrics.observe("loadgen_cold_start_wait_seconds", 2.5, **labels)
        metrics.observe("loadgen_edge_overhead_seconds", 1.5, **labels)
    near = latency / 10 if client == region else latency
    values = [near * (1 + (second * 7 + n) % 5 / 10) for n in range(5)]
    faster = [value * (0.5 if routing == "sticky" else 1) for value in values]
    metrics.observe("loadgen_request_duration_seconds", *values, client_region=client, **labels)
    metrics.observe("loadgen_time_to_first_byte_seconds", *faster, **labels)
    metrics.observe("loadgen_response_time_seconds", *(value * 2 for value in values), **labels)
    metrics.observe("loadgen_edge_overhead_seconds", *(value / 4 for value in values), **labels)
    metrics.observe("loadgen_schedule_lag_seconds", 0.001, **labels)
    moved = int(second == 21) if routing == "sticky" else 2
    metrics.count("loadgen_session_requests_total", 5 - moved, **labels, container="same")
    metrics.count("loadgen_session_requests_total", moved, **labels, container="moved")


def api(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=10) as answer:
        return json.load(answer)


def test_the_page_shows_what_the_interface_tells_and_stays_live(
    browser: Browser, dashboard: tuple[str, list[str]], fake_target: FakeTarget
) -> None:
    url, _ = dashboard
    traffic = Traffic(fake_target)
    try:
        context = browser.new_context(viewport={"width": 1280, "height": 1400}, timezone_id="UTC")
        watched = Watched(context.new_page(), url)
        page = watched.page
        page.goto(f"{url}/")
        for panel in ("responses_503", "latency", "throughput"):
            watched.wait_for_chart(panel)
        page.get_by_text("Live", exact=True).wait_for()

        # New points come by themselves: the newest drawn time moves on without a reload.
        newest = """() => document.querySelector('[data-panel=throughput] .canvas')
            .layout.xaxis.range[1]"""
        before = page.evaluate(newest)
        page.wait_for_function(f"before => ({newest})() >= before + 5000", arg=before)
        appended = watched.points("throughput")["ok"]
        # The newest second may have been told before its scrape had come.
        since, until = int(before / 1000), int(max(appended)) - 1
        assert until - since >= 2
        told = api(url, f"/api/panels/throughput/data?start={since}&end={until}&step=1")
        sums = added_up(told, "outcome")["ok"]
        assert [appended[time] for time in range(since, until)] == sums
        assert all(sums)
        page.wait_for_function("() => document.querySelectorAll('#verdict article').length === 2")
        assert page.locator("#verdict h3").all_text_contents() == ["eu-west", "us-east"]
        page.locator("#verdict .state", has_text="answering").first.wait_for()
    finally:
        traffic.stop()

    # A link to a fixed window shows the same numbers as the interface gives.
    start, end = int(traffic.began) - 5, int(time.time()) - 1
    page.goto(f"{url}/?from={start}&to={end}")
    page.get_by_text("Fixed window").wait_for()
    watched.wait_for_chart("throughput")
    told = api(url, f"/api/panels/responses_503/data?start={start}&end={end}&step=1")
    drawn = watched.lines("responses_503")
    expected = sorted([v for _, v in line["points"]] for line in told["lines"])
    assert len(expected) == 4
    assert sorted(drawn.values()) == expected
    told = api(url, f"/api/panels/latency/data?start={start}&end={end}&step=1")
    known = sorted([v for _, v in line["points"] if v is not None] for line in told["lines"])
    assert len(known) == 12
    drawn = page.evaluate(
        "() => document.querySelector('[data-panel=latency] .canvas').data.map((t) => t.y)"
    )
    assert sorted([v for v in line if v is not None] for line in drawn) == known

    # A filter hides its lines on all charts, keeps the others' colour, and is in the address.
    colours = {name.split()[-1] for name in watched.lines("responses_503") if "us-east" in name}
    page.get_by_role("button", name="eu-west").click()
    page.wait_for_function(
        "() => document.querySelector('[data-panel=responses_503] .canvas').data.length === 2"
    )
    assert {name.split()[-1] for name in watched.lines("responses_503")} == colours
    assert "hide_region=eu-west" in page.url
    assert watched.trouble == []
    context.close()


def numbers(lines: list[list[float | None]]) -> list[list[float]]:
    """The values of lines without their gaps, in an order of their own."""
    return sorted([value for value in line if value is not None] for line in lines)


def added_up(told: Any, label: str) -> dict[str, list[float | None]]:
    """A panel's lines added up by one label, as a stacked chart shows them."""
    sums: dict[str, list[float | None]] = {}
    for line in told["lines"]:
        values = sums.setdefault(line["labels"][label], [None] * len(line["points"]))
        for at, (_, value) in enumerate(line["points"]):
            values[at] = value if values[at] is None else values[at] + (value or 0.0)
    return sums


PLACE = """panel => {
    const canvas = document.querySelector(`[data-panel=${panel}] .canvas`);
    const { type, x, y, z, base } = canvas.data[0];
    const row = z ? z.findIndex((values) => values.some((value) => value > 0)) : 0;
    const at = (z?.[row] ?? y).findLastIndex((value) => value > 0);
    const point = type === 'bar' ? [base[0] + x[0] / 2, y[0]] : [x[at], z ? y[row] : y[at]];
    const { left, top } = canvas.getBoundingClientRect();
    const { xaxis, yaxis } = canvas._fullLayout;
    return [left + xaxis._offset + xaxis.d2p(point[0]), top + yaxis._offset + yaxis.d2p(point[1])];
}"""
"""Where in the window a chart shows a point of its first trace."""


def test_every_panel_shows_the_numbers_that_the_interface_gives(
    browser: Browser, kept: tuple[str, int, int]
) -> None:
    url, start, end = kept
    # High enough that every chart is in sight, and so drawn.
    context = browser.new_context(viewport={"width": 1280, "height": 7500})
    watched = Watched(context.new_page(), url)
    page = watched.page
    page.goto(f"{url}/?from={start}&to={end}")
    panels = [panel["id"] for panel in api(url, "/api/panels")]
    for panel in (*panels, "distribution", "container_lives"):
        watched.wait_for_chart(panel)
    told = {
        panel: api(url, f"/api/panels/{panel}/data?start={start}&end={end}&step=1")
        for panel in panels
    }
    given = {
        panel: [[value for _, value in line["points"]] for line in data["lines"]]
        for panel, data in told.items()
    }
    # Behind response times lies latency.
    given["response_time"] += given["latency"]
    # Charts are drawn one after the other, some of them again when what belongs to them has come.
    page.wait_for_function(
        """behind => [...document.querySelectorAll('[data-panel]')].every((card) => {
            const { data, layout } = card.querySelector('.canvas');
            if (card.dataset.panel === 'response_time' && data.length !== behind) return false;
            return card.dataset.panel === 'distribution'
                || layout.shapes.filter((shape) => shape.type === 'line').length >= 4;
        })""",
        arg=len(given["response_time"]),
    )
    drawn: dict[str, list[list[float | None]]] = page.evaluate(
        """panels => Object.fromEntries(panels.map((panel) => [panel,
            document.querySelector(`[data-panel=${panel}] .canvas`).data.map(
                (trace) => Array.from(trace.y ?? []))]))""",
        panels,
    )
    for panel in set(panels) - {"throughput", "containers", "heatmap"}:
        assert any(numbers(given[panel])), panel
        assert numbers(drawn[panel]) == numbers(given[panel]), panel
    outcomes = added_up(told["throughput"], "outcome")
    assert numbers(drawn["throughput"]) == numbers([*outcomes.values()])
    # Containers have a chart for each region, with zero where the platform told of none there, and
    # nothing where it did not answer; what is stacked begins anew after that.
    charts = page.evaluate(
        """() => {
            const { data, layout } = document.querySelector('[data-panel=containers] .canvas');
            const titles = layout.annotations.map((one) => one.text);
            const titleOf = (trace) => titles[Number(trace.xaxis.slice(1) || 1) - 1];
            return data.map((t) => [titleOf(t), t.name, t.x.map((ms) => ms / 1000), t.y]);
        }"""
    )
    assert len(charts) == 8
    first = min(x[0] for _, _, x, _ in charts)
    assert {
        (title, name, at - first): value
        for title, name, x, y in charts
        for at, value in zip(x, y, strict=True)
    } == {
        (f"<b>{region}</b>", state, second): containers_at(second).get((region, state), 0)
        for region in ("us-east", "eu-west")
        for state in ("live", "starting")
        for second in set(range(MINUTE)) - set(UNANSWERED)
    }
    squares = page.evaluate(
        "() => document.querySelector('[data-panel=heatmap] .canvas').data[0].z.flat()"
    )
    assert sum(value or 0 for value in squares) == pytest.approx(
        sum(value or 0 for line in given["heatmap"] for value in line)
    )
    spread = page.evaluate(
        "() => document.querySelector('[data-panel=distribution] .canvas').data.map((t) => t.y)"
    )
    assert [sum(line) for line in spread] == pytest.approx([1, 1, 1, 1])
    lanes = page.evaluate(
        """() => document.querySelector('[data-panel=container_lives] .canvas').data.map(
            (trace) => [trace.name, trace.x.map((ms) => ms / 1000)])"""
    )
    assert lanes == [["starting", [2.5, 5.0]], ["live", [57.5, 40.0]]]

    # Cold starts, events and objectives are marked on every chart of time.
    marks = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('[data-panel]')].map((card) =>
            [card.dataset.panel, card.querySelector('.canvas').layout.shapes ?? []]))"""
    )
    assert marks.pop("distribution") == []
    for panel, shapes in marks.items():
        spans = [(s["x1"] - s["x0"]) / 1000 for s in shapes if s["type"] == "rect"]
        assert set(spans) == {3.0}, panel
        assert sum(s["type"] == "line" for s in shapes) >= 4, panel
    limits = [s for s in marks["latency"] if s["type"] == "line" and s["yref"] != "paper"]
    assert [limit["y0"] for limit in limits] == [0.15, 0.15]
    names = page.evaluate(
        """() => document.querySelector('[data-panel=responses_503] .canvas').layout
            .annotations.map((one) => one.text)"""
    )
    assert set(names) == {"run began", "worker lost"}

    # What is told in tables.
    page.locator("#sticky-moves", has_text="as few as possible").wait_for()
    page.locator("#matrix .best").first.wait_for()

    def table(id_: str) -> list[list[str]]:
        rows: list[list[str]] = page.evaluate(
            """id => [...document.querySelectorAll(`#${id} tr`)].map((row) =>
                [...row.children].map(
                    (cell) => cell.innerText.trim().replaceAll('\u00a0', ' ')))""",
            id_,
        )
        return rows

    assert table("sticky-moves")[0][1:5] == ["1 → 2", "12", "4", "6 (50 %)"]
    mean = next(row for row in table("sticky-comparisons") if row[:2] == ["eu-west", "mean"])
    answer = api(url, f"/api/stickiness?start={start}&end={end}")
    compared = next(
        one
        for one in answer["comparisons"]
        if (one["region"], one["figure"]) == ("eu-west", "mean")
    )
    assert mean[2] == f"{compared['sticky'] * 1e3:.1f} ms"
    assert compared["sticky"] * 2 == pytest.approx(compared["non_sticky"])
    assert mean[6].startswith("sticky is faster: ")
    assert ["all containers", "session cache hits", "75 %"] in [
        row[:3] for row in table("sticky-shares")
    ]
    matrix = table("matrix")
    assert [row[0] for row in matrix] == ["eu-west", "us-east"]
    # From eu-west its own 10 ms and the 10 ms to us-east are in one bucket; the name decides.
    best = [["best" in cell for cell in row[1:]] for row in matrix]
    assert best == [[True, False], [False, True]]
    east = next(row for row in table("cold-starts") if row[1] == "us-east")
    assert east[3:] == ["3 s", "60", "4", "10 s"]
    refusals = [row[1:] for row in table("refusals")]
    evidence = "no container had been there before; ta-1 took 2.5 s to come up"
    assert sorted(refusals) == [
        [region, "scaled from zero", "60", "3 s", evidence] for region in sorted(REGIONS)
    ]
    assert table("refused-sessions") == [
        [HOSTILE, "us-east", "14", "9.5 s", "412", "not known", "ta-1; not answered"]
    ]
    assert [row[1:3] + row[4:] for row in sorted(table("held"))] == [
        [region, "4", "ta-1 came up"] for region in sorted(REGIONS)
    ]
    assert page.locator("img").count() == 0

    # What lies under the pointer is told, whatever it is drawn as.
    for panel, words in (
        ("throughput", "ok"),
        ("heatmap", " ms to "),
        ("distribution", "eu-west"),
        ("container_lives", "live after"),
    ):
        page.mouse.move(*page.evaluate(PLACE, panel))
        page.locator(f"[data-panel={panel}] .hoverlayer", has_text=words).wait_for()

    # Who goes over to the dark sees the same there, in colours made for it.
    colours = """() => [...new Set(document.querySelector('[data-panel=latency] .canvas').data.map(
        (trace) => trace.line.color))]"""
    assert page.evaluate(colours) == ["#c26a00", "#0068a8"]
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"() => ({colours})().join() === '#f0a830,#56b4e9'")
    latency = "() => document.querySelector('[data-panel=latency] .canvas').data.map((t) => t.y)"
    assert numbers(page.evaluate(latency)) == numbers(given["latency"])

    # A region that is hidden has no chart of its containers.
    page.get_by_role("button", name="eu-west").click()
    page.wait_for_function(
        """() => document.querySelector('[data-panel=containers] .canvas').layout.annotations
            .map((one) => one.text).join() === '<b>us-east</b>'"""
    )
    assert watched.trouble == []
    context.close()


def hostile_labels(name: str) -> dict[str, str]:
    return {"region": f"{name}{HOSTILE}", "routing": f"</script>{HOSTILE}"}


async def fill_hostile(scraped: Scraped, metrics: FakeMetrics, start: int) -> None:
    """Markup wherever a target, an edge or a visitor can put text."""
    run = {"run": f"r{HOSTILE}"}
    metrics.gauge("loadgen_run_start_timestamp_seconds", start + 1.0, **run)
    metrics.gauge("loadgen_run_end_timestamp_seconds", start + 10.0, **run)
    told = {"target": HOSTILE, "objective": HOSTILE, f"note{len(HOSTILE)}": "</script><b>x</b>"}
    metrics.gauge("loadgen_run_info", 1, **run, **told)
    for second in range(12):
        for name in ("a", "b"):
            labels = hostile_labels(name)
            outcome = "cold_start" if second < 3 else f"ok{HOSTILE}" if second % 2 else "ok"
            metrics.count("loadgen_requests_total", 5, **labels, outcome=outcome)
            metrics.gauge("loadgen_users", 6, **labels)
            for histogram in ("request_duration", "time_to_first_byte", "response_time"):
                at = f"loadgen_{histogram}_seconds"
                metrics.observe(at, 0.01, 0.2, client_region=HOSTILE, **labels)
            metrics.count("loadgen_session_requests_total", 5, **labels, container="same")
        metrics.gauge("loadgen_cpu_ratio", 0.25, process=HOSTILE)
        metrics.gauge("target_requests_in_flight", second % 4, container=HOSTILE)
        metrics.count("target_session_cache_total", 3, container=HOSTILE, result="hit")
        await scraped.look(metrics, start + second, key=HOSTILE, zone=HOSTILE)
        await scraped.count_containers(start + second, {(HOSTILE, "live"): 1})
    await scraped.store.add_events(
        Event(at=start + at, kind=f"{kind}{HOSTILE}", text=HOSTILE, labels={"container": HOSTILE})
        for at, kind in ((0.0, "container_starting"), (2.5, "container_live"), (5.0, "note"))
    )
    scraped.store.close()


def test_whatever_a_target_says_is_text_on_the_page_and_in_the_report(
    browser: Browser,
    tmp_path: Path,
    open_store: type[Scraped],
    fake_metrics: FakeMetrics,
    fake_target: FakeTarget,
) -> None:
    escaped = HOSTILE.replace("\\", "\\\\").replace('"', r"\"")
    path, start = tmp_path / "hostile.sqlite", int(time.time()) - 120
    plain = fake_metrics.exposition
    fake_metrics.exposition = lambda: plain().replace(  # type: ignore[method-assign]  # as a target escapes
        HOSTILE.encode(), escaped.encode()
    )
    with ThreadPoolExecutor(1) as other:
        other.submit(
            lambda: asyncio.run(fill_hostile(open_store(path), fake_metrics, start))
        ).result()
    fake_target.answer = lambda: f"loadgen_users{{region='{HOSTILE}'}} 1\n".encode()
    command = [sys.executable, "-m", "dashboard", "--store", str(path), "--port", "0"]
    url, process = launched([*command, "--scrape", fake_target.url])
    file = tmp_path / "report.html"
    try:
        context = browser.new_context(viewport={"width": 1280, "height": 7500})
        pages = [Watched(context.new_page(), url)]
        pages[0].page.goto(f"{url}/?from={start}&to={start + 12}")
        pages[0].wait_for_chart("latency")
        pages[0].page.fill("#note-text", HOSTILE)
        pages[0].page.press("#note-text", "Enter")
        pages[0].page.locator("#targets .error", has_text="expected label").wait_for()
        subprocess.run(
            [sys.executable, "-m", "dashboard", "report", "-o", str(file), "--store", str(path)],
            check=True,
            capture_output=True,
            timeout=60,
        )
        pages.append(Watched(context.new_page(), file.as_uri()))
        pages[1].page.goto(file.as_uri())
        for one in pages:
            for panel in ("throughput", "latency", "containers", "container_load", "heatmap",
                          "distribution"):  # fmt: skip
                one.wait_for_chart(panel)
            one.page.locator("#matrix td").first.wait_for()
            one.page.locator("#events", has_text=HOSTILE).wait_for()
            # Charts' hover texts and legends are text too, and are drawn when pointed at.
            for panel in ("throughput", "latency", "containers", "container_load", "cold_starts"):
                box = one.page.locator(f"[data-panel={panel}] .canvas").bounding_box()
                assert box is not None
                for part in (0.3, 0.6, 0.8):
                    one.page.mouse.move(
                        box["x"] + box["width"] * part, box["y"] + box["height"] / 2
                    )
                    one.page.wait_for_timeout(60)
            assert one.page.locator("img, b:text-is('x'), image[href='x']").count() == 0
            assert one.page.evaluate("() => document.querySelectorAll('[onerror]').length") == 0
            assert one.page.title() != "1"
            assert HOSTILE in one.page.locator("#verdict").inner_text()
            assert one.trouble == []
        context.close()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_a_target_that_invents_regions_fills_no_page(
    browser: Browser,
    tmp_path: Path,
    open_store: type[Scraped],
    fake_metrics: FakeMetrics,
    fake_target: FakeTarget,
) -> None:
    path, start = tmp_path / "many.sqlite", int(time.time()) - 60

    async def many(scraped: Scraped) -> None:
        for second in range(5):
            for number in range(100):
                labels = {"region": f"r{number:03}", "routing": "sticky"}
                fake_metrics.count("loadgen_requests_total", 1, outcome="ok", **labels)
                fake_metrics.observe("loadgen_request_duration_seconds", 0.01, **labels)
            await scraped.look(fake_metrics, start + second)
        scraped.store.close()

    with ThreadPoolExecutor(1) as other:
        other.submit(lambda: asyncio.run(many(open_store(path)))).result()
    for number in range(8):
        fake_target.metrics.count("loadgen_requests_total", 1, region=f"n{number}")
    command = [sys.executable, "-m", "dashboard", "--store", str(path), "--port", "0"]
    url, process = launched([*command, "--scrape", fake_target.url, "--series-limit", "5"])
    try:
        context = browser.new_context(viewport={"width": 1280, "height": 1400})
        watched = Watched(context.new_page(), url)
        page = watched.page
        page.goto(f"{url}/")
        watched.wait_for_chart("latency")
        page.locator("#limits", has_text="70 more regions or routings are not shown").wait_for()
        page.locator(
            "#limits", has_text=f"{fake_target.url} has too many series: 3 are not stored"
        ).wait_for()
        assert page.locator("#regions button").count() == 30
        page.locator("#verdict article").nth(29).wait_for()
        assert page.locator("#verdict article").count() == 30
        assert watched.trouble == []
        context.close()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_zooming_one_chart_zooms_all_and_a_link_shows_the_same(
    browser: Browser, kept: tuple[str, int, int]
) -> None:
    url, start, end = kept
    context = browser.new_context(viewport={"width": 1280, "height": 1400})
    watched = Watched(context.new_page(), url)
    page = watched.page
    page.goto(f"{url}/?from={start}&to={end}")
    watched.wait_for_chart("throughput")
    # What is above the chart comes with the verdict, and would push it from under the pointer.
    page.locator("#verdict article").first.wait_for()
    area = page.locator("[data-panel=throughput] .nsewdrag")
    area.hover()  # when it stays where it is
    box = area.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.75, middle, steps=8)
    page.mouse.up()
    page.wait_for_url("**/?from=*")
    page.wait_for_function("before => !location.search.includes(`from=${before}&`)", arg=start)
    query = dict(part.split("=") for part in page.url.partition("?")[2].split("&"))
    assert abs(int(query["from"]) - (start + MINUTE // 4)) <= 2
    assert abs(int(query["to"]) - (start + 3 * MINUTE // 4)) <= 2
    ranges = """() => ['throughput', 'latency', 'responses_503'].map((panel) =>
        document.querySelector(`[data-panel=${panel}] .canvas`).layout.xaxis.range.join())"""
    page.wait_for_function(f"() => new Set(({ranges})()).size === 1")

    # A selection that was kept stays beside the one that is chosen later, also behind a link.
    page.locator("[data-panel=distribution]").scroll_into_view_if_needed()
    window = f"start={query['from']}&end={query['to']}&merged=true"
    (whole,) = api(url, f"/api/distribution?{window}")["lines"]
    spread = page.locator("[data-panel=distribution]")
    spread.get_by_text(f" {whole['samples']:,.0f} samples").first.wait_for()
    page.locator("#keep").click()
    page.get_by_role("button", name="eu-west").click()
    page.locator("[data-panel=distribution]").scroll_into_view_if_needed()
    both = "() => document.querySelector('[data-panel=distribution] .canvas')?.data?.length === 2"
    page.wait_for_function(both)
    (part,) = api(url, f"/api/distribution?{window}&region=us-east")["lines"]
    legend = page.locator("[data-panel=distribution] .legend")
    for line in (part, whole):
        legend.get_by_text(f" {line['samples']:,.0f} samples").wait_for()
    shown = legend.all_inner_texts()
    link = page.url
    assert "compare=kept" in link
    page.goto(link)
    page.locator("[data-panel=distribution]").scroll_into_view_if_needed()
    page.wait_for_function(both)
    legend.get_by_text(f" {part['samples']:,.0f} samples").wait_for()
    assert legend.all_inner_texts() == shown

    # The keyboard: Escape follows the present again, the space bar pauses.
    page.keyboard.press("Escape")
    page.get_by_text("Live", exact=True).wait_for()
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Space")
    page.get_by_text("Paused").wait_for()
    assert watched.trouble == []
    context.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(
    browser: Browser, kept: tuple[str, int, int]
) -> None:
    url, start, end = kept
    context = browser.new_context(viewport={"width": 375, "height": 10000}, has_touch=True)
    watched = Watched(context.new_page(), url)
    page = watched.page
    page.goto(f"{url}/?from={start}&to={end}&compare=before")
    for panel in ("latency", "response_time", "container_lives", "generator"):
        watched.wait_for_chart(panel)
    page.locator("#sticky-moves", has_text="as few as possible").wait_for()
    page.locator("#matrix .best").first.wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 375
    assert watched.trouble == []
    context.close()


def test_the_page_comes_back_by_itself_after_the_server_has_gone(
    browser: Browser, tmp_path: Path, fake_target: FakeTarget
) -> None:
    command = [sys.executable, "-m", "dashboard", "--store", str(tmp_path / "s.sqlite")]
    command += ["--scrape", fake_target.url]
    fake_target.metrics.count(
        "loadgen_requests_total", 1, region="us-east", routing="sticky", outcome="ok"
    )
    url, process = launched([*command, "--port", "0"])
    try:
        page = browser.new_context(viewport={"width": 1280, "height": 1400}).new_page()
        page.goto(f"{url}/")
        page.get_by_text("Live", exact=True).wait_for()
        page.evaluate("() => { window.loadedOnce = true; }")
        process.terminate()
        process.communicate(timeout=10)
        page.get_by_text("Reconnecting").wait_for()
        _, process = launched([*command, "--port", url.rpartition(":")[2]])
        page.get_by_text("Live", exact=True).wait_for()
        # What is scraped from now on comes to the page as before, which was not loaded anew; in one
        # second or, where scrapes were missed, shared out over several.
        fake_target.metrics.count(
            "loadgen_requests_total", 41, region="us-east", routing="sticky", outcome="ok"
        )
        page.wait_for_function(
            """() => document.querySelector('[data-panel=throughput] .canvas').data
                ?.some((trace) => trace.y.some((value) => value > 1))"""
        )
        assert page.evaluate("() => window.loadedOnce")
        page.context.close()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_on_a_phone_in_the_dark_with_nothing_to_show_it_says_what_to_do(
    browser: Browser, dashboard: tuple[str, list[str]], fake_target: FakeTarget
) -> None:
    url, _ = dashboard
    fake_target.answer = lambda: f"loadgen_users{{region='{HOSTILE}'}} 1\n".encode()
    context = browser.new_context(
        viewport={"width": 375, "height": 700}, color_scheme="dark", has_touch=True
    )
    watched = Watched(context.new_page(), url)
    page = watched.page
    page.goto(f"{url}/")
    page.get_by_role("link", name="Start a run in Locust").wait_for()
    wide = page.evaluate("() => document.documentElement.scrollWidth")
    assert wide == 375
    back = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert back == "rgb(14, 15, 18)"
    page.locator("#targets .error", has_text="expected label").wait_for()
    # What a target sends is text and never markup.
    assert page.locator("img").count() == 0
    assert page.locator("#targets .error").text_content().count("<img") == 1
    assert watched.trouble == []
    context.close()


DRAWN = """() => Object.fromEntries([...document.querySelectorAll('[data-panel]')].map((card) => [
    card.dataset.panel,
    card.querySelector('.canvas').data.map((trace) => [
        trace.name, Array.from(trace.x), Array.from(trace.y), trace.z ?? null,
        trace.line?.color ?? null])]))"""
TABLES = (
    *("verdict", "cold-starts", "refusals", "refused-sessions", "held"),
    *("sticky-comparisons", "sticky-shares", "sticky-moves", "matrix"),
)


def test_a_report_from_disk_shows_what_the_page_shows_and_asks_nobody(
    browser: Browser, kept: tuple[str, int, int], tmp_path: Path
) -> None:
    url, start, _ = kept
    file = tmp_path / "report.html"
    command = [sys.executable, "-m", "dashboard", "report", "r1", "-o", str(file)]
    told = subprocess.run(
        [*command, "--store", str(tmp_path / "kept.sqlite")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (told.stdout, told.stderr) == (f"Report: {file}\n", "")
    context = browser.new_context(viewport={"width": 1280, "height": 8000})
    context.set_offline(True)
    report = Watched(context.new_page(), file.as_uri())
    report.page.goto(file.as_uri())
    panels = report.page.eval_on_selector_all(
        "[data-panel]", "all => all.map(one => one.dataset.panel)"
    )
    assert len(panels) == 16
    for panel in panels:
        report.wait_for_chart(panel)

    other = browser.new_context(viewport={"width": 1280, "height": 8000})
    page = Watched(other.new_page(), url)
    page.page.goto(f"{url}/?from={start + 1}&to={start + MINUTE}&run=r1")
    for panel in panels:
        page.wait_for_chart(panel)
    page.page.locator("#matrix td.best").first.wait_for()
    assert report.page.evaluate(DRAWN) == page.page.evaluate(DRAWN)
    for table in TABLES:
        shown = [one.page.locator(f"#{table}").inner_text() for one in (report, page)]
        # That a region answers now is no matter of a report.
        assert shown[0] == re.sub(r"\n(answering|some 503s|no traffic now)\n", "\n", shown[1])
        assert any(character.isdigit() for character in shown[0]), table

    # What only a dashboard can do is not offered, and what targets said is text.
    needs_one = "form, select, #targets, #live, button:not(#cold *)"
    assert report.page.locator(needs_one).count() == 0
    assert report.page.locator("img").count() == 0
    assert report.page.locator("#events", has_text=HOSTILE).count() == 1
    assert report.page.title() == "Run r1 · flashgauge"

    # A cold start that is chosen fills all charts, and Escape shows the whole run again.
    span = "() => document.querySelector('[data-panel=latency] .canvas').layout.xaxis.range"
    all_of_it = report.page.evaluate(span)
    report.page.locator("#cold-starts button").first.click()
    report.page.wait_for_function(f"all => ({span})()[1] < all[1]", arg=all_of_it)
    report.page.keyboard.press("Escape")
    report.page.wait_for_function(f"all => ({span})()[1] === all[1]", arg=all_of_it)
    assert report.trouble == []
    assert page.trouble == []
    context.close()
    other.close()


MARKUP = "<img src=x onerror=alert(1)>"
RUNS = {"monday": (0, 0.030), "tuesday": (100, 0.031), "friday": (200, 0.045)}
"""When each run of a minute began, and the middle of its latencies in seconds."""


async def fill_runs(scraped: Scraped, metrics: FakeMetrics, start: int) -> None:
    for run, (began, latency) in RUNS.items():
        metrics.gauge("loadgen_run_start_timestamp_seconds", start + began + 0.5, run=run)
        metrics.gauge("loadgen_run_end_timestamp_seconds", 0, run=run)
        told = {"objective": "p99<60ms", "target": MARKUP, "run": run}
        metrics.gauge("loadgen_run_info", 1, **told)
        metrics.gauge("loadgen_workers", 1)
        for second in range(MINUTE):
            for region in REGIONS:
                labels = {"region": region, "routing": "sticky"}
                values = [latency * (1 + (second * 7 + n) % 20 / 40) for n in range(20)]
                metrics.count("loadgen_requests_total", len(values), **labels, outcome="ok")
                metrics.observe("loadgen_request_duration_seconds", *values, **labels)
                metrics.observe("loadgen_response_time_seconds", *values, **labels)
            if second == MINUTE - 1:
                end = start + began + MINUTE - 0.5
                metrics.gauge("loadgen_run_end_timestamp_seconds", end, run=run)
            await scraped.look(metrics, start + began + second)
        await scraped.look(metrics, start + began + MINUTE)
    scraped.store.close()


@pytest.fixture
def three_runs(
    tmp_path: Path, open_store: type[Scraped], fake_metrics: FakeMetrics
) -> Iterator[tuple[str, int]]:
    """A dashboard over three runs that have been stored: its address, and when the first began."""
    path = tmp_path / "runs.sqlite"
    start = int(time.time()) - 600
    with ThreadPoolExecutor(1) as other:
        other.submit(lambda: asyncio.run(fill_runs(open_store(path), fake_metrics, start))).result()
    command = [sys.executable, "-m", "dashboard", "--store", str(path), "--port", "0"]
    url, process = launched([*command, "--scrape", "http://127.0.0.1:9/metrics"])
    yield url, start
    process.terminate()
    process.communicate(timeout=10)


def test_runs_are_listed_opened_compared_noted_on_and_deleted(
    browser: Browser, three_runs: tuple[str, int]
) -> None:
    url, start = three_runs
    context = browser.new_context(viewport={"width": 1280, "height": 8000})
    watched = Watched(context.new_page(), url)
    page = watched.page
    page.goto(f"{url}/")
    page.locator("#run-open-friday").wait_for()
    told = {run["run"]: run for run in api(url, "/api/runs?figures=true")}
    assert list(told) == ["friday", "tuesday", "monday"]
    rows = page.locator("#run-list tr")
    assert rows.count() == 3
    for n, run in enumerate(told):
        figures = told[run]["figures"]
        cells = [
            text.replace("\u00a0", " ") for text in rows.nth(n).locator("td").all_inner_texts()
        ]
        assert cells[1:4] == ["59 s", MARKUP, f"{figures['requests']:,.0f}"]
        assert cells[4] == f"{figures['p50'] * 1e3:.1f} ms / {figures['p99'] * 1e3:.1f} ms"
        assert cells[5] == "0 %"
        assert cells[6].splitlines()[0] == figures["verdict"]
    assert [run["figures"]["verdict"] for run in told.values()] == ["missed", "met", "met"]

    # One is opened by the keyboard, and compared with another one.
    page.locator("#run-open-friday").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Fixed window").wait_for()
    assert f"run=friday&from={start + 200}" in page.url
    page.locator("#run-compare-monday").click()
    page.locator("#differences-card").wait_for()
    answer = api(url, "/api/compare?base=monday&run=friday")
    table = [
        [cell.replace("\u00a0", " ").strip() for cell in row.locator("td").all_inner_texts()]
        for row in page.locator("#differences tr").all()
    ]
    assert len(table) == len(answer["rows"]) == 14
    for cells, row in zip(table, answer["rows"], strict=True):
        assert cells[:3] == [row["region"], row["routing"], row["figure"]]
        assert cells[7] == f"{row['verdict']}{' for sure' if row['sure'] else ''}"
    (p50,) = (c for c in table if c[:3] == ["us-east", "sticky", "p50"])
    row = next(r for r in answer["rows"] if (r["figure"], r["region"]) == ("p50", "us-east"))
    assert p50[3:6] == [
        f"{row['before'] * 1e3:.1f} ms",
        f"{row['after'] * 1e3:.1f} ms",
        f"+{row['change'] * 100:.1f} %",
    ]
    assert page.locator("#differences-verdict").inner_text() == "A figure is worse for sure."

    # The same panels of both, second 0 of one over second 0 of the other.
    grey = """panel => document.querySelector(`[data-panel=${panel}] .canvas`).data
        .filter((trace) => trace.name.endsWith('before')).map((trace) => Array.from(trace.y))"""
    page.wait_for_function(f"() => ({grey})('latency').length === 6")
    window = f"start={start}&end={start + MINUTE + 1}&step=1"
    for panel, lines in (("latency", 6), ("response_time", 6), ("throughput", 1)):
        drawn = page.evaluate(grey, panel)
        assert len(drawn) == lines, panel
        given = api(url, f"/api/panels/{panel}/data?{window}")
        values = [[value for _, value in line["points"]] for line in given["lines"]]
        if panel == "throughput":
            together = [{**line, "labels": {"all": ""}} for line in given["lines"]]
            values = list(added_up({"lines": together}, "all").values())
        assert numbers(drawn) == numbers(values), panel
    ticks = page.evaluate(
        """() => document.querySelector('[data-panel=throughput] .canvas').layout.xaxis.ticktext"""
    )
    assert (ticks[0], ticks[-1]) == ("0:00", "1:00")
    assert "grey: the run of" in page.locator("#window").inner_text()
    link = page.url

    # A note on it is marked in its time.
    page.locator("#note-text").fill("new image")
    page.locator("#note-text").press("Enter")
    page.locator("#run-list .note-text", has_text="new image").wait_for()
    (note,) = api(url, "/api/runs/friday")["notes"]
    assert (note["text"], note["at"]) == ("new image", start + 200.5)

    # Nothing is deleted that was not asked for twice.
    page.locator("#run-delete-tuesday").click()
    page.get_by_role("dialog", name="Delete this run?").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert page.url == link
    page.locator("#run-delete-tuesday").click()
    page.get_by_role("button", name="Keep it").click()
    assert len(api(url, "/api/runs")) == 3
    page.locator("#run-delete-tuesday").click()
    page.locator("#delete-run-yes").click()
    page.locator("#run-delete-tuesday").wait_for(state="detached")
    assert [run["run"] for run in api(url, "/api/runs")] == ["friday", "monday"]
    assert page.url == link
    assert page.locator("img").count() == 0

    # On a phone in the dark a link shows the same, and nothing is wider than the screen.
    phone = browser.new_context(
        viewport={"width": 375, "height": 8000}, color_scheme="dark", has_touch=True
    )
    small = Watched(phone.new_page(), url)
    small.page.goto(link)
    small.page.locator("#differences tr").nth(13).wait_for()
    small.page.wait_for_function(f"() => ({grey})('latency').length === 6")
    assert small.page.evaluate("() => document.documentElement.scrollWidth") == 375
    # The run that is shown goes, and the page follows the present.
    small.page.locator("#run-delete-friday").click()
    small.page.locator("#delete-run-yes").click()
    small.page.get_by_text("Live", exact=True).wait_for()
    assert [run["run"] for run in api(url, "/api/runs")] == ["monday"]
    assert watched.trouble == small.trouble == []
    phone.close()
    context.close()


def test_a_finished_run_is_replayed_with_other_settings(
    browser: Browser,
    tmp_path: Path,
    open_store: type[Scraped],
    fake_metrics: FakeMetrics,
    finished_run: Callable[..., Coroutine[None, None, None]],
) -> None:
    path = tmp_path / "finished.sqlite"

    async def fill() -> None:
        scraped = open_store(path)
        # Of Modal's autoscaler nobody knows what it was set to.
        await finished_run(scraped, fake_metrics, int(time.time()) - 300, settings=False)
        scraped.store.close()

    with ThreadPoolExecutor(1) as other:
        other.submit(lambda: asyncio.run(fill())).result()
    command = [sys.executable, "-m", "dashboard", "--store", str(path), "--port", "0"]
    url, process = launched([*command, "--scrape", "http://127.0.0.1:9/metrics"])
    given = {
        "min_containers": 0,
        "max_containers": 4,
        "buffer_containers": 0,
        "target_concurrency": 8,
        "scaledown_window": 10,
    }
    try:
        context = browser.new_context(viewport={"width": 1280, "height": 1400})
        watched = Watched(context.new_page(), url)
        page = watched.page
        page.goto(f"{url}/")
        page.locator("#advice").scroll_into_view_if_needed()
        page.get_by_role("button", name="Replay").click()
        page.locator("#advice-words.bad", has_text="tell min_containers").wait_for()
        # The browser itself says of every failed answer.
        assert [told for told in watched.trouble if "409" not in told] == []
        watched.trouble.clear()
        page.locator("#advice-settings summary").click()
        for name, value in given.items():
            page.locator(f"#advice-settings input[name={name}]").fill(str(value))
        page.get_by_role("button", name="Replay").click()
        page.locator("#advice-chart .trace").first.wait_for(state="attached")
        assert page.locator("#advice-words").inner_text() == ""

        query = "&".join(f"{name}={value}" for name, value in given.items())
        told = api(url, f"/api/runs/r1/advice?{query}")
        drawn = """() => document.querySelector('#advice-chart').data
            .map(({ x, y }) => Array.from(x, (_, at) => [x[at], y[at]]))"""

        def points(figure: str) -> list[list[list[float]]]:
            lists = (
                told["options"],
                [one for one in told["options"] if one["best"]],
                [told["own"]],
                [{"outcome": told["measured"]}],
            )
            return [
                [[one["outcome"]["container_seconds"], one["outcome"][figure]] for one in some]
                for some in lists
            ]

        assert page.evaluate(drawn) == points("refused")
        page.locator("#advice-figure").select_option("delayed")
        page.wait_for_function(
            """() => document.querySelector('#advice-chart').layout.yaxis.title.text
                === 'Requests that waited'"""
        )
        assert page.evaluate(drawn) == points("delayed")
        rows = page.locator("#advice-rows tr").all_inner_texts()
        assert rows[0].split("\t")[:4] == ["measured", "80", "17\xa0%", "20"]
        assert rows[1].startswith("replayed as it was")
        sentences = [
            one["text"] for one in told["picked"] if one["settings"] != told["own"]["settings"]
        ]
        assert sentences
        assert [row.split("\t")[-1] for row in rows[2:]] == sentences
        assert page.locator("#advice-notes li").all_inner_texts() == told["notes"]
        assert watched.trouble == []
        context.close()
    finally:
        process.terminate()
        process.communicate(timeout=10)
