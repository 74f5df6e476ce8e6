"""The Prometheus page of the load generator, and what no metric can tell, beside the load."""

import json
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import parse_qs

import gevent
from gevent.pywsgi import WSGIServer

from loadgen.errors import Error
from loadgen.exposition import accepted
from loadgen.refused_sessions import RefusedSession

__all__ = ["MetricsServer", "PortTakenError"]

_BACKLOG: Final = 128
_WATCHED_S: Final = 2.0
_LAST_LOOK_S: Final = 1.5
_METRICS: Final = "/metrics"
_REFUSED_SESSIONS: Final = "/refused_sessions"
_LONGEST_NUMBER: Final = 12

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class PortTakenError(Error):
    """The page's address cannot be listened on."""


class MetricsServer:
    """Serves ``/metrics``, which ``page`` makes for a content type, and ``/refused_sessions``.

    ``refused_sessions`` tells those after a number, which the query says in ``since``.

    Raises:
        PortTakenError: the port is in use.
    """

    def __init__(
        self,
        host: str,
        port: int,
        page: Callable[[str], bytes],
        refused_sessions: Callable[[int], Sequence[RefusedSession]],
    ) -> None:
        self._page = page
        self._refused_sessions = refused_sessions
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
        path = environ["PATH_INFO"]
        if path not in (_METRICS, _REFUSED_SESSIONS):
            pages = f"the pages are {_METRICS} and {_REFUSED_SESSIONS}"
            return _problem(start_response, "404 Not Found", "not_found", pages)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _problem(
                start_response, "405 Method Not Allowed", "method_not_allowed", "GET the page"
            )
        if path == _METRICS:
            self._asked_at = time.monotonic()
            content_type = accepted(environ.get("HTTP_ACCEPT", ""))
            body = self._page(content_type)
        else:
            since = parse_qs(environ.get("QUERY_STRING", "")).get("since", ["0"])[0]
            if not (since.isascii() and since.isdigit() and len(since) <= _LONGEST_NUMBER):
                message = "expected since to be the number of the last one known"
                return _problem(
                    start_response, "422 Unprocessable Content", "invalid", message, "since"
                )
            content_type = "application/json"
            told = [one._asdict() for one in self._refused_sessions(int(since))]
            body = json.dumps(told).encode()
        start_response(
            "200 OK", [("Content-Type", content_type), ("Content-Length", str(len(body)))]
        )
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]


def _problem(
    start_response: StartResponse, status: str, code: str, message: str, where: str = "path"
) -> Iterable[bytes]:
    body = f'{{"error": {{"code": "{code}", "message": "{message}", "where": "{where}"}}}}'.encode()
    start_response(
        status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    )
    return [body]
