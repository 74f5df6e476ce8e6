"""Why there were 503s: real faults at the local edge under load, as the dashboard judges them."""

import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

SERVER = str(Path(__file__).with_name("moody_server.py"))


class Stage:
    """An edge with one region, load on it, and a dashboard that watches."""

    def __init__(self, start, free_ports, http, tmp_path) -> None:
        admin, region, metrics, board = free_ports(4)
        self.http = http
        self.folder = tmp_path
        self.admin = f"http://127.0.0.1:{admin}"
        self.metrics = f"http://127.0.0.1:{metrics}/metrics"
        self.board = f"http://127.0.0.1:{board}"
        edge = start(
            *("-m", "flash.edge", "--region", "us-east", "--no-rtt", "--boot-delay", "1"),
            *("--admin-port", str(admin), "--first-port", str(region)),
            *("--max-containers", "1", "--target-concurrency", "4", "--scaledown-window", "60"),
            *("--", "python", SERVER, str(tmp_path)),
        )
        self.dashboard = start(
            *("-m", "dashboard", "--port", str(board), "--store", str(tmp_path / "s.sqlite")),
            *("--flash-edge", self.admin, "--scrape", self.metrics),
        )
        for url, process in ((self.admin, edge), (self.board, self.dashboard)):
            http.until(
                lambda url=url: http.get(f"{url}/healthz").status == 200,
                within_s=30,
                what=f"{url} answers: {process.output()}",
            )
        self.locust = start(
            *("-m", "locust", "-f", "loadgen", "--headless", "--flash-edge", self.admin),
            *("--users", "12", "--spawn-rate", "12", "--think-time", "0.1", "--stop-timeout", "10"),
            # A request that is in a container when that is killed ends with 502.
            *("--metrics-port", str(metrics), "--exit-code-on-error", "0", "StickyUser"),
        )

    def count(self, name: str, **labels: str) -> float:
        return self.http.total(self.metrics, f"loadgen_{name}", **labels)

    def answered_again(self) -> None:
        """Until all users are answered, and a while longer."""
        self.http.until(
            lambda: self.count("cold_start_window_open") == 0, within_s=30, what="no cold start"
        )
        before = self.count("requests_total", outcome="ok")
        self.http.until(
            lambda: self.count("requests_total", outcome="ok") > before + 150,
            within_s=30,
            what="answers",
        )

    def mood(self, name: str, until, what: str) -> None:
        (self.folder / name).touch()
        self.http.until(until, within_s=30, what=what)
        (self.folder / name).unlink()

    def live(self) -> list[str]:
        told = self.http.get(f"{self.admin}/containers").json()
        return [one["task_id"] for one in told if one["state"] == "live"]

    def send(self, method: str, path: str, body: object = None) -> None:
        assert self.http.send(method, f"{self.admin}{path}", body=body).status == 200

    def kinds(self) -> list[str]:
        return [event["kind"] for event in self.http.get(f"{self.admin}/events?since=0").json()]

    def refusals(self) -> dict:
        return self.http.get(f"{self.board}/api/refusals").json()


@pytest.mark.timeout(180)
def test_each_fault_is_told_by_its_cause_and_every_503_is_in_one_streak(
    start, free_ports, http, tmp_path
) -> None:
    stage = Stage(start, free_ports, http, tmp_path)
    stage.answered_again()
    assert stage.refusals()["sessions"] == []

    (first,) = stage.live()
    stage.send("POST", f"/containers/{first}/kill")
    stage.answered_again()

    (second,) = stage.live()
    stage.send("POST", f"/containers/{second}/stop")
    stage.answered_again()

    stage.mood("refuse", lambda: stage.count("container_refusals_total") > 20, "own 503s")
    stage.answered_again()

    stage.mood("slow", lambda: "unhealthy" in stage.kinds(), "a container is full")
    stage.answered_again()

    stage.send("PATCH", "/faults", {"us-east": {"latency_s": 1.3}})
    http.until(
        lambda: stage.count("edge_overhead_seconds_sum") > 20, within_s=30, what="held requests"
    )
    stage.send("PATCH", "/faults", {"us-east": {"latency_s": 0}})
    stage.answered_again()

    (third,) = stage.live()
    (stage.folder / "bad").touch()
    stage.send("PATCH", "/config", {"max_containers": 2, "min_containers": 2})
    http.until(lambda: len(stage.live()) == 2, within_s=30, what="another container")
    (bad,) = set(stage.live()) - {third}
    time.sleep(12)  # sessions that are refused wait longer and longer between their attempts
    assert stage.locust.terminate(within_s=30) == 0, stage.locust.output()
    total = http.total(f"{stage.admin}/metrics", "edge_requests_total", code="503")

    def complete() -> dict | None:
        told = stage.refusals()
        return told if sum(one["refused"] for one in told["streaks"]) == total else None

    told = http.until(complete, within_s=10, what=f"{total} 503s: {stage.refusals()}")
    streaks = told["streaks"][::-1]
    evidence = {
        streak["cause"]: "; ".join(fact["text"] for fact in streak["evidence"])
        for streak in streaks
    }
    causes = list(dict.fromkeys(streak["cause"] for streak in streaks))
    assert causes == [
        "scale_from_zero",
        "no_container",
        "draining",
        "application",
        "saturation",
    ], streaks
    assert f"the last container, {first}, was killed" in evidence["no_container"]
    assert f"the last container, {second}, was drained" in evidence["draining"]
    assert f"the last container, {third}, stopped taking connections" in evidence["saturation"]
    assert "on 1 container, 4 aimed at for each" in evidence["saturation"]
    assert "no more containers are allowed" in evidence["saturation"]
    assert "no container had been there before" in evidence["scale_from_zero"]
    assert f"{first} took" in evidence["scale_from_zero"]
    named = sum(streak["refused"] for streak in streaks if streak["cause"] == "application")
    assert named > 40

    # Held, and not refused: the way was slow, and no container came up meanwhile.
    (held,) = told["held"]
    assert held["containers"] == []
    assert 1.2 <= held["longest"] < 3
    assert 12 <= held["held"] <= 60

    # Sessions that the bad container wins keep coming back to it.
    sessions = told["sessions"]
    assert sessions
    for one in sessions:
        assert (one["region"], one["containers"], one["answered"]) == ("us-east", [bad], False)
        assert one["beside"] >= 3
        assert one["others_answered"] > 100
    assert len({one["session"] for one in sessions}) == len(sessions) < 12
