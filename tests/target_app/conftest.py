"""An application with a registry of its own, asked in process; and real server processes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from prometheus_client import CollectorRegistry

from target_app.app import Application, create_app
from target_app.config import Config

CONTAINER = "ta-test1"


@dataclass
class InProcess:
    """An application and what its registry has counted."""

    registry: CollectorRegistry
    app: Application

    def asked(self, script: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
        async def run() -> None:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                await script(client)

        asyncio.run(run())

    def ask(self, method: str, path: str, **more: object) -> httpx.Response:
        answers: list[httpx.Response] = []

        async def script(client: httpx.AsyncClient) -> None:
            answers.append(await client.request(method, path, **more))

        self.asked(script)
        return answers[0]

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"container": CONTAINER, **labels})


@pytest.fixture
def server() -> InProcess:
    registry = CollectorRegistry()
    config = Config(container=CONTAINER, region="us-east-1", cloud="AWS", cached_sessions=2)
    return InProcess(registry, create_app(config, registry=registry))


@dataclass
class Spawner:
    """Starts ``python -m target_app`` and leaves none behind."""

    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "target_app"],
            env={**os.environ, "PORT": "0", **environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def serving(self, **environ: str) -> tuple[subprocess.Popen[str], str]:
        """A process whose port is open, and its address."""
        process = self.start(**environ)
        assert process.stdout is not None
        line = process.stdout.readline()
        if "TARGET_BOOT_DELAY_S" in environ:
            line = process.stdout.readline()
        assert line.startswith("target_app: listening on http://127.0.0.1:"), line
        return process, line.split()[-1]


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    spawner = Spawner()
    yield spawner
    for process in spawner.processes:
        process.kill()
        process.communicate()
