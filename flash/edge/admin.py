"""The admin interface: JSON over HTTP on a port of its own."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from math import isfinite
from typing import Final, cast
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from flash.autoscaler import AutoscalerSettings
from flash.edge.gate import Gate, error_answer, host_name
from flash.edge.pool import ContainerPool, ManagedContainer, public_state
from flash.edge.region import RegionalProxy

__all__ = ["AdminServer", "create_admin"]

_WHOLE: Final = ("min_containers", "max_containers", "buffer_containers")
_LARGEST: Final = {name: 10_000 for name in (*_WHOLE, "target_concurrency")}
_LONGEST_S: Final = 86_400
_LONGEST_BODY: Final = 64 * 1024
_LARGEST_SEQUENCE: Final = 10**15


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
    metrics: Callable[[str], tuple[bytes, str]],
    *,
    hosts: Iterable[str] = (),
    everywhere: bool = False,
) -> Starlette:
    """The application.

    ``urls`` are the flash URLs by region, ``metrics`` makes the page of metrics and its content
    type for an Accept header, ``hosts`` are further names by which it may be called. An edge that
    listens ``everywhere``, on all addresses, is told of under the name that it was called by.
    """
    admin = _Admin(pool, regions, urls, metrics, everywhere=everywhere)
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
        middleware=[Middleware(Gate, hosts=tuple(hosts))],
    )


class _Admin:
    def __init__(
        self,
        pool: ContainerPool,
        regions: Mapping[str, RegionalProxy],
        urls: Mapping[str, str],
        metrics: Callable[[str], tuple[bytes, str]],
        *,
        everywhere: bool,
    ) -> None:
        self._pool = pool
        self._regions = regions
        self._urls = urls
        self._metrics = metrics
        self._everywhere = everywhere

    def _called(self, request: Request) -> str:
        """The name under which others reach us and our containers; empty: the one we know."""
        return host_name(request.headers.get("host", "")) if self._everywhere else ""

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def flash_urls(self, request: Request) -> Response:
        called = self._called(request)
        return JSONResponse(
            {region: _renamed(url, called) if called else url for region, url in self._urls.items()}
        )

    async def containers(self, request: Request) -> Response:
        called = self._called(request)
        return JSONResponse([_told(container, called) for container in self._pool.containers()])

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
        return JSONResponse(_told(container, self._called(request)))

    async def config(self, request: Request) -> Response:
        return JSONResponse(self._config())

    async def change_config(self, request: Request) -> Response:
        given = await _object(request)
        changed = {name: _setting(name, value) for name, value in given.items()}
        try:
            # Whole numbers were made of those that have to be; mypy sees one type for all names.
            settings = replace(self._pool.settings, **cast("dict[str, int]", changed))
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
        if not (text.isascii() and text.isdigit()) or int(text[:20]) > _LARGEST_SEQUENCE:
            raise InputError("since", f"since: expected the number of an event, got {text[:40]!r}")
        found = self._pool.events.since(int(text))
        dropped = found[0].sequence - int(text) - 1 if found else 0
        return JSONResponse(
            [
                {
                    "sequence": event.sequence,
                    "time": event.time,
                    "kind": event.kind,
                    "task_id": event.task_id,
                    "detail": event.detail,
                }
                for event in found
            ],
            headers={"x-events-dropped": str(dropped)},
        )

    async def metrics(self, request: Request) -> Response:
        body, content_type = self._metrics(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    def _config(self) -> dict[str, float | int]:
        return asdict(self._pool.settings)


def _renamed(url: str, name: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{parts.port}"


def _told(container: ManagedContainer, called: str) -> dict[str, object]:
    return {
        "task_id": container.task_id,
        "region": container.region,
        "host": called or container.host,
        "port": container.port,
        "state": public_state(container.state),
        "in_flight": container.in_flight,
        "started_at": container.started_at,
        "ready_at": container.ready_at,
    }


def _setting(name: str, value: object) -> int | float:
    known = [field.name for field in fields(AutoscalerSettings)]
    if name not in known:
        raise InputError(name, f"{name}: no such setting; there are {', '.join(known)}")
    most = _LARGEST.get(name, _LONGEST_S)
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not isfinite(value)
        or not 0 <= value <= most
    ):
        raise InputError(name, f"{name}: expected a number from 0 to {most}, got {value!r}"[:300])
    if name in _WHOLE and value != int(value):
        raise InputError(name, f"{name}: expected a whole number, got {value!r}")
    return int(value) if name in _WHOLE else value


async def _object(request: Request) -> dict[str, object]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LONGEST_BODY:
            raise InputError("body", f"the body is longer than {_LONGEST_BODY} bytes")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("body", "the body is not JSON") from None
    if not isinstance(given, dict):
        raise InputError("body", "the body is not a JSON object")
    return given


async def _unusable(request: Request, error: Exception) -> Response:
    assert isinstance(error, InputError)
    return error_answer(422, "invalid_parameter", str(error), error.where)


async def _no_such(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = "method_not_allowed" if error.status_code == 405 else "not_found"
    return error_answer(error.status_code, code, str(error.detail), request.url.path)
