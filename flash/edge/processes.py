"""Containers as processes: started in groups of their own, and ended to the last of them."""

import asyncio
import errno
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from flash.edge.errors import ConfigError
from flash.edge.output import ContainerOutput

__all__ = ["Launcher", "Process", "free_port"]

_SECRETS: Final = ("FLASH_EDGE_PROXY_TOKEN", "FLASH_EDGE_FOREIGN_TOKEN")

# Below those that systems give to outgoing connections (from 32768 on Linux, 49152 on macOS): one
# that is free now is not taken by a connection before the container listens.
_PORTS: Final = range(20_000, 32_000)
_MOST_PROBES: Final = 500


class Process:
    """One running command and its process group."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        launcher: "Launcher",
        output: ContainerOutput,
    ) -> None:
        self._process = process
        self._launcher = launcher
        self._output = output

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
        self._output.finish()
        return status

    def last_output(self) -> str:
        """The last lines that it printed, empty when there were none."""
        return self._output.tail()

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
    """Starts the command; whatever becomes of this process, the started ones end.

    ``output`` gets what they print, in lines that begin with their ``MODAL_TASK_ID``; ``None``
    discards it.

    Raises:
        ConfigError: there is no such program.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        *,
        output: Callable[[bytes], None] | None = None,
    ) -> None:
        if shutil.which(command[0], path=environ.get("PATH")) is None:
            raise ConfigError(f"COMMAND: no program {command[0]!r} is found, or it may not be run")
        self._command = tuple(command)
        self._output = output
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
        output = ContainerOutput(environ.get("MODAL_TASK_ID", self._command[0]), self._output)
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                env={**self._environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output.write_end,
                stderr=output.write_end,
                start_new_session=True,
            )
        except BaseException:
            output.finish()
            raise
        self._tell(f"+{process.pid}")
        output.started()
        return Process(process, self, output)

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


def free_port(host: str, *, taken: Iterable[int] = (), rng: random.Random | None = None) -> int:
    """A port that nobody listens on, and that is none of ``taken``.

    Raises:
        OSError: there is none left.
    """
    rng = rng or random.Random()
    avoided = frozenset(taken)
    for _ in range(_MOST_PROBES):
        port = rng.choice(_PORTS)
        if port in avoided:
            continue
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
        return port
    raise OSError(errno.EADDRINUSE, f"no free port from {_PORTS.start} to {_PORTS.stop - 1}")
