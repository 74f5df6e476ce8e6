"""The process around the application: the port, and a graceful end."""

import asyncio
import errno
import math
import socket
import time
from typing import Final

import uvicorn
from prometheus_client import CollectorRegistry

from target_app.app import Application, create_app
from target_app.config import Config, ConfigError

__all__ = ["Server", "serve"]


_BACKLOG: Final = 2048
_LAST_WORDS_S: Final = 0.2
"""How long answers that a drain's end cut short have to leave."""


class Server(uvicorn.Server):
    """uvicorn, which on SIGTERM refuses new connections and waits for requests in flight."""

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._application.ready()
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"target_app: listening on http://{shown}:{port}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        state = self.server_state
        if not state.connections:
            return
        # The drain is over. uvicorn would leave connections open whose clients do not read.
        if state.tasks:
            await asyncio.wait(list(state.tasks), timeout=_LAST_WORDS_S)
        await asyncio.sleep(_LAST_WORDS_S)
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


def serve(config: Config, *, started_unix: float, started: float) -> None:
    """Listen and serve until SIGTERM or SIGINT; ``started`` is the process' start.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    if config.boot_delay_s:
        print(f"target_app: the port opens in {config.boot_delay_s:g} s", flush=True)
        time.sleep(config.boot_delay_s)
    listener = _listener(config)
    application = create_app(
        config, registry=CollectorRegistry(), started_unix=started_unix, started=started
    )
    server = Server(
        uvicorn.Config(
            application,
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            backlog=_BACKLOG,
            # A server is kept busy by few clients: connections of idle users stay open.
            timeout_keep_alive=75,
            # uvicorn counts whole seconds, and takes 0 as no time at all.
            timeout_graceful_shutdown=math.ceil(config.grace_s),
        ),
        application,
    )
    server.run([listener])


def _listener(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
        # Bound alone it is not taken yet: another process might still listen before this one.
        listener.listen(_BACKLOG)
    # Python refuses a name that it cannot encode with a TypeError.
    except (OSError, TypeError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else "no name of a host"
        at_port = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
        option = "--port or PORT" if at_port else "--host or TARGET_HOST"
        raise ConfigError(
            f"cannot listen on {config.host} port {config.port} ({reason}); "
            f"choose another with {option}"
        ) from error
    return listener
