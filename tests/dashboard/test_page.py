"""The page in a real browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import FakeTarget
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


def api(url: str, path: str) -> Any:
    with urllib.request.urlopen(url + path, timeout=10) as answer:
        return json.load(answer)


def test_the_page_shows_what_the_interface_tells_and_stays_live(
    browser: Browser, dashboard: tuple[str, list[str]], fake_target: FakeTarget
) -> None:
    url, _ = dashboard
    traffic = Traffic(fake_target)
    try:
        context = browser.new_context(viewport={"width": 1280, "height": 1400})
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
        page.wait_for_function(f"before => ({newest})() >= before + 3000", arg=before)
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
        page = browser.new_context().new_page()
        page.goto(f"{url}/")
        page.get_by_text("Live", exact=True).wait_for()
        process.terminate()
        process.communicate(timeout=10)
        page.get_by_text("Reconnecting").wait_for()
        _, process = launched([*command, "--port", url.rpartition(":")[2]])
        page.get_by_text("Live", exact=True).wait_for()
        page.context.close()
    finally:
        process.terminate()
        process.communicate(timeout=10)


def test_on_a_phone_in_the_dark_with_nothing_to_show_it_says_what_to_do(
    browser: Browser, dashboard: tuple[str, list[str]], fake_target: FakeTarget
) -> None:
    url, _ = dashboard
    hostile = '<img src=x onerror="document.title=1">'
    fake_target.answer = lambda: f"loadgen_users{{region='{hostile}'}} 1\n".encode()
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
