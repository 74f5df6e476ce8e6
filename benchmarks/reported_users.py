"""Users of each kind at ten requests a second each, for the benchmark of the latency they report.

A locustfile. The response times that Locust's own event tells, in milliseconds, go to the file
``REPORTED_FILE`` at the end, one line each.
"""

import os
from pathlib import Path
from typing import Any

from locust import FastHttpUser, HttpUser, constant_throughput, events, task

from loadgen import FlashUser

_reported: list[float] = []


class Requests(HttpUser):
    """Locust's HttpUser, on requests."""

    wait_time = constant_throughput(10)

    @task
    def one(self) -> None:
        self.client.get("/")


class Fast(FastHttpUser):
    """Locust's FastHttpUser, on geventhttpclient."""

    wait_time = constant_throughput(10)

    @task
    def one(self) -> None:
        self.client.get("/")


class Flash(FlashUser):
    """Ours; with ``--arrival-rate`` its wait time is not heeded."""

    routing = "sticky"
    wait_time = constant_throughput(10)

    @task
    def one(self) -> None:
        self.client.get("/")


@events.request.add_listener
def _note(response_time: float, exception: BaseException | None, **_: Any) -> None:
    if exception is None:
        _reported.append(response_time)


@events.quit.add_listener
def _write(**_: Any) -> None:
    Path(os.environ["REPORTED_FILE"]).write_text("\n".join(map(repr, _reported)))
