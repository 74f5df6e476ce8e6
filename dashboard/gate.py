"""Who may speak to the dashboard: host names it is known by, and the token where one is set.

A page of another site can make a browser send requests here under a name that it lets point to
this machine (DNS rebinding); such a request carries the other site's name in ``Host``.
"""

import hmac
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs, urlencode

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.config import is_loopback

__all__ = ["Gate", "host_name"]

_COOKIE: Final = "dashboard_token"
_OPEN_PATHS: Final = ("/healthz",)
_LARGEST_BODY: Final = 64 << 10

# Pages of other sites may not take an answer in as an image, a script or the like.
_ONLY_OURS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Gate:
    """Lets through what is addressed to us and, where a token is set, carries it."""

    def __init__(
        self, app: ASGIApp, *, hosts: Iterable[str] = (), token: str | None = None
    ) -> None:
        self._app = app
        self._hosts = _LOCAL | {host.lower() for host in hosts}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_ONLY_OURS)
            await send(message)

        taken = 0

        async def receive_little() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > _LARGEST_BODY:
                raise HTTPException(413, f"expected at most {_LARGEST_BODY} bytes")
            return message

        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive_little, send_safely)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        name = host_name(headers.get("host", ""))
        if name not in self._hosts and not is_loopback(name):
            return _error(
                421,
                "unknown_host",
                f"this dashboard is not known as {name[:100]!r}; "
                "name it with --allowed-host, or use its address",
                "Host",
            )
        origin = headers.get("origin", "")
        if (
            scope["method"] not in ("GET", "HEAD")
            and origin
            and _origin_host(origin) != headers["host"]
        ):
            return _error(
                403, "foreign_origin", f"a page of {origin[:100]!r} must not write here", "Origin"
            )
        if self._token is None or scope["path"] in _OPEN_PATHS:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if given and self._good(given):
            return self._with_cookie(scope)
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if self._good(bearer) or self._good(_cookie(headers.get("cookie", ""))):
            return None
        return _error(
            401,
            "token_required",
            "open /?token=... once with the value of DASHBOARD_TOKEN, "
            "or send it as 'Authorization: Bearer ...'",
            "Authorization",
        )

    def _good(self, given: str) -> bool:
        expected = self._token or ""
        return hmac.compare_digest(given.encode(), expected.encode())

    def _with_cookie(self, scope: Scope) -> Response:
        # The token must not stay in the address bar, in the history or in a shared link.
        query = parse_qs(scope["query_string"].decode("latin-1"))
        query.pop("token")
        rest = urlencode(query, doseq=True)
        answer = RedirectResponse("/?" + rest if rest else "/", status_code=303)
        answer.set_cookie(
            _COOKIE,
            self._token or "",
            httponly=True,
            samesite="strict",
            secure=scope["scheme"] == "https",
        )
        return answer


def host_name(header: str) -> str:
    """The name in a ``Host`` header, without port or brackets, in lower case."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def _origin_host(origin: str) -> str:
    return origin.partition("://")[2].lower()


def _cookie(header: str) -> str:
    # Other servers of this machine have cookies in the same jar, and not all are well-formed.
    return cookie_parser(header).get(_COOKIE, "")


def _error(status: int, code: str, message: str, where: str) -> JSONResponse:
    return JSONResponse(
        {"error": {"code": code, "message": message, "where": where}}, status_code=status
    )
