"""The gate, and the comparison, after real runs: exit statuses, and counts to the last request."""

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

        def load(self, url: str, run_time: str = "5s") -> dict:
            """A run of some seconds; what Locust itself says of it."""
            summary = tmp_path / "summary.json"
            ran = start(
                *("-m", "locust", "-f", "loadgen", "--headless", "--users", "4"),
                *("--spawn-rate", "4", "--run-time", run_time, "--stop-timeout", "10"),
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

        def compare(self, *runs: str) -> tuple[int, dict]:
            """The exit status, and the result as JSON; an empty one if there is none."""
            path = tmp_path / "compare.json"
            path.write_text("{}")
            ran = start(
                *("-m", "dashboard", "compare", *runs, "--store", self.store),
                *("--json", str(path)),
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


def test_a_server_that_became_slower_is_found_by_two_runs(watched, start, http):
    runs = []
    for work_s in ("0.02", "0.03"):
        slots = start(SERVER, "4", work_s, "0")
        port = http.until(slots.output, within_s=10, what="the server's port").strip()
        runs.append(watched.load(f"http://127.0.0.1:{port}", "16s"))
    status, told = watched.compare()
    assert (status, told["outcome"], told["measurement_problems"]) == (1, "worse", [])
    assert [told[one]["run"] for one in ("base", "run")] == [run["run"] for run in runs]
    rows = {(row["figure"], row["routing"]): row for row in told["rows"]}
    for routing in ("sticky", "non_sticky"):
        p50 = rows["p50", routing]
        assert (p50["verdict"], p50["sure"]) == ("worse", True)
        assert 0.2 < p50["change"] < 0.7
        assert rows["share_503", routing]["verdict"] == "no difference shown"
    counted = [run["totals"]["request_duration"]["count"] for run in runs]
    for side, count in zip(("before", "after"), counted, strict=True):
        samples = sum(
            rows["p50", routing][f"{side}_samples"] for routing in ("sticky", "non_sticky")
        )
        assert samples == count

    assert watched.compare(runs[1]["run"], runs[1]["run"])[0] == 0
    assert watched.compare("previous", runs[0]["run"]) == (2, {})
