"""Which proxy stands between a client and an origin, as the environment says. Pure."""

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from loadgen.errors import UsageError
from loadgen.origin import Origin

__all__ = ["Proxy", "proxy_for"]

_DEFAULT_PORT: Final = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; ``authorization`` is the value of its header, ``None`` without credentials."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy for ``origin``, or ``None`` if it is reached directly.

    Reads ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, the lower-case spelling
    first, as curl does. ``localhost`` and loopback addresses are always direct (Go's net/http).

    Raises:
        UsageError: the variable holds no ``http://`` URL.
    """
    if _is_loopback(origin.host):
        return None
    for name in (f"{origin.scheme}_proxy", "all_proxy"):
        if value := _variable(environ, name):
            bypassed = _bypassed(origin, _variable(environ, "no_proxy"))
            return None if bypassed else _parse(value, name)
    return None


def _variable(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _parse(value: str, name: str) -> Proxy:
    # The value may hold a password, so no message repeats it.
    url = value if "://" in value else "http://" + value
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme != "http":
        raise UsageError(f"{name} must be a URL like http://proxy:3128; other kinds are not spoken")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(host, port or _DEFAULT_PORT, authorization)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _bypassed(origin: Origin, no_proxy: str) -> bool:
    return any(_matches(origin, entry.strip().lower()) for entry in no_proxy.split(","))


def _matches(origin: Origin, entry: str) -> bool:
    if not entry:
        return False
    if entry == "*":
        return True
    address = _address(origin.host)
    if address is not None:
        network = _network(entry)
        if network is not None:
            return address in network
    host, separator, port = entry.rpartition(":")
    if separator and port.isdigit() and _network(entry) is None:
        if int(port) != origin.port:
            return False
        entry = host.strip("[]")
    entry = entry.removeprefix("*").removeprefix(".")
    return origin.host == entry or origin.host.endswith("." + entry)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None
