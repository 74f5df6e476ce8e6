"""Programs that benchmarks measure against, started on loopback and pinned to a core each."""

import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = [
    "first_of_all",
    "free_port",
    "free_ports",
    "machine",
    "nginx",
    "pinned",
    "program",
    "running",
    "wait_for_port",
]


def program(name: str) -> str:
    """Path of a program, also where root's programs are; exits with status 2 without it."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        print(f"benchmark: {name} is not installed; install it and run again", file=sys.stderr)
        sys.exit(2)
    return found


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """The command bound to one core, where the system can do that."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(core), *command] if taskset else list(command)


def first_of_all(command: Sequence[str]) -> list[str]:
    """The command served before all other processes of its core, where this user may say so.

    Whoever else has work there, an editor even, keeps a server waiting for milliseconds at a time.
    """
    chrt = shutil.which("chrt")
    if chrt is None or subprocess.run([chrt, "-f", "1", "true"], capture_output=True).returncode:
        return list(command)
    return [chrt, "-f", "1", *command]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_ports(count: int) -> int:
    """The first of so many free ports in a row, which no system hands to whoever asks for any."""
    while True:
        first = random.randrange(20_000, 30_000)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
        return first


def wait_for_port(port: int, *, within_s: float = 20.0) -> None:
    give_up = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.05)
        else:
            return


@contextmanager
def running(
    command: Sequence[str], *, port: int | None = None, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is ended afterwards; waits for its port to accept first."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            if port is not None:
                wait_for_port(port)
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def nginx(
    folder: Path,
    server: str,
    *,
    core: int | None,
    port: int,
    http: str = "",
    first: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """nginx with one worker, ``server`` in its server block and ``http`` in its http block.

    It is bound to ``core``, or to none, and ``first`` of all that there is to run if asked for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {http}
  server {{ {server} }}
}}
"""
    )
    command = [program("nginx"), "-p", str(folder), "-c", str(config)]
    command = first_of_all(command) if first else command
    command = command if core is None else pinned(core, command)
    with running(command, port=port, log=folder / "output.txt") as process:
        yield process


def machine() -> str:
    """What the figures were measured on, in one line."""
    model = "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*: (.*)", cpuinfo.read_text())
        model = found[1] if found else model
    import os
    import platform

    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )
