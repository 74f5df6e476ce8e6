"""The process around the application: the port, and a graceful end."""

import socket
import time

import uvicorn
from prometheus_client import CollectorRegistry

from target_app.app import Application, create_app
from target_app.config import Config, ConfigError

__all__ = ["Server", "serve"]


class Server(uvicorn.Server):
    """uvicorn, which on SIGTERM refuses new connections and waits for requests in flight."""

    def __init__(self, config: uvicorn.Config, application: Application) -> None:
        super().__init__(config)
        self._application = application

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._application.ready()


def serve(config: Config, *, started_unix: float, started: float) -> None:
    """Listen and serve until SIGTERM or SIGINT; ``started`` is the process' start.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    time.sleep(max(0.0, config.boot_delay_s))
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {config.host} port {config.port} ({error.strerror}); "
            "choose another with --port or PORT"
        ) from error
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
            # A server is kept busy by few clients: connections of idle users stay open.
            timeout_keep_alive=75,
            timeout_graceful_shutdown=round(config.grace_s),
        ),
        application,
    )
    server.run([listener])
