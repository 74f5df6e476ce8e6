"""An origin (scheme, host, port) and the splitting of URLs into origin and request target."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

from loadgen.errors import UsageError

__all__ = ["Origin", "Params", "request_target", "split_url"]

Params = Mapping[str, object] | Sequence[tuple[str, object]] | str
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# RFC 3986 without what has to be escaped; "%" stays, for what is escaped already.
_TARGET_SAFE: Final = "!$%&'()*+,/:;=?@[]~-._"
_PLAIN_TARGET: Final = re.compile(r"/[!$%&'()*+,/:;=?@\[\]~\-._0-9A-Za-z]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who answers: ``host`` is a name (IDNA-encoded, lower case) or an address without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """As the ``host`` header has it: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def host_port(self) -> str:
        """As ``CONNECT`` has it: always with the port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def split_url(url: str) -> tuple[Origin, str]:
    """The origin of an absolute ``http`` or ``https`` URL, and its path with query (``/`` if none).

    A fragment is dropped. Raises UsageError for anything else, and for a URL with a password in
    it: credentials belong in an ``authorization`` header.
    """
    if any(c <= " " or c == "\x7f" for c in url):
        raise UsageError(f"the URL {url!r} holds a space or control character")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in _DEFAULT_PORTS or not host:
        raise UsageError(f"expected a URL like http://host:port/path, not {url!r}")
    if parts.username is not None:
        raise UsageError("a URL must not hold a user name or password; pass a header instead")
    if port == 0:
        raise UsageError(f"port 0 of {url!r} cannot be connected to")
    target = parts.path or "/"
    if parts.query:
        target += "?" + parts.query
    origin = Origin(parts.scheme, _ascii_host(host), port or _DEFAULT_PORTS[parts.scheme])
    return origin, request_target(target)


def request_target(path: str, params: Params | None = None) -> str:
    """``path`` (with a leading slash, query allowed) and ``params`` as a request line has them.

    Characters that may not stand in a request line are percent-encoded as UTF-8; a fragment is
    dropped; existing escapes stay as they are.
    """
    if not path.startswith("/"):
        raise UsageError(f"a path must begin with '/', not {path[:80]!r}")
    if not _PLAIN_TARGET.fullmatch(path):
        path = quote(path.partition("#")[0], safe=_TARGET_SAFE)
    if params:
        query = params if isinstance(params, str) else urlencode(params, doseq=True)
        path += ("&" if "?" in path else "?") + quote(query, safe=_TARGET_SAFE)
    return path


def _ascii_host(host: str) -> str:
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError as error:
        raise UsageError(f"the host name {host!r} cannot be encoded: {error}") from None
    if not re.fullmatch(r"[0-9a-z._~:%-]+", ascii_host.lower()):
        raise UsageError(f"{host!r} is no host name or address")
    return ascii_host.lower()
