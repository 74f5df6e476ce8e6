"""A load profile with real Locust: users, arrivals, and the end of the run."""

import json
import re
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest

pytestmark = pytest.mark.end_to_end

SERVER = str(Path(__file__).with_name("stalling_server.py"))
DUE = re.compile(r"open model: (\d+) arrivals came due, (\d+) were begun, and (\d+) dropped")
OPENER = build_opener(ProxyHandler({}))
UPDATES = re.compile(r"Shape test updating to (\d+) users")


@pytest.fixture
def server(start, http):
    """A server that never stalls: its address, and how many requests it has served."""
    running = start(SERVER, "0", "3600")
    port = int(http.until(running.output, within_s=10, what="the server's port"))
    url = f"http://127.0.0.1:{port}"
    return url, lambda: int(http.get(f"{url}/served").body)


def locust(url: str, *arguments: str) -> tuple[str, ...]:
    command = ("-m", "locust", "-f", "loadgen", "--only-summary", "--flash-url", f"us-east={url}")
    return (*command, *arguments)


def test_in_the_closed_model_users_follow_the_profile_and_the_run_ends_with_it(
    start, server, free_ports
):
    url, served = server
    ran = start(
        *locust(url, "--headless", "--metrics-port", str(free_ports(1)[0]), "-u", "40"),
        *("--load-profile", "steps:count=4,each=2", "--think-time", "0.1", "--stop-timeout", "5"),
    )
    assert ran.wait(within_s=40) == 0, ran.output()
    assert UPDATES.findall(ran.output()) == ["10", "20", "30", "40"]
    # Ten to forty users that ask ten times a second, two seconds each: 2,000 if all went at once.
    assert 1200 < served() < 2100


def test_with_workers_the_rate_follows_the_profile_exactly(start, server, free_ports):
    """A ramp to 300/s in 2 s, held for 1 s, is 600 arrivals; no --run-time ends the run."""
    url, served = server
    metrics, master = free_ports(2)
    ran = start(
        *locust(url, "--headless", "--master", "--expect-workers", "2"),
        *("--master-bind-host", "127.0.0.1", "--master-bind-port", str(master)),
        *("--metrics-port", str(metrics), "-u", "20", "-r", "100"),
        *("--arrival-rate", "300", "--load-profile", "ramp:up=2,hold=1"),
    )
    work = ("--worker", "--master-port", str(master))
    workers = [start(*locust(url, *work)) for _ in range(2)]
    assert ran.wait(within_s=40) == 0, ran.output()
    assert [worker.wait(within_s=20) for worker in workers] == [0, 0]
    assert DUE.findall(ran.output()) == [("600", "600", "0")]
    assert served() == 600


def test_a_run_from_the_page_follows_the_profile_of_its_form(start, server, http, free_ports):
    url, served = server
    metrics, page = free_ports(2)
    started = start(
        *locust(url, "--metrics-port", str(metrics), "--web-port", str(page)),
        *("NonStickyUser",),
    )
    address = f"http://127.0.0.1:{page}"
    http.until(lambda: http.get(address).status == 200, within_s=20, what="Locust's page")

    def swarm(**fields: str) -> dict[str, object]:
        form = {"user_count": "10", "spawn_rate": "10", "arrival_rate": "100", **fields}
        with OPENER.open(f"{address}/swarm", urlencode(form).encode(), timeout=10) as response:
            return json.load(response)

    refused = swarm(load_profile="hill")
    assert refused["success"] is False
    assert "expected ramp, steps, spike or soak" in refused["message"]
    assert served() == 0
    answer = swarm(load_profile="spike:base=0,before=0,spike=2,after=0")
    assert answer["success"] is True, answer
    http.until(lambda: len(DUE.findall(started.output())) == 1, within_s=30, what="the end")
    assert DUE.findall(started.output()) == [("200", "200", "0")]
    assert served() == 200


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--load-profile", "hill"), "expected ramp, steps, spike or soak"),
        (
            ("--load-profile", "ramp", "--arrival-rate", "0:1,5:2"),
            "--load-profile and the schedule in --arrival-rate 0:1,5:2 contradict each other",
        ),
    ],
)
def test_a_profile_that_cannot_be_is_refused_before_anything_starts(start, arguments, complaint):
    ran = start(*locust("http://127.0.0.1:1", "--headless", *arguments))
    assert ran.wait(within_s=20) == 2
    assert complaint in ran.output()
    assert "Traceback" not in ran.output()
