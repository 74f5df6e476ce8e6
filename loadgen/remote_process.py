"""Locust's master or worker as a child process, behind the relay that keeps strangers away."""

import asyncio
import os
import random
import socket
import ssl
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.request import ProxyHandler, build_opener

from loadgen.relay import Address, Connector, Listener
from loadgen.remote_run import Place, RemoteRun, Results, master_arguments, worker_arguments

__all__ = ["METRICS_FILE", "MasterProcess", "run_worker"]

METRICS_FILE: Final = "metrics.txt"
"""Name of the file with the last page of metrics."""

_FOLDER: Final = Path(__file__).parent
_NEVER_HANDED_OUT: Final = range(20_000, 30_000)
_SCRAPE_EVERY_S: Final = 0.25  # the page is there for a second after the last report
_FETCH_WITHIN_S: Final = 2.0
_END_WITHIN_S: Final = 15.0


class MasterProcess:
    """A master and its :class:`Listener`; used with ``async with``, which ends both.

    ``environ`` is the master's environment, with the target's proxy token if it needs one. ``port``
    is where workers come, from outside of this machine if ``host`` lets them.
    """

    def __init__(
        self,
        run: RemoteRun,
        secret: bytes,
        *,
        host: str = "127.0.0.1",
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._run = run
        self._environ = environ
        self._master_port, self._metrics_port = _free_ports(2)
        self._listener = Listener(secret, ("127.0.0.1", self._master_port), host=host)
        self._folder = tempfile.TemporaryDirectory(prefix="flashgauge-")
        self._child: asyncio.subprocess.Process | None = None
        self._page: str | None = None

    def __repr__(self) -> str:
        return f"<MasterProcess of {self._run!r}, {self._listener!r}>"

    @property
    def port(self) -> int:
        """Where workers' connectors come."""
        return self._listener.port

    async def __aenter__(self) -> "MasterProcess":
        await self._listener.__aenter__()
        arguments = master_arguments(
            self._run,
            port=self._master_port,
            metrics_port=self._metrics_port,
            results=self._folder.name,
        )
        self._child = await _locust(arguments, self._environ)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._child is not None:
            await _end(self._child)
        await self._listener.__aexit__(kind, error, trace)
        self._folder.cleanup()

    async def results(self) -> Results:
        """Once the run is over."""
        assert self._child is not None
        scraping = asyncio.create_task(self._keep_scraping())
        status = await self._child.wait()
        scraping.cancel()
        with suppress(asyncio.CancelledError):
            await scraping
        files = _texts(Path(self._folder.name))
        if self._page is not None:
            files[METRICS_FILE] = self._page
        return Results(status=status, files=files)

    async def _keep_scraping(self) -> None:
        url = f"http://127.0.0.1:{self._metrics_port}/metrics"
        while True:
            with suppress(OSError, HTTPException):  # not there yet, or not any more
                self._page = await asyncio.to_thread(_fetched, url)
            await asyncio.sleep(_SCRAPE_EVERY_S)


async def run_worker(
    place: Place,
    secret: bytes,
    to: Address,
    *,
    tls: ssl.SSLContext | None,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """A worker of the master whose listener is at ``to``, until it ends; its exit status.

    ``tls`` encrypts the way there, ``None`` is for one that needs none.
    """
    async with Connector(secret, to, tls=tls) as connector:
        child = await _locust(worker_arguments(place, port=connector.port), environ)
        try:
            return await child.wait()
        finally:
            await _end(child)


async def _locust(
    arguments: tuple[str, ...], environ: Mapping[str, str]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "locust", "-f", str(_FOLDER), *arguments),
        cwd=_FOLDER.parent,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
    )


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
        try:
            await asyncio.wait_for(child.wait(), _END_WITHIN_S)
        except TimeoutError:
            child.kill()
            await child.wait()


def _texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())}


def _fetched(url: str) -> str:
    # The page is on this machine, whatever proxy there may be.
    with build_opener(ProxyHandler({})).open(url, timeout=_FETCH_WITHIN_S) as response:
        return str(response.read(), "utf-8")


def _free_ports(count: int) -> list[int]:
    """Ports that are free, and of those that no system hands to whoever asks for any one."""
    free: list[int] = []
    for port in random.sample(_NEVER_HANDED_OUT, len(_NEVER_HANDED_OUT)):
        if len(free) == count:
            break
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            free.append(port)
    return free
