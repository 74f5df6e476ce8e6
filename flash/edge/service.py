"""The whole edge in one process: listeners, pool, admin interface, and their end."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Mapping
from time import perf_counter

import uvicorn
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from flash.edge.admin import AdminServer, create_admin
from flash.edge.client import ClientConnection
from flash.edge.config import Config
from flash.edge.counters import EdgeCollector
from flash.edge.delay import timers
from flash.edge.errors import ConfigError
from flash.edge.events import EventLog
from flash.edge.exposition import page
from flash.edge.open_files import ConnectionLimit, most_connections
from flash.edge.output import standard_error
from flash.edge.pool import ContainerPool
from flash.edge.processes import Launcher
from flash.edge.region import RegionalProxy

__all__ = ["serve"]

_log = logging.getLogger("flash.edge")

_BACKLOG = 4096
_FEW_CONNECTIONS = 1000
_ALL_ADDRESSES = ("0.0.0.0", "::")


async def serve(config: Config, environ: Mapping[str, str], *, files: int) -> None:
    """Run the edge until SIGTERM or SIGINT, then drain it; a second signal ends it at once.

    ``files`` is how many may be open.

    Raises:
        ConfigError: a port is taken.
    """
    with contextlib.ExitStack() as stack:
        admin_socket = stack.enter_context(_listen(config.host, config.admin_port, "--admin-port"))
        sockets = {
            region: stack.enter_context(
                _listen(config.host, config.first_port and config.first_port + n, "--first-port")
            )
            for n, region in enumerate(config.regions)
        }
        output = standard_error()
        stack.callback(output.close)
        passed_on = output.write_bytes if config.container_output else None
        launcher = Launcher(config.command, environ, output=passed_on)
        stack.callback(launcher.close)
        await _Edge(config, launcher, admin_socket, sockets, files).run()


class _Edge:
    def __init__(
        self,
        config: Config,
        launcher: Launcher,
        admin_socket: socket.socket,
        sockets: Mapping[str, socket.socket],
        files: int,
    ) -> None:
        self._config = config
        self._sockets = sockets
        self._admin_socket = admin_socket
        self._timers = timers(asyncio.get_running_loop())
        self._pool = ContainerPool(config, launcher, EventLog())
        limit = self._limit(files)
        self._proxies = {
            region: RegionalProxy(
                region,
                self._pool,
                self._timers,
                rtt_s=config.rtt_s.get(region, 0.0),
                tokens=config.tokens,
                foreign_tokens=config.foreign_tokens,
                limit=limit,
            )
            for region in config.regions
        }
        self._stop = asyncio.Event()
        self._signals = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._told_to_stop)
        servers = [await self._listener(region) for region in self._config.regions]
        admin = self._admin()
        supervised: list[asyncio.Task[None]] = [
            loop.create_task(self._administer(admin)),
            loop.create_task(self._pool.run()),
            loop.create_task(self._sweep()),
        ]
        stop = loop.create_task(self._stop.wait())
        print(self._readiness(), flush=True)
        try:
            await asyncio.wait((stop, *supervised), return_when=asyncio.FIRST_COMPLETED)
            for task in supervised:
                if task.done():
                    task.result()  # raises what ended it
        finally:
            await self._drain(servers)
            admin.should_exit = True
            await supervised[0]
            stop.cancel()
            for task in supervised[1:]:
                task.cancel()
            self._timers.close()

    def _limit(self, files: int) -> ConnectionLimit:
        most = most_connections(files)
        remedy = f"the system allows {files:,} open files; more with ulimit -n"
        if most < _FEW_CONNECTIONS:
            _log.warning("at most %s connections at a time: %s", f"{most:,}", remedy)
        what = f"turned a connection away, {most:,} are open: {remedy}"
        return ConnectionLimit(most, lambda: self._pool.complaints.add("the edge", what))

    def _told_to_stop(self) -> None:
        self._signals += 1
        if self._signals > 1:
            self._pool.hurry()
        self._stop.set()

    async def _listener(self, region: str) -> asyncio.Server:
        proxy = self._proxies[region]
        return await asyncio.get_running_loop().create_server(
            lambda: ClientConnection(proxy), sock=self._sockets[region], backlog=_BACKLOG
        )

    def _admin(self) -> AdminServer:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        counters = {region: proxy.counters for region, proxy in self._proxies.items()}
        collector = EdgeCollector(
            counters,
            self._pool.starts,
            self._pool.by_state,
            lambda: self._pool.settings,
            registry,
        )
        app = create_admin(
            self._pool,
            self._proxies,
            self._urls(),
            lambda accept: page(registry, collector, accept),
            hosts=(self._config.host, *self._config.allowed_hosts),
            everywhere=self._config.host in _ALL_ADDRESSES,
        )
        return AdminServer(
            uvicorn.Config(
                app,
                lifespan="off",
                access_log=False,
                log_level="warning",
                ws="none",
                timeout_graceful_shutdown=1,
            )
        )

    async def _administer(self, admin: AdminServer) -> None:
        await admin.serve([self._admin_socket])

    def _urls(self) -> dict[str, str]:
        return {region: _url(listener) for region, listener in self._sockets.items()}

    def _readiness(self) -> str:
        regions = ", ".join(f"{region} {url}" for region, url in self._urls().items())
        return f"flash.edge: admin {_url(self._admin_socket)}, {regions}"

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            now = perf_counter()
            for proxy in self._proxies.values():
                proxy.sweep(now)
            self._pool.sweep()

    async def _drain(self, servers: list[asyncio.Server]) -> None:
        for server in servers:
            server.close()
        for proxy in self._proxies.values():
            for connection in list(proxy.connections):
                connection.close_when_idle()
        await self._pool.close(self._abort_connections)
        self._abort_connections()

    def _abort_connections(self) -> None:
        for proxy in self._proxies.values():
            for connection in list(proxy.connections):
                connection.abort()


def _listen(host: str, port: int, option: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); "
            f"choose another with {option}"
        ) from error
    listener.setblocking(False)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
