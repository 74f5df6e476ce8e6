"""The page and its files: compressed once, named by their content, cached for good.

Every file under ``static/`` is served at ``/static/HASH/NAME``, where HASH is of all of them
together, so that a module finds the others by relative names and a new version has new addresses.
The page itself is served at ``/`` and always asked for anew.
"""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Asset", "Page", "load_page"]

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""No script but ours, and no request to anywhere else. Plotly sets styles in its drawings."""

_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}
_COMPRESSED: Final = ".br"


@dataclass(frozen=True, slots=True, repr=False)
class Asset:
    """One file, ready to be sent: ``encoded`` holds it by content encoding."""

    media_type: str
    body: bytes
    encoded: Mapping[str, bytes]

    def response(self, request: Request, headers: Mapping[str, str]) -> Response:
        """The smallest form of the file that the client takes."""
        accepted = {
            part.partition(";")[0].strip()
            for part in request.headers.get("accept-encoding", "").split(",")
        }
        told = {"Content-Type": self.media_type, "Vary": "Accept-Encoding", **_SAFE, **headers}
        for encoding in ("br", "gzip"):
            if encoding in self.encoded and encoding in accepted:
                body = self.encoded[encoding]
                return Response(body, headers={**told, "Content-Encoding": encoding})
        return Response(self.body, headers=told)


_SAFE: Final = {"Referrer-Policy": "no-referrer"}


@dataclass(frozen=True, slots=True)
class Page:
    """The page and its files by name; ``version`` is in their addresses."""

    version: str
    index: Asset
    assets: Mapping[str, Asset]


def load_page(settings: Mapping[str, object]) -> Page:
    """Read and compress the files that are shipped with the package.

    ``settings``, which can be written as JSON, are handed to the page's scripts.
    """
    root = Path(__file__).parent / "static"
    found = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    version = sha256(b"".join(name.encode() + body for name, body in found.items())).hexdigest()[
        :16
    ]
    ready = {name: body for name, body in found.items() if name.endswith(_COMPRESSED)}
    assets = {
        name: _asset(name, body, ready.get(name + _COMPRESSED))
        for name, body in found.items()
        if name.endswith((".js", ".css", ".svg"))
    }
    index = found["index.html"].replace(b"{{version}}", version.encode())
    index = index.replace(b"{{settings}}", _attribute(json.dumps(settings)))
    return Page(version, _asset("index.html", index, None), assets)


@cache
def _asset(name: str, body: bytes, brotli_body: bytes | None) -> Asset:
    suffix = "." + name.rpartition(".")[2]
    encoded = {"gzip": gzip.compress(body, 6, mtime=0)}
    if brotli_body is None:
        brotli_body = _brotli(body)
    if brotli_body is not None:
        encoded["br"] = brotli_body
    return Asset(_TYPES[suffix], body, encoded)


def _brotli(body: bytes) -> bytes | None:
    # Comes with Locust's HTTP client; without it gzip does.
    try:
        brotli = import_module("brotli")
    except ImportError:
        return None
    compressed: bytes = brotli.compress(body, quality=9)
    return compressed


def _attribute(text: str) -> bytes:
    for plain, written in (("&", "&amp;"), ('"', "&quot;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, written)
    return text.encode()
