"""The local edge in front of the real target: waking from zero, sticking, and moving."""

import pytest

pytestmark = pytest.mark.end_to_end


@pytest.fixture
def edge(start, free_ports, http):
    """Start an edge with one region and further options; returns its admin and region URLs."""

    def run(*options: str) -> tuple[str, str]:
        admin, region = free_ports(2)
        running = start(
            *("-m", "flash.edge", "--region", "us-east", "--no-rtt"),
            *("--admin-port", str(admin), "--first-port", str(region), *options),
        )
        admin_url = f"http://127.0.0.1:{admin}"
        http.until(
            lambda: http.get(f"{admin_url}/healthz").status == 200,
            within_s=30,
            what=f"the edge answers: {running.output()}",
        )
        urls = http.get(f"{admin_url}/flash_urls").json()
        assert urls == {"us-east": f"http://127.0.0.1:{region}"}
        return admin_url, urls["us-east"]

    return run


def test_a_cold_region_refuses_with_503_and_then_answers(edge, http) -> None:
    admin, region = edge("--boot-delay", "0.5")
    assert http.get(f"{admin}/containers").json() == []

    first = http.get(f"{region}/")
    assert first.status == 503
    assert first.body == b""
    assert first.headers["x-edge-region"] == "us-east"
    assert first.headers["x-edge-container"] is None

    refused = 1

    def answered():
        nonlocal refused
        answer = http.get(f"{region}/")
        refused += answer.status == 503
        return answer if answer.status != 503 else None

    answer = http.until(answered, within_s=30, what="the container answers")
    assert answer.status == 200
    (container,) = http.get(f"{admin}/containers").json()
    assert set(container) == {
        *("task_id", "region", "host", "port", "state", "in_flight", "started_at", "ready_at")
    }
    assert container["state"] == "live"
    assert answer.headers["x-edge-container"] == container["task_id"]
    assert answer.json()["container"] == container["task_id"]
    assert container["ready_at"] - container["started_at"] >= 0.5
    assert http.total(f"{admin}/metrics", "edge_requests_total", code="503") == refused
    assert http.total(f"{admin}/metrics", "edge_requests_total", code="200") == 1


def test_a_session_moves_only_when_its_container_goes(edge, http) -> None:
    admin, region = edge("--boot-delay", "0", "--min-containers", "3")

    def live() -> list[str]:
        containers = http.get(f"{admin}/containers").json()
        return [one["task_id"] for one in containers if one["state"] == "live"]

    http.until(lambda: len(live()) == 3, within_s=30, what="three containers are live")

    def containers_of(sessions: list[str]) -> dict[str, str]:
        return {
            session: http.get(f"{region}/", headers={"Modal-Session-ID": session}).json()[
                "container"
            ]
            for session in sessions
        }

    sessions = [f"session-{n}" for n in range(30)]
    before = containers_of(sessions)
    assert set(before.values()) == set(live())
    assert containers_of(sessions) == before

    gone = before[sessions[0]]
    assert http.send("POST", f"{admin}/containers/{gone}/kill").status == 200
    http.until(lambda: gone not in live(), within_s=10, what="the killed container is out")
    # With min_containers the edge replaces it, and some sessions may move on to the new one.
    after = containers_of(sessions)
    new = set(live()) - set(before.values())
    for session in sessions:
        assert after[session] != gone
        assert before[session] == gone or after[session] in {before[session], *new}


@pytest.mark.parametrize(
    ("policy", "processes", "least", "most"), [("retry", 2, 40, 400), ("probe", None, 5, 20)]
)
def test_a_cold_region_with_many_users_refuses_many_or_a_handful(
    edge, start, free_ports, http, policy, processes, least, most
) -> None:
    """Four users begin each second, for five seconds; the region takes four and more to wake."""
    admin, _ = edge("--boot-delay", "4", "--max-containers", "1")
    web, metrics, master = free_ports(3)
    metrics_url = f"http://127.0.0.1:{metrics}/metrics"
    several = ("--master-bind-port", str(master), "--master-port", str(master))
    locust = start(
        *("-m", "locust", "-f", "loadgen", "--flash-edge", admin, "--autostart"),
        *("--web-port", str(web), "--metrics-port", str(metrics)),
        *("--users", "20", "--spawn-rate", "4", "--run-time", "9s", "--stop-timeout", "20"),
        *("--think-time", "0.2", "--cold-start-policy", policy),
        *(("--processes", str(processes), *several) if processes else ()),
    )

    def ended() -> dict | None:
        stats = http.get(f"http://127.0.0.1:{web}/stats/requests").json()
        return stats if stats["state"] == "stopped" else None

    stats = http.until(ended, within_s=60, what="Locust's run is over")
    total = next(row for row in stats["stats"] if row["name"] == "Aggregated")
    assert total["num_failures"] == 0, locust.output()
    assert total["num_requests"] > 60, locust.output()

    def figure(name: str, **labels: str) -> float:
        return http.total(metrics_url, f"loadgen_{name}", **labels)

    # Every request was answered, and what was refused meanwhile was many, or few.
    refused = figure("requests_total", outcome="cold_start")
    assert least <= refused <= most
    assert http.total(f"{admin}/metrics", "edge_requests_total", code="503") == refused
    assert (
        http.total(f"{admin}/metrics", "edge_requests_total", code="200") == (total["num_requests"])
    )
    assert figure("cold_start_giveups_total") == 0
    # The users that were there before the first answer waited, each with one request.
    affected = figure("cold_start_requests_total")
    assert 12 <= affected <= 20
    assert figure("cold_start_wait_seconds_count") == affected
    # The region was cold once, for as long as its container took to boot.
    assert figure("cold_start_window_seconds_count", region="us-east") == 1
    assert figure("cold_start_window_open") == 0
    cold_s = figure("cold_start_window_seconds_sum")
    (container,) = http.get(f"{admin}/containers").json()
    booted_s = container["ready_at"] - container["started_at"]
    assert booted_s - 0.2 < cold_s < booted_s + 3
    assert locust.terminate(within_s=20) == 0
