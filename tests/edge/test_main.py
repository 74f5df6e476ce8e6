"""``python -m flash.edge`` as a command: its lines and exit statuses."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.end_to_end

ANY_PORTS = ["--admin-port", "0", "--first-port", "0"]


def environment(**more: str) -> dict[str, str]:
    ours = ("FLASH_", "TARGET_", "MODAL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **more}


def finished(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flash.edge", *arguments],
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@contextmanager
def running(*arguments: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "flash.edge", *arguments],
        env=environment(**environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("option", "other"), [("--admin-port", "--first-port"), ("--first-port", "--admin-port")]
)
def test_a_port_in_use_is_one_line_that_names_it_and_the_option(option: str, other: str) -> None:
    with taken_port() as port:
        done = finished(option, str(port), other, "0", "--region", "us-east")
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("flash.edge: ")
    assert f"port {port} " in line
    assert "in use" in line
    assert line.endswith(option)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--max-containers", "x"], "--max-containers: expected a number"),
        (["--", "no-such-program"], "COMMAND: no program 'no-such-program'"),
    ],
)
def test_wrong_settings_are_one_line_and_status_2(arguments: list[str], named: str) -> None:
    done = finished(*ANY_PORTS, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"flash.edge: {named}")


def test_it_says_where_it_listens_and_ends_with_0_when_told_to() -> None:
    regions = ("--region", "us-east", "--region", "eu-west")
    with running(*ANY_PORTS, *regions, FLASH_EDGE_PROXY_TOKEN="wk-a:ws-canary") as edge:
        assert edge.stdout is not None
        assert edge.stderr is not None
        line = edge.stdout.readline()
        words = line.replace(",", "").split()
        assert words[:2] == ["flash.edge:", "admin"]
        assert [words[3], words[5]] == ["us-east", "eu-west"]
        for url in (words[2], words[4], words[6]):
            port = int(url.removeprefix("http://127.0.0.1:"))
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        edge.send_signal(signal.SIGTERM)
        assert edge.wait(20) == 0
        assert edge.stdout.read() == ""
        assert edge.stderr.read() == ""


def test_an_interrupt_ends_it_cleanly_too() -> None:
    with running(*ANY_PORTS) as edge:
        assert edge.stdout is not None
        assert edge.stderr is not None
        edge.stdout.readline()
        edge.send_signal(signal.SIGINT)
        assert edge.wait(20) == 0
        assert edge.stderr.read() == ""


def test_help_shows_no_secret() -> None:
    done = finished("--help", FLASH_EDGE_PROXY_TOKEN="wk-a:ws-canary")
    assert done.returncode == 0
    assert "FLASH_EDGE_PROXY_TOKEN" in done.stdout
    assert "canary" not in done.stdout + done.stderr
