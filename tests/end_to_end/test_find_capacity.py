"""The capacity search with real Locust against servers whose capacity is known."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

SERVER = str(Path(__file__).with_name("slots_server.py"))
RESOLUTION = 0.25
HELD = re.compile(r"^.*?(\S+): (\S+)/s held; (\S+)/s (missed|the generator)", re.M)
FIRST = re.compile(r"capacity of (\S+): (\S+)/s (held|missed)")


@pytest.fixture
def server(start, http):
    """Start a server with so many slots, each taken for so long; its address."""

    def run(slots: int, seconds: float, cold_s: float = 0.0) -> str:
        running = start(SERVER, str(slots), str(seconds), str(cold_s))
        port = int(http.until(running.output, within_s=10, what="the server's port"))
        return f"http://127.0.0.1:{port}"

    return run


def locust(*arguments: str, objectives: str = "p90<300ms,errors<1%") -> tuple[str, ...]:
    return (
        *("-m", "locust", "-f", "loadgen", "--headless", "--only-summary"),
        *("--find-capacity", objectives, "--capacity-hold", "2", "--capacity-settle", "1"),
        *("--capacity-rates", "40:400", "--capacity-resolution", str(RESOLUTION)),
        *("--stop-timeout", "5", *arguments),
    )


def found(output: str) -> dict[str, float]:
    """The rate of each region; that the next one was missed is looked at too."""
    results = {}
    for region, rate, ceiling, verdict in HELD.findall(output):
        assert verdict == "missed", output
        assert float(rate) < float(ceiling) <= float(rate) * (1 + RESOLUTION) + 1e-9
        results[region] = float(rate)
    return results


def first_row(output: str) -> list[str]:
    """The figures of the first rate of us-east, in the table at the end."""
    rows = [line for line in output.splitlines() if re.match(r"us-east +40 ", line)]
    assert len(rows) == 1, output
    return rows[0].split()[2:]


def test_each_region_s_capacity_is_found_within_the_resolution(start, server, free_ports):
    """18 slots of 200 ms are 90/s, and 36 of them 180/s; the first is at zero for 2 s at first."""
    east, west = server(18, 0.2, 2.0), server(36, 0.2)
    ran = start(
        *locust("--flash-url", f"us-east={east}", "--flash-url", f"eu-west={west}"),
        *("--metrics-port", str(free_ports(1)[0])),
    )
    assert ran.wait(within_s=110) == 0, ran.output()
    output = ran.output()
    rates = found(output)
    assert set(rates) == {"us-east", "eu-west"}, output
    assert 90 / (1 + RESOLUTION) <= rates["us-east"] <= 90, output
    assert 180 / (1 + RESOLUTION) <= rates["eu-west"] <= 180, output
    assert FIRST.findall(output)[0] == ("us-east", "40", "held")
    offered, answered, requests, p90, errors, verdict = first_row(output)
    assert float(offered) == pytest.approx(40, abs=1)
    assert float(answered) == pytest.approx(40, abs=1.5)
    assert int(requests) == pytest.approx(80, abs=3)
    assert float(p90) == pytest.approx(200, rel=0.1)
    assert (errors, verdict) == ("0.000%", "held")


def test_a_master_finds_it_with_two_workers(start, server, free_ports):
    url = server(18, 0.2)
    metrics, master = free_ports(2)
    ran = start(
        *locust("--flash-url", f"us-east={url}", "--metrics-port", str(metrics)),
        *("--master", "--expect-workers", "2", "--master-bind-host", "127.0.0.1"),
        *("--master-bind-port", str(master)),
    )
    work = ("-m", "locust", "-f", "loadgen", "--worker", "--master-port", str(master))
    workers = [start(*work, "--flash-url", f"us-east={url}") for _ in range(2)]
    assert ran.wait(within_s=110) == 0, ran.output()
    assert [worker.wait(within_s=20) for worker in workers] == [0, 0]
    output = ran.output()
    assert 90 / (1 + RESOLUTION) <= found(output)["us-east"] <= 90, output
    # Both workers' requests are there, and those of no other time.
    offered, _, requests, *_ = first_row(output)
    assert float(offered) == pytest.approx(40, abs=1)
    assert int(requests) == pytest.approx(80, abs=3)


def test_a_server_that_holds_nothing_is_status_1(start, server, free_ports):
    ran = start(
        *locust(objectives="p50<20ms"),
        *("--flash-url", f"us-east={server(4, 0.05)}", "--metrics-port", str(free_ports(1)[0])),
    )
    assert ran.wait(within_s=60) == 1, ran.output()
    assert "us-east: no rate held; 40/s missed (p50<20ms)" in ran.output()


def test_too_few_users_are_the_generator_s_limit_and_status_2(start, server, free_ports):
    """Two users make 40/s of requests that take 50 ms: of 60/s nothing is learnt."""
    ran = start(
        *locust("--capacity-rates", "60:400", "-u", "2", "NonStickyUser"),
        *("--flash-url", f"us-east={server(40, 0.05)}", "--metrics-port", str(free_ports(1)[0])),
    )
    assert ran.wait(within_s=60) == 2, ran.output()
    assert re.search(r"no rate held; at 60/s the generator was the limit \(\d+ of", ran.output())
    assert "arrivals found no user free; have more --users" in ran.output()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--arrival-rate", "5"), "--find-capacity and --arrival-rate contradict each other"),
        (("--load-profile", "ramp"), "--find-capacity and --load-profile contradict each other"),
        (("--capacity-rates", "9:1"), "expected rates LOWEST:HIGHEST"),
        (("--find-capacity", "p99<50"), "expected a duration such as 50ms"),
    ],
)
def test_what_contradicts_a_search_is_refused(start, free_ports, arguments, complaint):
    ran = start(
        *locust(*arguments, "--flash-url", "us-east=http://127.0.0.1:1"),
        *("--metrics-port", str(free_ports(1)[0])),
    )
    assert ran.wait(within_s=20) == 2
    assert complaint in ran.output()
    assert "Traceback" not in ran.output()
