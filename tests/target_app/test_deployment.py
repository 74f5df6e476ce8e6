"""What the server is deployed as, and its process inside a container."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import httpx
import pytest

from target_app.config import Config, ConfigError
from target_app.deployment import Deployment, drain, start


def test_nothing_set_is_three_regions_that_scale_from_zero() -> None:
    assert Deployment.from_env({}) == Deployment(
        app_name="flashgauge-target",
        proxy_regions=("us-east", "eu-west", "ap-south"),
        region="us-east",
        min_containers=0,
        max_containers=4,
        buffer_containers=0,
        scaledown_window_s=60,
        target_inputs=8,
        startup_timeout_s=30,
        exit_grace_period_s=5,
        cpu=1.0,
        boot_delay_s=0.0,
    )


SET = {
    "TARGET_APP_NAME": "my-app",
    "TARGET_PROXY_REGIONS": "us-west, ca-central",
    "TARGET_REGION": "us",
    "TARGET_MIN_CONTAINERS": "1",
    "TARGET_MAX_CONTAINERS": "9",
    "TARGET_BUFFER_CONTAINERS": "2",
    "TARGET_SCALEDOWN_WINDOW": "120",
    "TARGET_TARGET_INPUTS": "16",
    "TARGET_STARTUP_TIMEOUT": "90",
    "TARGET_EXIT_GRACE_PERIOD": "20",
    "TARGET_CPU": "0.5",
    "TARGET_BOOT_DELAY_S": "2.5",
}


def test_every_setting_is_read_from_its_variable() -> None:
    assert Deployment.from_env(SET) == Deployment(
        app_name="my-app",
        proxy_regions=("us-west", "ca-central"),
        region="us",
        min_containers=1,
        max_containers=9,
        buffer_containers=2,
        scaledown_window_s=120,
        target_inputs=16,
        startup_timeout_s=90,
        exit_grace_period_s=20,
        cpu=0.5,
        boot_delay_s=2.5,
    )


@pytest.mark.parametrize("environ", [{}, SET])
def test_a_container_reads_the_same_settings_again(environ: dict[str, str]) -> None:
    deployment = Deployment.from_env(environ)
    inside = deployment.container_environment()
    assert Deployment.from_env(inside) == deployment
    config = Config.from_command_line((), inside, container="ta-1")
    assert config.boot_delay_s == deployment.boot_delay_s
    assert config.grace_s == deployment.exit_grace_period_s


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TARGET_APP_NAME", "my app", "expected 1 to 63 letters"),
        ("TARGET_PROXY_REGIONS", "us-east,mars", "'mars' is no proxy region; there are us-east"),
        ("TARGET_PROXY_REGIONS", "us-east,us-east", "expected distinct regions"),
        ("TARGET_PROXY_REGIONS", ",", "expected distinct regions"),
        ("TARGET_REGION", "US East", "expected a region such as us-east, got 'US East'"),
        ("TARGET_MIN_CONTAINERS", "-1", "expected a number from 0 to 1000, got '-1'"),
        ("TARGET_MIN_CONTAINERS", "1.5", "expected a whole number, got 1.5"),
        ("TARGET_MAX_CONTAINERS", "many", "expected a number from 1 to 1000, got 'many'"),
        ("TARGET_EXIT_GRACE_PERIOD", "26", "expected a number from 0 to 25, got '26'"),
        ("TARGET_CPU", "nan", "expected a number from 0.1 to 64, got 'nan'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: .*{re.escape(message)}"):
        Deployment.from_env({name: value})


def test_fewer_containers_at_most_than_at_least_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"TARGET_MIN_CONTAINERS \(5\) is above .* \(4\)"):
        Deployment.from_env({"TARGET_MIN_CONTAINERS": "5"})


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(port: int) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionError:
            continue
        return
    raise AssertionError(f"port {port} did not open")


def test_a_started_server_answers_and_a_drain_lets_requests_in_flight_finish(
    capfd: pytest.CaptureFixture[str],
) -> None:
    port = free_port()
    process = start(port)
    try:
        wait_for(port)
        codes: list[int] = []
        address = f"http://127.0.0.1:{port}"
        asking = Thread(
            target=lambda: codes.append(httpx.get(f"{address}/work?sleep_ms=700").status_code)
        )
        asking.start()
        while (
            re.search(r"requests_in_flight\{.*\} 1\.0", httpx.get(address + "/metrics").text)
            is None
        ):
            pass
        drain(process, within_s=20)
        asking.join()
    finally:
        process.kill()
        process.wait()
    assert codes == [200]
    assert process.returncode == 0
    assert f"listening on http://0.0.0.0:{port}" in capfd.readouterr().out


STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have asked for its status yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_server_that_does_not_stop_is_killed_with_its_children() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout:
        child = int(process.stdout.readline())
    began = time.monotonic()
    drain(process, within_s=0.2)
    assert 0.2 <= time.monotonic() - began < 5
    assert process.returncode == -signal.SIGKILL
    until = time.monotonic() + 5
    while not gone(child) and time.monotonic() < until:
        pass
    assert gone(child)


def test_a_server_that_has_ended_already_is_no_error_to_drain() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "raise SystemExit(3)"], start_new_session=True
    )
    process.wait()
    drain(process, within_s=5)
    assert process.returncode == 3
