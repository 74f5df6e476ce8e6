"""The dashboard as a process: started, asked, killed, started again."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

if TYPE_CHECKING:
    from conftest import Dashboard, FakeTarget, Until

REQUESTS = "loadgen_requests_total"
DURATIONS = "loadgen_request_duration_seconds"
LABELS = {"region": "us-east", "routing": "sticky"}


@pytest.mark.end_to_end
@pytest.mark.parametrize("kills", [3, pytest.param(40, marks=pytest.mark.long)])
def test_killed_again_and_again_under_load_it_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path,
    fake_target: FakeTarget,
    start: Callable[..., Dashboard],
    until: Until,
    kills: int,
) -> None:
    store, began = tmp_path / "store.sqlite", time.time() - 5
    rng = random.Random(kills)
    counted = observed = 0
    stop = threading.Event()

    def traffic() -> None:
        nonlocal counted, observed
        while not stop.wait(0.002):
            with fake_target.metrics.lock:
                fake_target.metrics.count(REQUESTS, 3, outcome="ok", **LABELS)
                fake_target.metrics.observe(DURATIONS, 0.01, 0.2, **LABELS)
                counted += 3
                observed += 2

    fake_target.metrics.gauge("process_start_time_seconds", time.time() + 1)
    thread = threading.Thread(target=traffic)
    dashboard = start(store, "--scrape", fake_target.url)
    thread.start()
    try:
        for _ in range(kills):
            # Anywhere in a second: while it waits, scrapes, writes, or rolls up.
            time.sleep(rng.uniform(0.3, 1.8))
            shown = dashboard.total("throughput", began), dashboard.total("heatmap", began)
            code, _ = dashboard.stop(signal.SIGKILL)
            assert code == -signal.SIGKILL
            dashboard = start(store, "--scrape", fake_target.url)
            assert dashboard.total("throughput", began) >= shown[0]
            assert dashboard.total("heatmap", began) >= shown[1]
        time.sleep(1.2)
    finally:
        stop.set()
        thread.join()
    until(lambda: dashboard.total("throughput", began) >= counted)
    assert dashboard.total("throughput", began) == counted
    assert dashboard.total("heatmap", began) == observed
    assert dashboard.stop()[0] == 0
    connection = sqlite3.connect(store)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.end_to_end
def test_a_signal_stops_it_promptly_while_a_browser_watches(
    tmp_path: Path, fake_target: FakeTarget, start: Callable[..., Dashboard]
) -> None:
    fake_target.metrics.count(REQUESTS, 1, outcome="ok", **LABELS)
    dashboard = start(tmp_path / "store.sqlite", "--scrape", fake_target.url)
    with urllib.request.urlopen(f"{dashboard.url}/api/live", timeout=10) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        assert stream.readline() == b"retry: 1000\n"
        names = set()
        while b"event: points\n" not in names:
            names.add(stream.readline())
        began = time.monotonic()
        code, errors = dashboard.stop()
        assert time.monotonic() - began < 2.5
    assert (code, errors) == (0, "")


@pytest.mark.end_to_end
def test_what_was_stored_is_there_after_a_restart(
    tmp_path: Path, fake_target: FakeTarget, start: Callable[..., Dashboard], until: Until
) -> None:
    began = time.time() - 2
    fake_target.metrics.count(REQUESTS, 0, outcome="ok", **LABELS)
    first = start(tmp_path / "store.sqlite", "--scrape", fake_target.url)
    until(lambda: first.get("/api/targets")[0]["up"])
    fake_target.metrics.count(REQUESTS, 41, outcome="ok", **LABELS)
    until(lambda: first.total("throughput", began) == 41)
    first.stop()
    fake_target.close()
    second = start(tmp_path / "store.sqlite", "--scrape", fake_target.url)
    assert second.total("throughput", began) == 41


@pytest.mark.end_to_end
@pytest.mark.xdist_group("prometheus")
def test_over_a_prometheus_it_shows_what_that_scrapes_and_scrapes_nothing_itself(
    tmp_path: Path,
    fake_target: FakeTarget,
    start: Callable[..., Dashboard],
    start_prometheus: Callable[..., str],
    until: Until,
) -> None:
    began = time.time() - 5
    # Near zero Prometheus would extrapolate less.
    fake_target.metrics.count(REQUESTS, 1000, outcome="ok", **LABELS)
    url = start_prometheus("{}", "--web.enable-lifecycle")
    dashboard = start(tmp_path / "store.sqlite", "--scrape", fake_target.url, "--prometheus", url)
    # It finds what to scrape where we tell it.
    discovery = {"url": f"{dashboard.url}/sd/targets", "refresh_interval": "1s"}
    job = {"job_name": "all", "scrape_interval": "1s", "http_sd_configs": [discovery]}
    (tmp_path / "prometheus.yml").write_text(json.dumps({"scrape_configs": [job]}))
    urllib.request.urlopen(f"{url}/-/reload", data=b"", timeout=10).close()
    until(lambda: dashboard.get("/api/targets")[0]["up"], 20)
    (target,) = dashboard.get("/api/targets")
    assert (target["url"], target["error"], target["series"]) == (fake_target.url, None, None)
    assert 0 < target["duration_s"] < 1
    until(lambda: dashboard.get("/api/labels")["region"] == ["us-east"])
    fake_target.metrics.count(REQUESTS, 41, outcome="ok", **LABELS)
    # How many it comes to hangs on how punctual its scrapes are.
    until(lambda: dashboard.total("throughput", began) > 10)
    with urllib.request.urlopen(f"{dashboard.url}/api/live?panel=throughput", timeout=10) as stream:
        fake_target.metrics.count(REQUESTS, 17, outcome="ok", **LABELS)
        values = {0.0}
        while max(values) < 4:
            line = stream.readline()
            if line.startswith(b"data: ") and b'"panels"' in line:
                for _, points in json.loads(line[6:])["panels"]["throughput"]["lines"]:
                    values.update(point or 0.0 for point in points)
    # Seconds that are over, so that nothing is added between the two questions.
    start_s, end_s = int(began), int(time.time()) + 1
    until(lambda: time.time() > end_s + 1)
    path = f"/api/panels/throughput/data?start={start_s}&end={end_s}&step=1"
    (line_of_ours,) = dashboard.get(path)["lines"]
    query = quote(f"sum(rate({REQUESTS}[1999ms]))")
    times = f"start={start_s + 0.999:.3f}&end={end_s - 0.001:.3f}&step=1"
    with urllib.request.urlopen(f"{url}/api/v1/query_range?query={query}&{times}") as answer:
        (series,) = json.load(answer)["data"]["result"]
    told = {int(t): pytest.approx(float(value)) for t, value in series["values"]}
    assert {t: value for t, value in line_of_ours["points"] if value is not None} == told
    note = json.dumps({"text": "look here"}).encode()
    request = urllib.request.Request(
        f"{dashboard.url}/api/events", note, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=10).close()
    assert [event["text"] for event in dashboard.get("/api/events")] == ["look here"]
    assert fake_target.visitors == {"Prometheus"}
    assert dashboard.stop() == (0, "")


@pytest.mark.end_to_end
def test_a_prometheus_that_is_away_is_told_and_asked_again(
    tmp_path: Path, start: Callable[..., Dashboard]
) -> None:
    # Taken, so that nobody else is there, but not listening.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        dashboard = start(tmp_path / "store.sqlite", "--prometheus", url)
        with pytest.raises(urllib.error.HTTPError) as refused:
            dashboard.get("/api/panels/latency/data")
        with refused.value as answer:
            assert answer.code == 502
            assert f"Prometheus at {url} cannot be reached" in json.load(answer)["error"]["message"]
        told = ""
        with urllib.request.urlopen(f"{dashboard.url}/api/live", timeout=10) as stream:
            while not told:
                line = stream.readline()
                if line.startswith(b"data: ") and b"platform_error" in line:
                    told = json.loads(line[6:])["platform_error"] or ""
        assert told.startswith(f"Prometheus at {url} cannot be reached")
        assert dashboard.get("/healthz") == {"status": "ok"}
        code, errors = dashboard.stop()
        assert code == 0
        assert "Traceback" not in errors


class PretendedPrometheus(BaseHTTPRequestHandler):
    """Scrapes one target, whose requests are 40 a second whenever they are asked for."""

    def do_GET(self) -> None:
        query = {k: v[0] for k, v in parse_qs(urlsplit(self.path).query).items()}
        told: object = {"version": "3.0.0"}
        if self.path.startswith("/api/v1/targets"):
            told = {"activeTargets": []}
        elif self.path.startswith("/api/v1/label/"):
            told = ["us-east"]
        elif self.path.startswith("/api/v1/query_range"):
            start, end, step = (float(query[name]) for name in ("start", "end", "step"))
            times = [start + n * step for n in range(int((end - start) / step) + 1)]
            rates = "rate(" in query["query"] and REQUESTS in query["query"]
            line = {"metric": LABELS | {"outcome": "ok"}, "values": [[t, "40"] for t in times]}
            told = {"resultType": "matrix", "result": [line] if rates else []}
        body = json.dumps({"status": "success", "data": told}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def pretended_prometheus(port: int) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", port), PretendedPrometheus) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.end_to_end
@pytest.mark.parametrize("away_s", [3, pytest.param(60, marks=pytest.mark.long)])
def test_a_prometheus_that_goes_and_comes_back_is_told_and_shown_again_by_itself(
    tmp_path: Path, start: Callable[..., Dashboard], until: Until, away_s: int
) -> None:
    live: list[dict[str, Any]] = []

    def listen(url: str) -> None:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"{url}/api/live?panel=throughput", timeout=30) as stream,
        ):
            live.extend(json.loads(line[6:]) for line in stream if line.startswith(b"data: "))

    def points() -> list[dict[str, Any]]:
        return [message for message in live if message.get("panels", {}).get("throughput")]

    def trouble() -> str | None:
        told: str | None = [m for m in live if "platform_error" in m][-1]["platform_error"]
        return told

    with pretended_prometheus(0) as port:
        url = f"http://127.0.0.1:{port}"
        dashboard = start(tmp_path / "s.sqlite", "--prometheus", url)
        listener = threading.Thread(target=listen, args=(dashboard.url,))
        listener.start()
        until(lambda: len(points()) >= 3)
    until(lambda: trouble() is not None)
    seen = len(points())
    time.sleep(away_s)
    with pytest.raises(urllib.error.HTTPError) as refused:
        dashboard.get("/api/panels/throughput/data")
    with refused.value as answer:
        assert answer.code == 502
    assert f"{url} cannot be reached" in (trouble() or "")
    with pretended_prometheus(port):
        until(lambda: len(points()) >= seen + 3)
        until(lambda: trouble() is None)
        # The first points after the break reach back over it, and are no zeros.
        first = points()[seen]
        ((_, values),) = first["panels"]["throughput"]["lines"]
        assert set(values) == {40.0}
        assert first["end"] - first["start"] >= min(away_s, 60) - 1
        # So long it must work before that is told.
        until(lambda: len(points()) >= seen + 8, 15)
        code, told = dashboard.stop()
    listener.join()
    assert code == 0
    said = [re.sub(" failed: .*", " failed", line) for line in told.splitlines()]
    asking, reading = f"dashboard: asking {url}", "dashboard: reading live points"
    assert sorted(said[:2]) == [f"{asking} failed", f"{reading} failed"]
    assert sorted(said[2:]) == [f"{asking} works again", f"{reading} works again"]


@pytest.mark.end_to_end
def test_small_answers_do_not_wait_for_an_acknowledgement(
    tmp_path: Path, fake_target: FakeTarget, start: Callable[..., Dashboard]
) -> None:
    dashboard = start(tmp_path / "store.sqlite", "--scrape", fake_target.url)
    connection = http.client.HTTPConnection(dashboard.url.removeprefix("http://"), timeout=10)
    took = []
    for _ in range(30):
        began = time.perf_counter()
        connection.request("GET", "/api/panels/containers/data?start=1000&end=1100")
        assert json.load(connection.getresponse())["lines"] == []
        took.append(time.perf_counter() - began)
    connection.close()
    # An acknowledgement is delayed by 40 ms; every answer but the first few would be.
    assert statistics.median(took) < 0.035


def refusal(*arguments: str, **environ: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dashboard", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, **environ},
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_a_port_in_use_is_one_line_that_names_port_and_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = refusal("--port", port, "--store", str(tmp_path / "s.sqlite"))
    assert f"port {port} is in use" in told
    assert "--port" in told


def test_a_store_of_something_else_is_refused_with_status_2(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_text("something else, " * 300)
    assert "--store" in refusal("--port", "0", "--store", str(path))


def test_listening_for_all_without_a_token_is_refused_with_status_2(tmp_path: Path) -> None:
    told = refusal("--host", "0.0.0.0", "--port", "0", "--store", str(tmp_path / "s.sqlite"))
    assert "DASHBOARD_TOKEN" in told
