"""Runs the application: binds the port, says where it is, stops promptly."""

import asyncio
import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlencode

import uvicorn

from dashboard.app import Beat, create_app
from dashboard.collector import Collector
from dashboard.config import Config
from dashboard.embedded import EmbeddedSource
from dashboard.errors import ConfigError
from dashboard.http_connection import HttpConnection
from dashboard.own_metrics import OwnMetrics
from dashboard.prometheus_api import Credentials, PrometheusApi
from dashboard.prometheus_beat import PrometheusBeat
from dashboard.prometheus_source import PrometheusSource
from dashboard.source import Source
from dashboard.store import Store
from dashboard.token_file import kept_token
from flash.file_limit import raise_file_limit

__all__ = ["serve"]

_STOP_WITHIN_S = 3
_SEND_BUFFER = 128 << 10
_KEPT_FILES = 128  # of those that may be open, for scraping, the store and the rest


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigError: the port is taken or cannot be had, or the token's file cannot be used.
        StoreError: the store cannot be used.
    """
    # A token of the user's own is no business of whoever reads the output.
    shown = config.token is None
    if config.token_file is not None:
        config = replace(config, token=kept_token(config.token_file, config.token))
    listener = _listen(config)
    with listener:
        store = Store(config.store)
        try:
            embedded = EmbeddedSource(config.store)
            try:
                metrics = OwnMetrics()
                source, beat = _parts(config, store, embedded, metrics)
                _run(config, source, beat, metrics, listener, shown=shown)
            finally:
                embedded.close()
        finally:
            store.close()


class _Server(uvicorn.Server):
    """uvicorn with signals of our own.

    Its own handlers wait for open answers, which a live stream never ends by itself, and raise the
    signal again afterwards, which would end the process before the store is closed.
    """

    def __init__(self, config: uvicorn.Config, *, before_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._before_exit = before_exit

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        # Who asks a second time does not want to wait.
        self.force_exit = self.should_exit
        self.should_exit = True
        self._before_exit()


def _parts(
    config: Config, store: Store, embedded: EmbeddedSource, metrics: OwnMetrics
) -> tuple[Source, Beat]:
    """Where numbers come from, and what keeps it up to date."""
    if config.prometheus is None:
        return embedded, Collector(config, store, metrics=metrics)
    credentials = Credentials(
        token=config.prometheus_token,
        user=config.prometheus_user,
        password=config.prometheus_password,
    )
    api = PrometheusApi(config.prometheus, credentials=credentials)
    source = PrometheusSource(
        api,
        events=embedded.events,
        interval_s=config.prometheus_interval_s,
        look_back_s=config.retention_s,
    )
    return source, PrometheusBeat(config, api, store, metrics=metrics)


def _run(
    config: Config,
    source: Source,
    beat: Beat,
    metrics: OwnMetrics,
    listener: socket.socket,
    *,
    shown: bool,
) -> None:
    app = create_app(config, source, beat, metrics=metrics)
    settings = uvicorn.Config(
        app,
        loop="auto",
        http=HttpConnection,
        limit_concurrency=max(_KEPT_FILES, raise_file_limit() - _KEPT_FILES),
        ws="none",
        access_log=False,
        log_level="error",  # a visitor's mistakes are no business of the log
        server_header=False,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
        lifespan="on",
    )
    logging.basicConfig(level=logging.WARNING, format="dashboard: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    page = _page(config.external_url, listener, config.token if shown else None)
    print(f"Dashboard: {page}", flush=True)
    server = _Server(settings, before_exit=app.state.services.hub.close)
    asyncio.run(server.serve(sockets=[listener]))


def _page(external_url: str | None, listener: socket.socket, token: str | None) -> str:
    """What to open in a browser."""
    page = f"{external_url or _address(listener)}/"
    return page if token is None else f"{page}?{urlencode({'token': token})}"


def _address(listener: socket.socket) -> str:
    """What a browser on this machine reaches us by."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    host = "127.0.0.1" if config.host == "localhost" else config.host
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit it. uvloop does not set it, and an answer is written in two parts, of
    # which the second one would wait 40 ms for the client to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # By itself it grows to megabytes for each client that does not read.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    try:
        listener.bind((host, config.port))
        listener.listen(256)
    except (UnicodeError, TypeError) as error:  # either, when a name cannot be encoded
        listener.close()
        raise ConfigError(f"--host: {config.host[:100]!r} is no name of a host") from error
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {config.port} is in use; stop what listens there, "
                "or choose another with --port"
            ) from error
        raise ConfigError(
            f"cannot listen on {config.host} port {config.port}: {error.strerror}; "
            "see --host and --port"
        ) from error
    return listener
