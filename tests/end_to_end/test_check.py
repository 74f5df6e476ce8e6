"""The gate after real runs: its exit statuses, and the counts of a run to the last request."""

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

SERVER = str(Path(__file__).with_name("slots_server.py"))


@pytest.fixture
def watched(start, free_ports, http, tmp_path):
    """A dashboard that scrapes the load generator; with functions to run one, and to check it."""

    class Watched:
        def __init__(self) -> None:
            self.metrics, self.board = free_ports(2)
            self.store = str(tmp_path / "store.sqlite")
            start(
                *("-m", "dashboard", "--port", str(self.board), "--store", self.store),
                *("--scrape", f"http://127.0.0.1:{self.metrics}/metrics"),
            )
            healthy = f"http://127.0.0.1:{self.board}/healthz"
            http.until(lambda: http.get(healthy).status == 200, within_s=20, what="the dashboard")

        def load(self, url: str) -> dict:
            """A run of some seconds; what Locust itself says of it."""
            summary = tmp_path / "summary.json"
            ran = start(
                *("-m", "locust", "-f", "loadgen", "--headless", "--users", "4"),
                *("--spawn-rate", "4", "--run-time", "5s", "--stop-timeout", "10"),
                *("--think-time", "0.05", "--metrics-port", str(self.metrics)),
                *("--flash-url", f"us-east={url}", "--summary-json", str(summary)),
            )
            ran.wait(within_s=60)
            assert "Traceback" not in ran.output()
            return json.loads(summary.read_text())

        def check(self, *slos: str, run: str = "latest") -> tuple[int, dict]:
            """The exit status, and the result as JSON."""
            path = tmp_path / "check.json"
            objectives = [word for slo in slos for word in ("--slo", slo)]
            ran = start(
                *("-m", "dashboard", "check", run, "--store", self.store),
                *("--json", str(path), *objectives),
            )
            status = ran.wait(within_s=30)
            assert "Traceback" not in ran.output()
            return status, json.loads(path.read_text())

    return Watched()


def test_each_status_comes_of_a_real_run(watched, start, http, free_ports):
    slots = start(SERVER, "4", "0.02", "0")
    port = http.until(slots.output, within_s=10, what="the server's port").strip()
    summary = watched.load(f"http://127.0.0.1:{port}")
    counted = summary["totals"]["requests"]
    assert counted > 100

    status, good = watched.check("p99 < 1s", "p50 >= 20ms", "errors <= 0%", "requests > 100")
    assert status == 0, good
    p99, p50, errors, requests = good["objectives"]
    # Nothing of the run's last second is missing, and no other time's is there.
    assert requests["measured"] == errors["samples"] == p99["samples"] == counted
    assert good["run"] == summary["run"]
    assert p50["measured"] == pytest.approx(0.021, rel=0.3)
    assert p50["region"] == "us-east"

    status, missed = watched.check("p99 < 5ms", "errors <= 0%")
    assert (status, missed["verdict"]) == (1, "missed")
    assert [one["verdict"] for one in missed["objectives"]] == ["missed", "met"]

    status, unusable = watched.check("p99(mars) < 1s")
    assert (status, unusable["verdict"]) == (2, "unusable")

    admin, first = free_ports(2)
    start(
        *("-m", "flash.edge", "--region", "us-east", "--admin-port", str(admin)),
        *("--first-port", str(first), "--no-rtt"),
        FLASH_EDGE_PROXY_TOKEN="wk-one:ws-two",
    )
    listening = f"http://127.0.0.1:{admin}/healthz"
    http.until(lambda: http.get(listening).status == 200, within_s=20, what="the edge")
    refused = watched.load(f"http://127.0.0.1:{first}")["totals"]["requests"]
    status, bad = watched.check("p99 < 1s", "requests > 0")
    assert (status, bad["verdict"]) == (3, "bad_measurement")
    (problem,) = bad["measurement_problems"]
    assert problem.startswith(f"{refused} responses were 401")
    assert bad["objectives"][1]["measured"] == refused

    # The first run is still what it was.
    assert watched.check("p99 < 1s", run=good["run"])[0] == 0
