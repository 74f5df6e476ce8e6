"""The web application: the page, the JSON interface, the live stream."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from dashboard.answers import PanelAnswer
from dashboard.config import Config
from dashboard.erasure import Erased
from dashboard.errors import (
    BadQueryError,
    ConflictError,
    DashboardError,
    NoAdviceError,
    NotFoundError,
    PrometheusError,
    PrometheusTimeoutError,
    StoreError,
)
from dashboard.gate import Gate
from dashboard.live import Feed, LiveHub
from dashboard.model import Event, Target, TargetStatus
from dashboard.own_metrics import OwnMetrics
from dashboard.page import load_page
from dashboard.panels import PANELS
from dashboard.routes import Services, router, status_json
from dashboard.run_overview import RunOverviews
from dashboard.source import Source

__all__ = ["Beat", "create_app"]

_log = logging.getLogger(__name__)


class Beat(Feed, Protocol):
    """What keeps the source up to date, and knows the targets."""

    async def run(self) -> None:
        """Work until cancelled."""

    def status(self) -> list[TargetStatus]:
        """Every target and how it is."""

    def targets(self) -> list[Target]:
        """Everything there is to scrape now."""

    async def note(self, event: Event) -> None:
        """Store an event.

        Raises:
            StoreError: it could not be stored.
        """

    async def delete_run(self, run: str) -> Erased:
        """Delete a run from what is stored here.

        Raises:
            ConflictError: it is still going on, or stored elsewhere.
            NotFoundError: there is no such run.
            StoreError: the store could not be written.
        """

    @property
    def platform_error(self) -> str | None:
        """Why the platform does not answer, ``None`` when all is well."""


def create_app(
    config: Config,
    source: Source,
    beat: Beat | None = None,
    *,
    metrics: OwnMetrics | None = None,
    clock: Callable[[], float] = time.time,
) -> FastAPI:
    """The application over ``source``; ``beat`` and the live stream run while it does.

    Without a ``beat`` somebody else fills the source, and the newest seconds are looked at anew.
    """
    own = metrics or OwnMetrics()
    beat = beat or _Elsewhere(clock)
    hub = LiveHub(source, beat, metrics=own, status=lambda: status_json(beat), clock=clock)
    panels = [PanelAnswer.of(panel).model_dump() for panel in PANELS.values()]
    page = load_page({"locust_url": config.locust_url, "panels": panels})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(_supervised(work)) for work in (beat.run, hub.run)]
        try:
            yield
        finally:
            hub.close()
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    app = FastAPI(
        title="flashgauge dashboard",
        summary="What the page shows, as JSON.",
        version="1",
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.services = Services(
        source=source,
        beat=beat,
        hub=hub,
        metrics=own,
        page=page,
        overviews=RunOverviews(source, clock=clock),
        clock=clock,
    )
    app.include_router(router)
    app.add_exception_handler(DashboardError, _dashboard_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Gate, hosts=config.host_names, token=config.token)
    return app


class _Elsewhere:
    """The beat of a source that is filled by somebody else."""

    platform_error = None

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def settled(self, within_s: float) -> None:
        pass

    def take_changes(self) -> int | None:
        return int(self._clock()) - 2

    def status(self) -> list[TargetStatus]:
        return []

    def targets(self) -> list[Target]:
        return []

    async def note(self, event: Event) -> None:
        raise StoreError("notes cannot be kept here: this source is filled by somebody else")

    async def delete_run(self, run: str) -> Erased:
        raise ConflictError("run", "it cannot be deleted here: this source is only read")


async def _supervised(work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception:  # supervised: what keeps the page alive is started again
            _log.exception("%s failed and is started again", work)
            await asyncio.sleep(1.0)


def _answer(status: int, code: str, message: str, where: str) -> JSONResponse:
    return JSONResponse(
        {"error": {"code": code, "message": message, "where": where}}, status_code=status
    )


async def _dashboard_error(request: Request, error: Exception) -> Response:
    if isinstance(error, BadQueryError):
        return _answer(400, "bad_parameter", str(error), error.where)
    if isinstance(error, NotFoundError):
        return _answer(404, "not_found", str(error), error.where)
    if isinstance(error, NoAdviceError):
        return _answer(409, "no_advice", str(error), "run")
    if isinstance(error, ConflictError):
        return _answer(409, "conflict", str(error), error.where)
    if isinstance(error, PrometheusTimeoutError):
        return _answer(504, "prometheus_timeout", str(error), request.url.path)
    if isinstance(error, PrometheusError):
        return _answer(502, "prometheus_failed", str(error), request.url.path)
    code = "store_unavailable" if isinstance(error, StoreError) else "failed"
    return _answer(503, code, str(error), request.url.path)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or str(first["loc"][0])
    return _answer(422, "bad_parameter", f"{where}: {first['msg']}", where)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed"}
    message = {404: f"there is nothing at {request.url.path[:200]}"}.get(
        error.status_code, str(error.detail)
    )
    answer = _answer(
        error.status_code, codes.get(error.status_code, "failed"), message, request.url.path[:200]
    )
    answer.headers.update(error.headers or {})
    return answer
