"""The admin interface: JSON over HTTP on a port of its own."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, replace
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flash.autoscaler import AutoscalerSettings
from flash.edge.pool import ContainerPool, ManagedContainer, public_state
from flash.edge.region import RegionalProxy

__all__ = ["AdminServer", "create_admin"]

_WHOLE = ("min_containers", "max_containers", "buffer_containers")


class AdminServer(uvicorn.Server):
    """uvicorn beside the data plane on one loop; signals are the edge's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class InputError(Exception):
    """What a caller sent cannot be used; ``where`` names the place."""

    def __init__(self, where: str, message: str) -> None:
        super().__init__(message)
        self.where = where


def create_admin(
    pool: ContainerPool,
    regions: Mapping[str, RegionalProxy],
    urls: Mapping[str, str],
    registry: CollectorRegistry,
) -> Starlette:
    """The application. ``urls`` are the flash URLs by region."""
    admin = _Admin(pool, regions, urls, registry)
    return Starlette(
        routes=[
            Route("/healthz", admin.health),
            Route("/flash_urls", admin.flash_urls),
            Route("/containers", admin.containers),
            Route("/containers/{task_id}/{action}", admin.act, methods=["POST"]),
            Route("/config", admin.config, methods=["GET"]),
            Route("/config", admin.change_config, methods=["PATCH"]),
            Route("/faults", admin.faults, methods=["GET"]),
            Route("/faults", admin.change_faults, methods=["PATCH"]),
            Route("/events", admin.events),
            Route("/metrics", admin.metrics),
        ],
        exception_handlers={InputError: _unusable, HTTPException: _no_such},
    )


class _Admin:
    def __init__(
        self,
        pool: ContainerPool,
        regions: Mapping[str, RegionalProxy],
        urls: Mapping[str, str],
        registry: CollectorRegistry,
    ) -> None:
        self._pool = pool
        self._regions = regions
        self._urls = urls
        self._registry = registry

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def flash_urls(self, request: Request) -> Response:
        return JSONResponse(dict(self._urls))

    async def containers(self, request: Request) -> Response:
        return JSONResponse([_told(container) for container in self._pool.containers()])

    async def act(self, request: Request) -> Response:
        task_id, action = request.path_params["task_id"], request.path_params["action"]
        container = self._pool.find(task_id)
        if container is None:
            raise HTTPException(404, f"there is no container {task_id!r}; see /containers")
        if action == "kill":
            self._pool.kill(container)
        elif action == "stop":
            self._pool.stop(container)
        else:
            raise HTTPException(404, f"a container can be told kill or stop, not {action!r}")
        return JSONResponse(_told(container))

    async def config(self, request: Request) -> Response:
        return JSONResponse(self._config())

    async def change_config(self, request: Request) -> Response:
        given = await _object(request)
        known = [field.name for field in fields(AutoscalerSettings)]
        for name, value in given.items():
            if name not in known:
                raise InputError(name, f"{name}: no such setting; there are {', '.join(known)}")
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(name, f"{name}: expected a number, got {value!r}")
            if name in _WHOLE and value != int(value):
                raise InputError(name, f"{name}: expected a whole number, got {value!r}")
        whole = {name: int(value) for name, value in given.items() if name in _WHOLE}
        try:
            settings = replace(self._pool.settings, **{**given, **whole})
        except ValueError as error:
            named = [name for name in given if name in str(error)]
            raise InputError(named[0] if named else "body", str(error)) from error
        self._pool.update(settings)
        return JSONResponse(self._config())

    async def faults(self, request: Request) -> Response:
        return JSONResponse({name: asdict(proxy.faults) for name, proxy in self._regions.items()})

    async def change_faults(self, request: Request) -> Response:
        given = await _object(request)
        changed = {}
        for region, wanted in given.items():
            proxy = self._regions.get(region)
            if proxy is None:
                known = ", ".join(self._regions)
                raise InputError(region, f"{region}: no such region; there are {known}")
            if not isinstance(wanted, dict):
                raise InputError(region, f"{region}: expected an object of faults, got {wanted!r}")
            try:
                changed[proxy] = proxy.faults.changed(wanted)
            except ValueError as error:
                raise InputError(region, f"{region}: {error}") from error
        for proxy, faults in changed.items():
            proxy.faults = faults
            self._pool.events.add("faults_changed", detail=f"{proxy.region}: {faults!r}")
        return await self.faults(request)

    async def events(self, request: Request) -> Response:
        text = request.query_params.get("since", "0")
        if not (text.isascii() and text.isdigit()) or len(text) > 15:
            raise InputError("since", f"since: expected the number of an event, got {text[:40]!r}")
        found = self._pool.events.since(int(text))
        return JSONResponse([asdict(event) for event in found])

    async def metrics(self, request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(self._registry), headers={"content-type": content_type})

    def _config(self) -> dict[str, float | int]:
        return asdict(self._pool.settings)


def _told(container: ManagedContainer) -> dict[str, object]:
    return {
        "task_id": container.task_id,
        "region": container.region,
        "host": container.host,
        "port": container.port,
        "state": public_state(container.state),
        "in_flight": container.in_flight,
        "started_at": container.started_at,
        "ready_at": container.ready_at,
    }


async def _object(request: Request) -> dict[str, Any]:
    try:
        given = await request.json()
    except ValueError:
        raise InputError("body", "the body is not JSON") from None
    if not isinstance(given, dict):
        raise InputError("body", "the body is not a JSON object")
    return given


def _error(status: int, code: str, message: str, where: str) -> Response:
    content = {"error": {"code": code, "message": message, "where": where}}
    return JSONResponse(content, status_code=status)


async def _unusable(request: Request, error: Exception) -> Response:
    assert isinstance(error, InputError)
    return _error(422, "invalid_parameter", str(error), error.where)


async def _no_such(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "method_not_allowed" if error.status_code == 405 else "not_found"
    return _error(error.status_code, code, str(error.detail), request.url.path)
