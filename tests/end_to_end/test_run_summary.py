"""The summary of a run: what it says is what servers, Locust and the metrics say."""

import csv
import json
from pathlib import Path

import pytest

from flash.buckets import quantile

pytestmark = pytest.mark.end_to_end

HERE = Path(__file__).parent
CHAT = "docs/chat_completions.py"


@pytest.fixture
def server(start, http):
    """Start one of the servers beside this file, with arguments; its address."""

    def run(script: str, *arguments: object) -> str:
        running = start(str(HERE / script), *map(str, arguments))
        port = int(http.until(running.output, within_s=10, what="the server's port"))
        return f"http://127.0.0.1:{port}"

    return run


def master_options(port: int, workers: int) -> tuple[str, ...]:
    return (
        *("--master", "--expect-workers", str(workers), "--master-bind-host", "127.0.0.1"),
        *("--master-bind-port", str(port)),
    )


def by_locust(prefix: Path) -> dict[str, int]:
    """Requests by name in the file that Locust wrote."""
    with Path(f"{prefix}_stats.csv").open(newline="") as file:
        return {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}


@pytest.mark.parametrize("workers", [0, 2])
def test_times_of_tokens_are_those_of_the_server(
    start, server, http, free_ports, tmp_path, workers
):
    """The locustfile of the guide, as it is, against a server that notes what it sends."""
    url = server("chat_server.py", 0.12, 0.03, 5)
    metrics, master = free_ports(2)
    path = tmp_path / "summary.json"
    target = ("--flash-url", f"us-east={url}", "--flash-url", f"eu-west={url}")
    ran = start(
        *("-m", "locust", "-f", CHAT, "--headless", "--only-summary", *target),
        *("--users", "12", "--spawn-rate", "12", "--run-time", "6s", "--stop-timeout", "10"),
        *("--metrics-port", str(metrics), "--summary-json", str(path)),
        *("--csv", str(tmp_path / "locust")),
        *(master_options(master, workers) if workers else ()),
    )
    working = [
        start("-m", "locust", "-f", CHAT, "--worker", "--master-port", str(master), *target)
        for _ in range(workers)
    ]
    assert ran.wait(within_s=60) == 0, ran.output()
    for worker in working:
        assert worker.wait(within_s=20) == 0, worker.output()
    sent = http.get(f"{url}/sent").json()
    told = json.loads(path.read_text())
    totals = told["totals"]
    answers = len(sent["first"])
    assert answers >= 12
    assert len(sent["between"]) == 4 * answers
    assert totals["requests"] == totals["outcomes"]["ok"] == answers
    assert by_locust(tmp_path / "locust") == {"chat": answers, "Aggregated": answers}

    for name, server_s in (
        ("time_to_first_token", sent["first"]),
        ("time_between_tokens", sent["between"]),
    ):
        seen = totals[name]
        assert seen["count"] == sum(seen["buckets"]) == len(server_s)
        mean_s = sum(server_s) / len(server_s)
        assert seen["sum"] / seen["count"] == pytest.approx(mean_s, rel=0.1), name
        median_s = sorted(server_s)[len(server_s) // 2]
        assert quantile(seen["buckets"], 0.5) == pytest.approx(median_s, rel=0.15), name
    # The role alone is no token: it came long before the first one.
    assert totals["time_to_first_byte"]["quantiles"]["0.5"] < 0.06

    assert {row["region"] for row in told["rows"]} == {"us-east", "eu-west"}
    assert sum(row["requests"] for row in told["rows"]) == answers
    assert told["options"]["users"] == 12
    assert told["workers"] == ({"seen": workers, "lost": 0} if workers else None)
    processes = [one["process"] for one in told["generator"]["cpu"]]
    assert processes == (["master", "worker-0", "worker-1"] if workers else ["local"])
    assert all(0 < one["mean"] <= one["highest"] < 1.5 for one in told["generator"]["cpu"])
    output = ran.output()
    assert f"run {told['run']}" in output
    assert told["generator"]["verdict"] in output
    assert f"all {answers} {5 * answers} " in " ".join(output.split())


def test_runs_from_the_web_page_are_told_each_by_itself(start, server, http, free_ports, tmp_path):
    url = server("stalling_server.py", 0.0, 3600.0)
    web, metrics = free_ports(2)
    web_url, metrics_url = f"http://127.0.0.1:{web}", f"http://127.0.0.1:{metrics}/metrics"
    ran = start(
        *("-m", "locust", "-f", "loadgen", "--web-port", str(web), "--stop-timeout", "5"),
        *("--metrics-port", str(metrics), "--flash-url", f"us-east={url}"),
        *("--think-time", "0.02", "--summary-json", str(tmp_path / "{run}.json")),
    )
    http.until(lambda: http.get(web_url).status == 200, within_s=30, what="Locust's page")
    told: list[dict] = []
    read: set[Path] = set()
    for users in (4, 2):
        before = http.total(metrics_url, "loadgen_requests_total")
        begun = http.submit(f"{web_url}/swarm", user_count=users, spawn_rate=10)
        assert begun.json()["success"] is True
        http.until(
            lambda before=before: http.total(metrics_url, "loadgen_requests_total") > before + 50,
            within_s=30,
            what="requests of the run",
        )
        http.submit(f"{web_url}/stop")
        (file,) = http.until(
            lambda: set(tmp_path.glob("2*.json")) - read, within_s=20, what="the run's summary"
        )
        read.add(file)
        told.append(one := json.loads(file.read_text()))
        assert file.name == f"{one['run']}.json"
        assert one["options"]["users"] == users
        # Locust's page may be told the same figures again for a while.
        http.until(
            lambda one=one: by_page(http, web_url) == one["totals"]["requests"],
            within_s=10,
            what="the requests on Locust's page",
        )
        tab = http.get(f"{web_url}/stats/requests").json()["extended_stats"][0]["data"]
        assert sum(row["requests"] for row in tab) == one["totals"]["requests"]
    assert http.total(metrics_url, "loadgen_requests_total") == sum(
        one["totals"]["requests"] for one in told
    )
    for one in told:
        assert http.total(metrics_url, "loadgen_run_info", run=one["run"]) == 1
        assert one["totals"]["rate"] == one["totals"]["requests"] / one["seconds"]
        assert ran.output().count(f"run {one['run']}, ") == 1
    assert ran.terminate(within_s=20) == 0
    assert len(list(tmp_path.glob("*.json"))) == 2


def by_page(http, web_url: str) -> int:
    stats = http.get(f"{web_url}/stats/requests").json()["stats"]
    return next(row["num_requests"] for row in stats if row["name"] == "Aggregated")


def test_the_open_model_tells_what_became_of_its_arrivals_and_that_users_were_few(
    start, server, free_ports
):
    """On standard output, as the only thing there beside Locust's log."""
    url = server("stalling_server.py", 3600.0, 0.01)
    ran = start(
        *("-m", "locust", "-f", "loadgen", "--headless", "--only-summary", "NonStickyUser"),
        *("--flash-url", f"us-east={url}", "--metrics-port", str(free_ports(1)[0])),
        *("--arrival-rate", "0:100,1:100,1:0", "-u", "2", "-t", "3s", "--summary-json", "-"),
    )
    ran.wait(within_s=30)
    (line,) = (line for line in ran.output().splitlines() if line.startswith("{"))
    told = json.loads(line)
    arrivals = told["arrivals"]
    assert (arrivals["intended"], arrivals["started"], arrivals["dropped"]) == (100, 2, 98)
    assert arrivals["waited"] == 98
    assert "users" in told["generator"]["limits"]
    assert told["options"]["arrival_rate"] == "0:100,1:100,1:0"
    assert "98 of 100 arrivals waited for a free user, so have more users" in ran.output()


def test_a_worker_that_is_lost_makes_the_generator_the_limit(
    start, server, http, free_ports, tmp_path
):
    url = server("stalling_server.py", 0.0, 3600.0)
    metrics, master = free_ports(2)
    path = tmp_path / "summary.json"
    ran = start(
        *("-m", "locust", "-f", "loadgen", "--headless", "--only-summary"),
        *("--flash-url", f"us-east={url}", "--metrics-port", str(metrics)),
        *("--users", "4", "--spawn-rate", "10", "--think-time", "0.05", "--run-time", "9s"),
        *("--summary-json", str(path), *master_options(master, 2)),
    )
    work = ("-m", "locust", "-f", "loadgen", "--worker", "--master-port", str(master))
    workers = [start(*work, "--flash-url", f"us-east={url}") for _ in range(2)]
    page = f"http://127.0.0.1:{metrics}/metrics"
    http.until(
        lambda: http.total(page, "loadgen_requests_total") > 20, within_s=30, what="the load"
    )
    workers[0].process.kill()
    assert ran.wait(within_s=60) == 0, ran.output()
    told = json.loads(path.read_text())
    assert told["workers"] == {"seen": 2, "lost": 1}
    assert "workers" in told["generator"]["limits"]
    assert "1 worker was lost during the run" in ran.output()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--summary-json", "no/such/folder/summary.json"), "No such file or directory"),
        (("--summary-json", "docs"), "it is no regular file"),
        (("--summary-json", "-", "--json"), "--summary-json - and --json both write to standard"),
    ],
)
def test_a_summary_that_could_not_be_written_is_refused_before_the_load(start, arguments, said):
    ran = start(
        *("-m", "locust", "-f", "loadgen", "--headless", "--host", "http://127.0.0.1:1"),
        *("--metrics-port", "0", *arguments),
    )
    assert ran.wait(within_s=30) == 2
    assert said in ran.output()
    assert "Traceback" not in ran.output()


def test_a_summary_that_cannot_be_written_any_more_is_not_lost(start, server, http, tmp_path):
    url = server("stalling_server.py", 0.0, 3600.0)
    folder = tmp_path / "folder"
    folder.mkdir()
    ran = start(
        *("-m", "locust", "-f", "loadgen", "--headless", "--only-summary", "--metrics-port", "0"),
        *("--flash-url", f"us-east={url}", "--think-time", "0.05", "--run-time", "2s"),
        *("--summary-json", str(folder / "summary.json")),
    )
    http.until(lambda: int(http.get(f"{url}/served").body), within_s=20, what="the load")
    folder.rmdir()
    assert ran.wait(within_s=30) == 2, ran.output()
    (line,) = (line for line in ran.output().splitlines() if line.startswith("{"))
    assert json.loads(line)["totals"]["requests"] > 0
    assert "No such file or directory" in ran.output()
    assert "Traceback" not in ran.output()
