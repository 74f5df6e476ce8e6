"""Runs of a second, without users, and one after the other: nothing is left of any of them."""

import json
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.end_to_end

GREENLETS = str(Path(__file__).with_name("count_greenlets.py"))
WARM = 5  # so many runs until everything has been made that is made once


@pytest.mark.parametrize(
    ("processes", "runs"),
    [
        (2, 12),
        pytest.param(2, 20, marks=pytest.mark.long),
        pytest.param(None, 20, marks=pytest.mark.long),
    ],
)
def test_a_run_that_is_started_again_and_again_leaves_nothing_behind(
    start, http, free_ports, counting_server, processes, runs
) -> None:
    web, metrics, master = free_ports(3)
    page, metrics_url = f"http://127.0.0.1:{web}", f"http://127.0.0.1:{metrics}/metrics"
    url = counting_server()
    several = ("--processes", str(processes), "--master-bind-port", str(master))
    locust = start(
        *("-m", "locust", "-f", f"loadgen,{GREENLETS}", "--flash-url", f"us-east={url}"),
        *("--web-port", str(web), "--metrics-port", str(metrics), "--think-time", "0.05"),
        *((*several, "--master-port", str(master)) if processes else ()),
    )

    def stats() -> dict:
        return http.get(f"{page}/stats/requests").json()

    def idle() -> bool:
        told = stats()
        ready = [one for one in told.get("workers", ()) if one["state"] == "ready"]
        return told["state"] in ("ready", "stopped") and len(ready) == (processes or 0)

    def served() -> int:
        return int(http.get(f"{url}/served").body)

    def run(number: int) -> None:
        users = (4, 0, 8, 300)[number % 4]
        before = served()
        answer = http.submit(f"{page}/swarm", user_count=users, spawn_rate=2000).json()
        assert answer["success"], answer
        if users < 300:  # the others are stopped while their users are being spawned
            http.until(
                lambda: stats()["state"] == "running" and (not users or served() > before),
                within_s=20,
                what=f"run {number} goes on: {locust.output()[-2000:]}",
            )
        http.submit(f"{page}/stop")
        http.until(idle, within_s=20, what=f"run {number} is over: {locust.output()[-2000:]}")

    http.until(idle, within_s=30, what=f"Locust is ready: {locust.output()[-2000:]}")

    def family() -> list[psutil.Process]:
        parent = psutil.Process(locust.process.pid)
        return [parent, *sorted(parent.children(), key=lambda child: child.pid)]

    def files() -> list[int]:
        return [one.num_fds() for one in family()]

    def memory() -> list[int]:
        return [one.memory_info().rss for one in family()]

    def greenlets() -> int:
        return int(http.get(f"{page}/greenlets").body)

    def series() -> int:
        return sum("run" not in dict(labels) for _, labels in http.samples(metrics_url))

    for number in range(WARM):
        run(number)
    before = files(), memory(), greenlets(), series()
    for number in range(WARM, runs):
        run(number)
    # A connection to the page may still be closing, one that leaks stays.
    http.until(
        lambda: all(now <= then for now, then in zip(files(), before[0], strict=True)),
        within_s=10,
        what=f"no more files are open than {before[0]}",
    )
    grown = [now / then for now, then in zip(memory(), before[1], strict=True)]
    assert max(grown) < 1.03
    assert greenlets() <= before[2]
    after = served()
    assert series() == before[3]
    for name in ("start_timestamp_seconds", "end_timestamp_seconds", "info"):
        told = [v for (n, _), v in http.samples(metrics_url).items() if n == f"loadgen_run_{name}"]
        assert len(told) == runs
        assert all(told)
    assert served() == after  # nobody is left who sends
    assert http.total(metrics_url, "loadgen_users") == 0
    assert http.total(metrics_url, "loadgen_in_flight") == 0
    assert "Traceback" not in locust.output()
    assert locust.terminate(within_s=20) == 0, locust.output()[-2000:]


@pytest.mark.parametrize("users", ["0", "1"])
def test_a_run_of_a_second_is_told_as_it_was(
    start, http, free_ports, counting_server, tmp_path, users
) -> None:
    url, summary = counting_server(), tmp_path / "summary.json"
    locust = start(
        *("-m", "locust", "-f", "loadgen", "--headless", "--flash-url", f"us-east={url}"),
        *("--metrics-port", str(free_ports(1)[0]), "-u", users, "-t", "1s"),
        *("--think-time", "0.05", "--stop-timeout", "5", "--summary-json", str(summary)),
    )
    assert locust.wait(within_s=30) == 0, locust.output()
    told = json.loads(summary.read_text())
    assert 0.9 < told["seconds"] < 5
    assert told["ended"] - told["started"] == pytest.approx(told["seconds"], abs=1e-3)
    totals = told["totals"]
    assert totals["requests"] == totals["outcomes"]["ok"] == int(http.get(f"{url}/served").body)
    if users == "0":
        assert totals["requests"] == 0
        # Nothing was measured: that is no zero.
        assert set(totals["request_duration"]["quantiles"].values()) == {None}
        assert totals["affinity"] is None
    else:
        assert totals["requests"] > 3
