"""The ASGI application.

A plain ASGI callable: every layer of a web framework would be part of what a load test measures.
Each response carries the container's id and ``Server-Timing: app;dur=<ms>``, the time from the
request's head to the answer's first byte; for a stream that is the time to the first token.
"""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from prometheus_client import CollectorRegistry

from target_app.config import Config
from target_app.errors import TargetAppError
from target_app.metrics import OTHER_ROUTE, Metrics
from target_app.parameters import GENERATE, WORK, ParameterError, from_json, from_query
from target_app.prefix_cache import PrefixCache

__all__ = ["CONTAINER_HEADER", "Application", "create_app"]

CONTAINER_HEADER: Final = "x-container-id"
SESSION_HEADER: Final = b"modal-session-id"

_LOGGER: Final = logging.getLogger("target_app")
_PIECE: Final = bytes(64 * 1024)
_LONGEST_BODY: Final = 1 << 20
_JSON: Final = b"application/json"
_CPU_SLICE_S: Final = 0.005

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Handler = Callable[["Exchange"], Awaitable[None]]


class ClientGoneError(TargetAppError):
    """The client closed its connection before the answer was whole."""


class Exchange:
    """One request and the answer that is being given to it."""

    __slots__ = ("_container", "_receive", "_send", "began", "code", "scope")

    def __init__(self, scope: Scope, receive: Receive, send: Send, container: bytes) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self._container = container
        self.began = time.perf_counter()
        self.code = 0

    def header(self, name: bytes) -> str | None:
        for have, value in self.scope["headers"]:
            if have == name:
                return str(value, "latin-1")
        return None

    async def body(self) -> bytes:
        """The request's body.

        Raises:
            ParameterError: it is longer than 1 MiB.
        """
        pieces, length = [], 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            pieces.append(message.get("body", b""))
            length += len(pieces[-1])
            if length > _LONGEST_BODY:
                raise ParameterError("body", f"the body is longer than {_LONGEST_BODY:,} bytes")
            if not message.get("more_body"):
                return b"".join(pieces)

    async def skip_body(self) -> None:
        """Read the request's body to its end, whatever its length, and keep nothing of it."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            if not message.get("more_body"):
                return

    async def gone(self) -> None:
        """Returns when the client has closed its connection."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(
        self, code: int, content_type: bytes, length: int | None, *more: tuple[bytes, bytes]
    ) -> None:
        self.code = code
        took_ms = (time.perf_counter() - self.began) * 1e3
        headers = [
            (b"content-type", content_type),
            (b"server-timing", b"app;dur=%.3f" % took_ms),
            (CONTAINER_HEADER.encode(), self._container),
            *more,
        ]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        await self._send({"type": "http.response.start", "status": code, "headers": headers})

    async def piece(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def answer(
        self, code: int, body: bytes, content_type: bytes = _JSON, *more: tuple[bytes, bytes]
    ) -> None:
        await self.start(code, content_type, len(body), *more)
        await self.piece(b"" if self.scope["method"] == "HEAD" else body, more=False)

    async def error(
        self, code: int, name: str, message: str, where: str, *more: tuple[bytes, bytes]
    ) -> None:
        content = {"error": {"code": name, "message": message, "where": where}}
        await self.answer(code, json.dumps(content).encode(), _JSON, *more)

    async def fail(self, name: str, message: str) -> None:
        """Answer 500; an answer that has begun stays unfinished, and the connection is closed."""
        if not self.code:
            await self.error(500, name, message, "server")


class Application:
    """The server's routes over one configuration; counts on its own ``metrics``."""

    def __init__(
        self, config: Config, registry: CollectorRegistry, *, started_unix: float, started: float
    ) -> None:
        self.config = config
        self.metrics = Metrics(config, registry)
        self.metrics.start_timestamp.set(started_unix)
        self.cache = PrefixCache(config.cached_sessions)
        self._started = started
        self._served = 0
        self._container = config.container.encode("latin-1", "replace")
        self.metrics.boot_duration.set(time.perf_counter() - started)
        self._routes: dict[str, tuple[dict[str, Handler], str]] = {
            "/": ({"GET": self._root, "HEAD": self._root, "POST": self._root}, "GET, HEAD, POST"),
            "/work": ({"GET": self._work, "HEAD": self._work}, "GET, HEAD"),
            "/generate": ({"POST": self._generate}, "POST"),
            "/healthz": ({"GET": self._health, "HEAD": self._health}, "GET, HEAD"),
            "/metrics": ({"GET": self._exposition, "HEAD": self._exposition}, "GET, HEAD"),
        }

    def ready(self) -> None:
        """The port is open: the boot ends here."""
        self.metrics.boot_duration.set(time.perf_counter() - self._started)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"no {scope['type']} here")
        exchange = Exchange(scope, receive, send, self._container)
        path = scope["path"]
        methods, allowed = self._routes.get(path, (None, ""))
        in_flight = path != "/metrics"  # a scrape would always see itself
        self.metrics.in_flight.inc(in_flight)
        try:
            if methods is None:
                await exchange.error(404, "not_found", "there is no such route", "path")
            elif (handler := methods.get(scope["method"])) is None:
                message = f"this route answers {allowed}"
                allow = (b"allow", allowed.encode())
                await exchange.error(405, "method_not_allowed", message, "method", allow)
            else:
                await handler(exchange)
        except ParameterError as error:
            await exchange.error(422, "invalid_parameter", str(error), error.where)
        except ClientGoneError:
            # 499 as nginx writes it: nobody is left to answer, yet the request was served in part.
            exchange.code = exchange.code or 499
        except Exception:  # a request is a supervised task: a defect costs one answer
            _LOGGER.exception("%s %s failed", scope["method"], path[:200])
            await exchange.fail("internal", "the server failed; see its log")
        except asyncio.CancelledError:  # the time to drain is over, and this task with it
            await exchange.fail("stopping", "the server was stopped before its answer was ready")
        finally:
            self.metrics.in_flight.dec(in_flight)
            self._served += 1
            route = path if methods is not None else OTHER_ROUTE
            self.metrics.ended(route, exchange.code or 500, time.perf_counter() - exchange.began)

    async def _root(self, exchange: Exchange) -> None:
        await exchange.skip_body()
        content = {
            "container": self.config.container,
            "region": self.config.region,
            "cloud": self.config.cloud,
            "session": exchange.header(SESSION_HEADER),
            "since_boot_s": round(time.perf_counter() - self._started, 6),
            "requests_served": self._served,
        }
        await exchange.answer(200, json.dumps(content).encode())

    async def _work(self, exchange: Exchange) -> None:
        asked = from_query(exchange.scope["query_string"], WORK)
        if asked["sleep_ms"]:
            await _unless_gone(exchange, asyncio.sleep(asked["sleep_ms"] / 1e3))
        if asked["cpu_ms"]:
            await _unless_gone(exchange, _burn(asked["cpu_ms"] / 1e3))
        left = int(asked["bytes"])
        await exchange.start(200, b"application/octet-stream", left)
        if exchange.scope["method"] == "HEAD":
            left = 0
        while left > len(_PIECE):
            await exchange.piece(_PIECE, more=True)
            left -= len(_PIECE)
            # To a client that reads as fast as this writes, sending alone never lets others on.
            await asyncio.sleep(0)
        await exchange.piece(_PIECE[:left], more=False)

    async def _generate(self, exchange: Exchange) -> None:
        query = exchange.scope["query_string"]
        body = await exchange.body()
        if query and body.strip():
            raise ParameterError("body", "give the parameters in the query or the body, not both")
        asked = from_query(query, GENERATE) if query else from_json(body, GENERATE)
        prompt, tokens = int(asked["prompt_tokens"]), int(asked["tokens"])
        session = exchange.header(SESSION_HEADER)
        missing = prompt - self._cached_tokens(session, prompt)
        if missing:
            await _unless_gone(exchange, asyncio.sleep(missing / asked["prefill_tokens_per_s"]))
        if session is not None:
            self.cache.keep(session, prompt)
        await exchange.start(200, b"text/event-stream", None, (b"cache-control", b"no-store"))
        await _unless_gone(exchange, _tokens(exchange, tokens, asked["tokens_per_s"]))
        usage = {
            "tokens": tokens,
            "prompt_tokens": prompt,
            "cached_tokens": prompt - missing,
            "container": self.config.container,
        }
        await exchange.piece(b"event: usage\ndata: %b\n\n" % json.dumps(usage).encode(), more=False)

    def _cached_tokens(self, session: str | None, prompt_tokens: int) -> int:
        """How much of a prompt need not be computed; a session's look-up is counted."""
        cached = None if session is None else self.cache.cached_tokens(session)
        if session is not None:
            (self.metrics.cache_miss if cached is None else self.metrics.cache_hit).inc()
        return min(cached or 0, prompt_tokens)

    async def _health(self, exchange: Exchange) -> None:
        await exchange.answer(200, b'{"status": "ok"}')

    async def _exposition(self, exchange: Exchange) -> None:
        body, content_type = self.metrics.exposition(exchange.header(b"accept") or "")
        await exchange.answer(200, body, content_type.encode())


def create_app(
    config: Config,
    *,
    registry: CollectorRegistry,
    started_unix: float | None = None,
    started: float | None = None,
) -> Application:
    """The application. ``started_unix`` (Unix seconds) and ``started`` (``perf_counter``) say when
    the server's code began, which is after Python's own start; left out, that is now."""
    return Application(
        config,
        registry,
        started_unix=time.time() if started_unix is None else started_unix,
        started=time.perf_counter() if started is None else started,
    )


async def _tokens(exchange: Exchange, tokens: int, tokens_per_s: float) -> None:
    """Send the tokens, each at its time counted from the first, so that late ones catch up."""
    first = time.perf_counter()
    for number in range(tokens):
        if number:
            ahead_s = first + number / tokens_per_s - time.perf_counter()
            await asyncio.sleep(max(0.0, ahead_s))  # others get their turn even when this is late
        await exchange.piece(b'data: {"token": %d}\n\n' % number, more=True)


async def _burn(cpu_s: float) -> None:
    """Use so much of this thread's CPU time, in slices, between which others get their turn."""
    left = cpu_s
    while left > 0:
        until = time.thread_time() + min(left, _CPU_SLICE_S)
        while time.thread_time() < until:
            pass
        left -= _CPU_SLICE_S
        await asyncio.sleep(0)


async def _unless_gone(exchange: Exchange, work: Awaitable[None]) -> None:
    """Do the work, or stop it when the client goes away first.

    Raises:
        ClientGoneError: the client went away.
    """
    doing = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(exchange.gone())
    try:
        await asyncio.wait((doing, watching), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientGoneError
        doing.result()
    finally:
        doing.cancel()
        watching.cancel()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
