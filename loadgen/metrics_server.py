"""The Prometheus page of the load generator, served beside the load."""

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

import gevent
from gevent.pywsgi import WSGIServer

from loadgen.errors import Error
from loadgen.exposition import accepted

__all__ = ["MetricsServer", "PortTakenError"]

_BACKLOG: Final = 128
_WATCHED_S: Final = 2.0
_LAST_LOOK_S: Final = 1.5

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class PortTakenError(Error):
    """The page's address cannot be listened on."""


class MetricsServer:
    """Serves ``/metrics``; ``page`` makes it for a content type.

    Raises:
        PortTakenError: the port is in use.
    """

    def __init__(self, host: str, port: int, page: Callable[[str], bytes]) -> None:
        self._page = page
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # gevent's server would only say so from a greenlet, after the run has begun.
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise PortTakenError(
                f"cannot serve metrics on {host} port {port} ({error.strerror}); "
                "choose another with --metrics-port or LOADGEN_METRICS_PORT"
            ) from error
        listener.setblocking(False)
        self._asked_at = float("-inf")
        self.port = int(listener.getsockname()[1])
        self._server = WSGIServer(listener, self._answer, log=None, error_log=None)
        self._server.start()

    def await_last_look(self, sleep: Callable[[float], object] = gevent.sleep) -> None:
        """Stay for one more scrape if somebody has been scraping every second or so.

        What the last second of a run brought, and that it has ended, would be missing there.
        """
        if time.monotonic() - self._asked_at < _WATCHED_S:
            sleep(_LAST_LOOK_S)

    def close(self) -> None:
        """Stop serving."""
        self._server.stop(timeout=1)

    def _answer(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/metrics":
            return _problem(start_response, "404 Not Found", "not_found", "the page is /metrics")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _problem(
                start_response, "405 Method Not Allowed", "method_not_allowed", "GET the page"
            )
        self._asked_at = time.monotonic()
        content_type = accepted(environ.get("HTTP_ACCEPT", ""))
        body = self._page(content_type)
        start_response(
            "200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _problem(
    start_response: StartResponse, status: str, code: str, message: str
) -> Iterable[bytes]:
    body = f'{{"error": {{"code": "{code}", "message": "{message}", "where": "path"}}}}'.encode()
    start_response(
        status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    )
    return [body]
