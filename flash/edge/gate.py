"""Who may speak to the admin interface: nobody whom a web page of another site sends.

Such a page can let a name of its own point to this machine (DNS rebinding); its requests then carry
that name in ``Host``. Or it sends a form here; that carries its address in ``Origin``.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Gate", "error_answer", "host_name", "is_own_name"]


class Gate:
    """Lets through what is addressed to this machine and comes from no other site."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host_name(host)
        if name not in self._hosts and not is_own_name(name):
            return error_answer(
                421,
                "unknown_host",
                f"this edge is not known as {name[:100]!r}; name it with --allowed-host",
                "Host",
            )
        origin = headers.get("origin")
        if (
            origin is not None
            and scope["method"] not in ("GET", "HEAD")
            and origin.partition("://")[2].lower() != host.lower()
        ):
            return error_answer(
                403, "foreign_origin", f"a page of {origin[:100]!r} must not write here", "Origin"
            )
        return None


def is_own_name(name: str) -> bool:
    """Whether no other site can be behind a host name: it is an address, or has no dot.

    The empty name is what clients without a Host field use, browsers never.
    """
    if "." not in name or name.endswith(".localhost"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def error_answer(status: int, code: str, message: str, where: str) -> Response:
    """An error in the one form that all our JSON interfaces use."""
    return JSONResponse(
        {"error": {"code": code, "message": message, "where": where}}, status_code=status
    )


def host_name(host: str) -> str:
    """The name in a Host field, without port or brackets, in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()
