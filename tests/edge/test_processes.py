"""Containers as processes: real ones, ended with all that they started."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from flash.edge import reaper
from flash.edge.errors import ConfigError
from flash.edge.processes import Launcher, free_port

pytestmark = pytest.mark.end_to_end

# A container with a child of its own; both print who they are and stay.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), child.pid, os.environ["PORT"], os.environ.get("FLASH_EDGE_PROXY_TOKEN"),
      flush=True)
time.sleep(600)
"""
STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(os.getpid(), flush=True)
time.sleep(600)
"""
ENVIRON = {**os.environ, "FLASH_EDGE_PROXY_TOKEN": "wk-a:ws-canary"}


def until(condition: Callable[[], object], *, within_s: float = 20.0) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def said(lines: list[bytes]) -> list[str]:
    """The words of the first line that a container printed."""
    while not lines:  # noqa: ASYNC110 - the lines come through a plain callable
        await asyncio.sleep(0.01)
    return lines[0].decode().split()


def test_a_container_ends_with_its_children_and_learns_no_secret() -> None:
    lines: list[bytes] = []

    async def run() -> tuple[list[str], int]:
        launcher = Launcher([sys.executable, "-c", FAMILY], ENVIRON, output=lines.append)
        try:
            process = await launcher.start({"PORT": "12345", "MODAL_TASK_ID": "ta-1"})
            words = await said(lines)
            process.terminate()
            return words, await process.ended()
        finally:
            launcher.close()

    (name, pid, child, port, token), status = asyncio.run(run())
    assert (name, port, token) == ("[ta-1]", "12345", "None")
    assert status == -signal.SIGTERM
    until(lambda: not runs(int(pid)) and not runs(int(child)))


def test_what_a_container_leaves_behind_goes_with_it() -> None:
    lines: list[bytes] = []
    command = FAMILY.replace("time.sleep(600)\n", "sys.exit(3)\n")

    async def run() -> tuple[list[str], int, str]:
        launcher = Launcher([sys.executable, "-c", command], ENVIRON, output=lines.append)
        try:
            process = await launcher.start({"PORT": "1", "MODAL_TASK_ID": "ta-1"})
            status = await process.ended()
            return await said(lines), status, process.last_output()
        finally:
            launcher.close()

    words, status, tail = asyncio.run(run())
    assert status == 3
    assert tail == " ".join(words[1:])
    until(lambda: not runs(int(words[2])))


def test_whoever_ignores_the_request_to_end_is_killed() -> None:
    lines: list[bytes] = []

    async def run() -> int:
        launcher = Launcher([sys.executable, "-c", STUBBORN], ENVIRON, output=lines.append)
        try:
            process = await launcher.start({"MODAL_TASK_ID": "ta-1"})
            await said(lines)
            process.terminate()
            process.kill()
            return await process.ended()
        finally:
            launcher.close()

    assert asyncio.run(run()) == -signal.SIGKILL


def test_a_program_that_is_not_there_is_an_error_at_once() -> None:
    with pytest.raises(ConfigError, match="no program 'no-such-program' is found"):
        Launcher(["no-such-program"], ENVIRON)


def test_a_process_does_not_keep_the_edges_files_open() -> None:
    lines: list[bytes] = []
    listing = "import os; print(*sorted(os.listdir('/dev/fd'), key=int), flush=True)"

    async def run() -> list[str]:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            launcher = Launcher([sys.executable, "-c", listing], ENVIRON, output=lines.append)
            try:
                process = await launcher.start({"MODAL_TASK_ID": "ta-1"})
                await process.ended()
            finally:
                launcher.close()
        return lines[0].decode().split()[1:]

    # The fourth is the listing's own look at the folder.
    assert asyncio.run(run()) == ["0", "1", "2", "3"]


def started(code: str) -> subprocess.Popen[bytes]:
    """A process in a group of its own that has said something."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PORT": "1"},
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_the_reaper_ends_all_that_was_not_taken_back() -> None:
    kind, stubborn, forgotten = started(FAMILY), started(STUBBORN), started(STUBBORN)
    its = subprocess.Popen(
        [sys.executable, "-I", "-S", str(Path(reaper.__file__))], stdin=subprocess.PIPE
    )
    try:
        children = psutil.Process(kind.pid).children()
        assert its.stdin is not None
        its.stdin.write(f"+{kind.pid}\n+{stubborn.pid}\n+{forgotten.pid}\n".encode())
        its.stdin.write(f"-{forgotten.pid}\n".encode())
        its.stdin.flush()
        assert runs(kind.pid)
        its.stdin.close()
        assert kind.wait(20) == -signal.SIGTERM
        assert len(children) == 1
        until(lambda: not runs(children[0].pid))
        assert stubborn.wait(20) == -signal.SIGKILL
        assert its.wait(20) == 0
        assert runs(forgotten.pid)
    finally:
        for process in (its, kind, stubborn, forgotten):
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def test_an_edge_that_is_killed_leaves_nothing_behind() -> None:
    edge = subprocess.Popen(
        [sys.executable, "-c", KILLED, sys.executable, FAMILY], stdout=subprocess.PIPE, env=ENVIRON
    )
    assert edge.stdout is not None
    _, pid, child, *_ = edge.stdout.readline().split()
    assert runs(int(pid))
    assert runs(int(child))
    edge.kill()
    edge.wait()
    edge.stdout.close()
    until(lambda: not runs(int(pid)) and not runs(int(child)))


KILLED = """
import asyncio, os, sys
from flash.edge.processes import Launcher

async def main():
    launcher = Launcher(
        [sys.argv[1], "-c", sys.argv[2]], os.environ, output=lambda line: os.write(1, line)
    )
    process = await launcher.start({"PORT": "1", "MODAL_TASK_ID": "ta-1"})
    await process.ended()

asyncio.run(main())
"""


def test_ports_are_free_and_given_once() -> None:
    first = free_port("127.0.0.1", rng=random.Random(7))
    assert 20_000 <= first < 32_000
    assert free_port("127.0.0.1", rng=random.Random(7), taken=[first]) != first
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", first))
        listener.listen()
        assert free_port("127.0.0.1", rng=random.Random(7)) != first


def test_without_a_free_port_there_is_an_error() -> None:
    with pytest.raises(OSError, match="no free port from 20000 to 31999"):
        free_port("127.0.0.1", taken=range(20_000, 32_000))
