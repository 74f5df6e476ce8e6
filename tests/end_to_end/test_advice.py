"""What the replay says of a run's own settings against what the run met and cost, for real."""

import json
from typing import NamedTuple

import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(300)]

CLOSE = 0.15
RUN_S = 25


class Case(NamedTuple):
    """Options of the edge and of the load generator."""

    edge: str
    load: str


# With requests enough that chance makes little difference to how many are refused, and that how
# many containers there are does not hang on a single one.
CASES = {
    # Thirty users who find nobody there.
    "asleep": Case(
        "--boot-delay 2 --scaledown-window 60",
        "--users 30 --spawn-rate 15 --think-time 1",
    ),
    # It wakes three times, and goes when there has been nothing for a second.
    "naps": Case(
        "--boot-delay 0.7 --scaledown-window 1 --max-containers 1",
        "--users 60 --spawn-rate 60 "
        "--arrival-rate 0:16,2:16,2:0,8:0,8:16,10:16,10:0,16:0,16:16,18:16,18:0",
    ),
    # More is wanted as the rate rises, and less as it falls; one is spare.
    "waves": Case(
        "--boot-delay 1 --scaledown-window 2 --target-concurrency 4 --buffer-containers 1",
        "--users 60 --spawn-rate 60 --arrival-rate 0:14,10:24,18:4 --path /work?sleep_ms=300",
    ),
    # Never asleep, and as many as the concurrency wants.
    "warm": Case(
        "--boot-delay 0.5 --min-containers 1 --scaledown-window 3 --target-concurrency 3",
        "--users 16 --spawn-rate 2 --think-time 0.5 --path /work?sleep_ms=500",
    ),
    # A crowd comes twice; in between there is nobody, for longer than the window.
    "crowds": Case(
        "--boot-delay 1 --scaledown-window 2 --max-containers 2 --target-concurrency 3",
        "--users 60 --spawn-rate 60 --arrival-rate 0:20,5:20,5:0,14:0,14:20,18:20,18:0 "
        "--path /work?sleep_ms=200",
    ),
    # Half of the users are far away, and only their requests are in flight for so long that a
    # second container is wanted.
    "afar": Case(
        "--region us-east --region ap-south --boot-delay 1.5 --scaledown-window 60 "
        "--target-concurrency 1 --max-containers 2 --rtt us-east=0.002 --rtt ap-south=0.2",
        "--users 40 --spawn-rate 20 --think-time 1",
    ),
}


@pytest.fixture
def replayed(start, free_ports, http, tmp_path):
    """The advice on a real run of each of the cases, side by side, and what its edge tells."""

    def run(*names: str) -> dict[str, tuple[dict, dict]]:
        begun = {name: begin(name, CASES[name]) for name in names}
        loads = {name: load(*begun[name]) for name in names}
        found = {}
        for name, running in loads.items():
            assert running.wait(within_s=120) == 0, running.output()
            admin, _, _, store = begun[name]
            edge = told_by(admin)
            advice = start("-m", "dashboard", "advise", "--store", store, "--json", "-")
            assert advice.wait(within_s=60) == 0, advice.output()
            found[name] = parsed(advice.output()), edge
        return found

    def begin(name: str, case: Case) -> tuple[str, int, str, str]:
        admin, first, _, metrics, board = free_ports(5)
        edge = case.edge if "--region" in case.edge else f"--region us-east --no-rtt {case.edge}"
        start(
            *("-m", "flash.edge", "--admin-port", str(admin), "--first-port", str(first)),
            *edge.split(),
        )
        url, store = f"http://127.0.0.1:{admin}", str(tmp_path / f"{name}.sqlite")
        start(
            *("-m", "dashboard", "--port", str(board), "--store", store, "--flash-edge", url),
            *("--scrape", f"http://127.0.0.1:{metrics}/metrics"),
        )
        healthy = f"http://127.0.0.1:{board}/healthz"
        http.until(lambda: http.get(healthy).status == 200, within_s=30, what="the dashboard")

        def as_many_as_are_kept() -> bool:
            live = [one for one in http.get(f"{url}/containers").json() if one["state"] == "live"]
            return len(live) == http.get(f"{url}/config").json()["min_containers"]

        http.until(as_many_as_are_kept, within_s=30, what="what is kept warm is warm")
        return url, metrics, case.load, store

    def load(admin: str, metrics: int, options: str, store: str):
        return start(
            *("-m", "locust", "-f", "loadgen", "--headless", "--run-time", f"{RUN_S}s"),
            *("--stop-timeout", "10", "--metrics-port", str(metrics), "--flash-edge", admin),
            *options.split(),
        )

    def told_by(admin: str) -> dict:
        refused = http.total(f"{admin}/metrics", "edge_requests_total", code="503")
        return {"refused": refused, "events": http.get(f"{admin}/events").json()}

    return run


def parsed(output: str) -> dict:
    """The JSON, which is followed by the table of standard error."""
    return json.JSONDecoder().raw_decode(output[output.index("{\n") :])[0]


def container_s(events: list[dict], begin: float, end: float) -> float:
    """By the edge's own account."""
    asked = {one["task_id"]: one["time"] for one in events if one["kind"] == "requested"}
    gone = {}
    for one in events:
        if one["kind"] in ("terminated", "exited", "start_failed"):
            gone.setdefault(one["task_id"], one["time"])
    return sum(
        max(0.0, min(gone.get(name, end), end) - max(at, begin)) for name, at in asked.items()
    )


def check(advice: dict, edge: dict) -> str:
    """Holds the measured against the edge's account, and the replay against both."""
    measured, own = advice["measured"], advice["own"]["outcome"]
    end = advice["start"] + advice["seconds"]
    assert measured["refused"] == edge["refused"]
    counted = container_s(edge["events"], advice["start"], end)
    assert measured["container_seconds"] == pytest.approx(counted, abs=0.1)
    said = (
        f"refused {own['refused']:.1f} of {measured['refused']:.0f}, container-seconds "
        f"{own['container_seconds']:.1f} of {measured['container_seconds']:.1f}"
    )
    assert own["refused"] == pytest.approx(measured["refused"], rel=CLOSE), said
    assert own["container_seconds"] == pytest.approx(measured["container_seconds"], rel=CLOSE), said
    return said


def test_the_replay_of_a_run_says_what_it_met_and_cost(replayed):
    found = replayed("asleep", "waves")
    for advice, edge in found.values():
        check(advice, edge)
    asleep, waves = (advice for advice, _ in found.values())
    assert asleep["own"]["settings"]["scaledown_window"] == 60
    assert asleep["measured"]["refused"] > 60
    assert waves["own"]["settings"]["buffer_containers"] == 1
    # With one container kept nothing would have been refused, and it would have cost no less.
    kept = [one for one in asleep["options"] if one["settings"]["min_containers"] == 1]
    assert kept
    for one in kept:
        assert one["outcome"]["refused"] == 0
        assert one["outcome"]["container_seconds"] >= asleep["own"]["outcome"]["container_seconds"]
    assert any("min_containers=1" in one["text"] for one in asleep["picked"])
    assert all(any(one["best"] for one in advice["options"]) for advice in (asleep, waves))


@pytest.mark.advisor
@pytest.mark.parametrize("names", [("asleep", "naps"), ("waves", "warm"), ("crowds", "afar")])
def test_it_does_for_six_different_settings(replayed, names, capsys):
    for name, (advice, edge) in replayed(*names).items():
        said = check(advice, edge)
        with capsys.disabled():
            print(f"\n{name}: {said}")
