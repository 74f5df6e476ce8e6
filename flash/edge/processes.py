"""Containers as processes: started in groups of their own, and ended to the last of them."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Launcher", "Process", "free_port"]

_SECRETS = ("FLASH_EDGE_PROXY_TOKEN", "FLASH_EDGE_FOREIGN_TOKEN")


class Process:
    """One running command and its process group."""

    def __init__(self, process: asyncio.subprocess.Process, launcher: "Launcher") -> None:
        self._process = process
        self._launcher = launcher

    def __repr__(self) -> str:
        return f"Process({self._process.pid})"

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ended(self) -> int:
        """Its exit status, once it has one; what it left of its group is killed."""
        status = await self._process.wait()
        self.kill()
        self._launcher.forget(self._process.pid)
        return status

    def terminate(self) -> None:
        """Ask the whole group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # nobody is left


class Launcher:
    """Starts the command; whatever becomes of this process, the started ones end."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._command = tuple(command)
        self._environ = {name: text for name, text in environ.items() if name not in _SECRETS}
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("reaper.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            bufsize=1,
        )

    async def start(self, environ: Mapping[str, str]) -> Process:
        """Start one; ``environ`` is added to the environment.

        Raises:
            OSError: the command cannot be started.
        """
        process = await asyncio.create_subprocess_exec(
            *self._command,
            env={**self._environ, **environ},
            stdin=subprocess.DEVNULL,
            # Standard output is the edge's own: one line that tells it is ready.
            stdout=sys.stderr,
            start_new_session=True,
        )
        self._tell(f"+{process.pid}")
        return Process(process, self)

    def forget(self, group: int) -> None:
        """The group is gone; its number may be given to another."""
        self._tell(f"-{group}")

    def close(self) -> None:
        """No more are started; the reaper ends what there still is, and itself."""
        if self._reaper.stdin is not None:
            try:
                self._reaper.stdin.close()
            except BrokenPipeError:
                pass
        self._reaper.wait()

    def _tell(self, line: str) -> None:
        if self._reaper.stdin is not None and not self._reaper.stdin.closed:
            try:
                self._reaper.stdin.write(line + "\n")
            except BrokenPipeError:
                pass  # without the reaper only a killed edge leaves anything behind


def free_port(host: str) -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
