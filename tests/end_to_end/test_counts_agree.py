"""The same requests, counted by five parties that share no code: all the counts are equal."""

import csv
import json
import time
from collections import Counter
from itertools import pairwise

import pytest

pytestmark = pytest.mark.end_to_end

REGIONS = ("us-east", "eu-west")


@pytest.mark.parametrize("processes", [None, 2])
def test_counts_agree_between_locust_metrics_dashboard_edge_and_containers(
    start, free_ports, http, tmp_path, processes
) -> None:
    admin, first, _, web, metrics, board, master = free_ports(7)
    edge_url, board_url = f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{board}"
    metrics_url, web_url = f"http://127.0.0.1:{metrics}/metrics", f"http://127.0.0.1:{web}"
    summary = tmp_path / "summary.json"
    began = time.time()
    start(
        *("-m", "flash.edge", "--region", REGIONS[0], "--region", REGIONS[1]),
        *("--admin-port", str(admin), "--first-port", str(first), "--boot-delay", "1"),
        *("--scaledown-window", "600"),
    )
    http.until(
        lambda: http.get(f"{edge_url}/healthz").status == 200, within_s=30, what="the edge answers"
    )
    dashboard = start(
        *("-m", "dashboard", "--port", str(board), "--store", str(tmp_path / "store.sqlite")),
        *("--scrape", metrics_url, "--flash-edge", edge_url),
    )
    http.until(
        lambda: http.get(f"{board_url}/healthz").status == 200,
        within_s=30,
        what="the dashboard answers",
    )
    several = ("--processes", str(processes), "--master-bind-port", str(master))
    locust = start(
        *("-m", "locust", "-f", "loadgen", "--flash-edge", edge_url),
        *("--web-port", str(web), "--metrics-port", str(metrics), "--autostart"),
        *("--users", "16", "--spawn-rate", "8", "--run-time", "8s", "--stop-timeout", "20"),
        *("--think-time", "0.1", "--generate", "0.2"),
        *("--summary-json", str(summary), "--csv", str(tmp_path / "locust")),
        *((*several, "--master-port", str(master)) if processes else ()),
    )
    stats = http.until(
        lambda: stopped(http.get(f"{web_url}/stats/requests").json()),
        within_s=60,
        what="Locust's run is over",
    )
    by_locust = next(row for row in stats["stats"] if row["name"] == "Aggregated")
    assert by_locust["num_requests"] > 100, locust.output()
    assert by_locust["num_failures"] == 0, locust.output()

    # The load generator's own metrics.
    answered = http.total(metrics_url, "loadgen_requests_total", outcome="ok")
    refused = http.total(metrics_url, "loadgen_requests_total", outcome="cold_start")
    assert answered == by_locust["num_requests"]
    assert refused > 0
    assert answered + refused == http.total(metrics_url, "loadgen_requests_total")
    assert http.total(metrics_url, "loadgen_request_duration_seconds_count") == answered
    assert http.total(metrics_url, "loadgen_response_time_seconds_count") == answered

    # The summary, which is of the only run that there was.
    http.until(summary.exists, within_s=10, what="the run's summary")
    told = json.loads(summary.read_text())
    assert told["totals"]["requests"] == told["totals"]["outcomes"]["ok"] == answered
    assert told["totals"]["outcomes"]["cold_start"] == refused
    streamed = next(row for row in stats["stats"] if row["name"] == "/generate")
    assert told["totals"]["time_to_first_token"]["count"] == streamed["num_requests"]
    samples = http.samples(metrics_url)
    bounds = [*map(repr, told["bucket_bounds"]), "+Inf"]
    for row in told["rows"]:
        labels = {"region": row["region"], "routing": row["routing"]}
        for name in ("request_duration", "response_time", "time_to_first_token"):
            upto = [
                samples.get((f"loadgen_{name}_seconds_bucket", frozenset(of.items())), 0)
                for of in ({**labels, "le": le} for le in bounds)
            ]
            assert row[name]["buckets"] == [b - a for a, b in pairwise([0, *upto])]

    # The edge, per region.
    for region in REGIONS:
        for code in ("200", "503"):
            assert http.total(
                f"{edge_url}/metrics", "edge_requests_total", region=region, code=code
            ) == http.total(metrics_url, "loadgen_responses_total", region=region, code=code)

    # The containers themselves.
    containers = http.get(f"{edge_url}/containers").json()
    served = sum(
        http.total(
            f"http://{container['host']}:{container['port']}/metrics",
            "target_requests_total",
            route=route,
        )
        for container in containers
        for route in ("/", "/generate")
    )
    assert served == answered

    # The dashboard, once it has scraped the end of the run.
    def total(panel: str, **labels: str) -> float:
        query = f"start={began - 5:.0f}&end={time.time() + 5:.0f}&step=1"
        data = http.get(f"{board_url}/api/panels/{panel}/data?{query}").json()
        return sum(
            value * data["step"]
            for line in data["lines"]
            if labels.items() <= line["labels"].items()
            for _, value in line["points"]
            if value is not None
        )

    http.until(
        lambda: (
            round(total("throughput", outcome="ok"), 6) == answered
            and round(total("responses_503"), 6) == refused
        ),
        within_s=10,
        what=f"the dashboard counts {answered} and {refused}: {dashboard.output()[-2000:]}",
    )
    for region in REGIONS:
        assert round(total("throughput", outcome="ok", region=region), 6) == http.total(
            metrics_url, "loadgen_requests_total", region=region, outcome="ok"
        )
    # How many containers there are, where and in which state.
    expected = Counter((one["region"], one["state"]) for one in containers)
    assert expected["us-east", "live"] == expected.total() > 0

    def counted() -> dict[tuple[str, str], float]:
        query = f"start={time.time() - 5:.0f}&step=1"
        lines = http.get(f"{board_url}/api/panels/containers/data?{query}").json()["lines"]
        told = {
            (line["labels"].get("region"), line["labels"]["state"]): values[-1]
            for line in lines
            if (values := [value for _, value in line["points"] if value is not None])
        }
        assert told.keys() == {("us-east", state) for state in ("starting", "live", "draining")}
        return {of: number for of, number in told.items() if number}

    assert counted() == expected
    assert http.total(f"{board_url}/metrics", "dashboard_containers") == expected.total()
    assert locust.terminate(within_s=20) == 0
    with (tmp_path / "locust_stats.csv").open(newline="") as file:
        by_file = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert by_file["Aggregated"] == answered
    assert json.loads(summary.read_text()) == told


def stopped(stats: dict) -> dict | None:
    return stats if stats["state"] == "stopped" else None
