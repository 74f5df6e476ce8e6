"""``make demo`` as a user has it: everything starts, survives, says what failed, and is gone."""

import os
import signal
import socket
import time
import uuid

import psutil
import pytest

pytestmark = pytest.mark.end_to_end

REGIONS = {"us-east", "eu-west", "ap-south"}


@pytest.fixture
def demo(start, free_ports):
    """Start the demo on free ports; every process of it carries a mark in its environment."""

    def run(*options: str):
        ports = free_ports(8)
        names = ("edge-admin", "first-region", "", "", "locust", "locust-master", "metrics")
        names += ("dashboard",)
        named = {name: port for name, port in zip(names, ports, strict=True) if name}
        arguments = [word for name, port in named.items() for word in (f"--{name}-port", str(port))]
        mark = uuid.uuid4().hex
        running = start("demo.py", *arguments, *options, DEMO_TEST_MARK=mark)
        running.mark, running.ports = mark, named
        return running

    return run


def marked(mark: str) -> list[psutil.Process]:
    """The living processes that were started, directly or not, with the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get("DEMO_TEST_MARK") == mark
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def command_of(process: psutil.Process) -> list[str]:
    """Its words; none of a process that has ended meanwhile."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def of_part(mark: str, words: str) -> list[psutil.Process]:
    """The processes of a part, without the shells that they were started by."""
    found = []
    for process in marked(mark):
        command = command_of(process)
        if words in " ".join(command) and "-c" not in command[:2]:
            found.append(process)
    return found


def assert_nothing_left(http, mark: str) -> None:
    http.until(lambda: not marked(mark), within_s=10, what="every process of the demo is gone")


def lines_with_data(http, board: str, panel: str) -> list[dict]:
    now = time.time()
    data = http.get(f"{board}/api/panels/{panel}/data?start={now - 60:.0f}&end={now:.0f}").json()
    return [line for line in data["lines"] if any(value is not None for _, value in line["points"])]


def test_the_demo_shows_three_regions_survives_kills_and_leaves_nothing(demo, http) -> None:
    running = demo()
    board = f"http://127.0.0.1:{running.ports['dashboard']}"
    admin = f"http://127.0.0.1:{running.ports['edge-admin']}"
    metrics = f"http://127.0.0.1:{running.ports['metrics']}/metrics"
    http.until(
        lambda: f"Dashboard: {board}" in running.output(), within_s=60, what="the address is told"
    )

    def regions(panel: str) -> set[str]:
        return {line["labels"].get("region") for line in lines_with_data(http, board, panel)}

    for panel in ("responses_503", "latency", "throughput"):
        http.until(lambda p=panel: regions(p) >= REGIONS, within_s=45, what=f"{panel} has data")

    # A container, a Locust worker and the dashboard are killed; the demo goes on.
    live = [c for c in http.get(f"{admin}/containers").json() if c["state"] == "live"]
    assert http.send("POST", f"{admin}/containers/{live[0]['task_id']}/kill").status == 200
    locusts = of_part(running.mark, "-m locust")
    master = min(locusts, key=lambda process: process.create_time())
    workers = [process for process in locusts if process.ppid() == master.pid]
    assert len(workers) == 2
    workers[0].kill()
    (dashboard,) = of_part(running.mark, "-m dashboard")
    dashboard.kill()
    http.until(
        lambda: (
            any(p.pid != dashboard.pid for p in of_part(running.mark, "-m dashboard"))
            and http.get(f"{board}/healthz").status == 200
        ),
        within_s=20,
        what="the dashboard is back",
    )
    before = http.total(metrics, "loadgen_requests_total", outcome="ok")
    http.until(
        lambda: http.total(metrics, "loadgen_requests_total", outcome="ok") > before + 20,
        within_s=20,
        what="the load goes on",
    )
    http.until(lambda: regions("throughput") >= REGIONS, within_s=20, what="the charts go on")
    for line in lines_with_data(http, board, "throughput"):
        assert all(value is None or value >= 0 for _, value in line["points"])

    assert running.process.poll() is None
    assert running.terminate(within_s=25) == 0, running.output()[-3000:]
    assert running.output().rstrip().endswith("demo: stopped")
    assert_nothing_left(http, running.mark)


@pytest.mark.parametrize(("words", "part"), [("-m locust", "locust"), ("-m flash.edge", "edge")])
def test_a_part_that_dies_stops_the_others_and_is_named(demo, http, words, part) -> None:
    running = demo()
    http.until(
        lambda: "Locust's own page" in running.output(), within_s=60, what="all parts are up"
    )
    # A container must be there too when the edge is the one that dies.
    admin = f"http://127.0.0.1:{running.ports['edge-admin']}"
    http.until(
        lambda: http.get(f"{admin}/containers").json(), within_s=30, what="a container starts"
    )
    min(of_part(running.mark, words), key=lambda process: process.create_time()).kill()
    assert running.wait(within_s=30) == 1
    last = running.output().rstrip().splitlines()[-1]
    assert last == f"demo: {part} was killed by SIGKILL; the other parts were stopped"
    assert_nothing_left(http, running.mark)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_starts_leaves_nothing(demo, http, number) -> None:
    running = demo()
    http.until(lambda: marked(running.mark)[1:], within_s=20, what="the first part starts")
    os.kill(running.process.pid, number)
    assert running.wait(within_s=25) == 0, running.output()
    assert_nothing_left(http, running.mark)


@pytest.mark.parametrize("moment", ["the edge answers", "a container starts", "requests are made"])
def test_ctrl_c_at_any_moment_leaves_nothing_also_if_it_comes_twice(demo, http, moment) -> None:
    running = demo()
    admin = f"http://127.0.0.1:{running.ports['edge-admin']}"
    metrics = f"http://127.0.0.1:{running.ports['metrics']}/metrics"
    come = {
        "the edge answers": lambda: http.get(f"{admin}/healthz").status == 200,
        "a container starts": lambda: http.get(f"{admin}/containers").json(),
        "requests are made": lambda: http.total(metrics, "loadgen_requests_total", outcome="ok"),
    }[moment]
    http.until(come, within_s=60, what=moment)
    # A terminal sends it to everybody in the group.
    os.killpg(running.process.pid, signal.SIGINT)
    http.until(lambda: "SIGINT received" in running.output(), within_s=10, what="it is heard")
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.wait(within_s=25) == 0, running.output()
    assert running.output().rstrip().endswith("demo: stopped")
    assert_nothing_left(http, running.mark)


@pytest.mark.parametrize(
    ("port", "option"),
    [
        ("edge-admin", "--edge-admin-port"),
        ("first-region", "--first-region-port"),
        ("locust", "--locust-port"),
        ("metrics", "--metrics-port"),
        ("dashboard", "--dashboard-port"),
    ],
)
def test_a_port_in_use_is_one_line_with_the_option_to_change_it(demo, port, option) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        running = demo(f"--{port}-port", str(number))
        assert running.wait(within_s=20) == 2
        (line,) = running.output().strip().splitlines()
        assert f"port {number} is in use" in line
        assert option in line
