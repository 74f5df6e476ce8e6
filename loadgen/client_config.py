"""How an HTTP client behaves: its time-outs, trust, default headers and limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from loadgen.content_coding import LARGEST_BODY
from loadgen.errors import UsageError

__all__ = ["DEFAULT_HEADERS", "ClientConfig", "Timeouts"]

DEFAULT_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "user-agent": "flashgauge",
        "accept": "*/*",
        "accept-encoding": "gzip, deflate",
    }
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; ``None`` sets no limit.

    ``connect_s`` covers name look-up, TCP and TLS of a new connection. ``first_byte_s`` runs from
    the request having been sent to the first byte of the response, and is also the longest a
    peer may refuse to take more of a request body. ``total_s`` covers the whole attempt,
    connecting and the response's last byte included. Deadlines of the last two are looked at
    every 50 ms, so they may be met that much late, never early.
    """

    connect_s: float | None = 10.0
    first_byte_s: float | None = 60.0
    total_s: float | None = None

    def __post_init__(self) -> None:
        for name in ("connect_s", "first_byte_s", "total_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} must be a number of seconds above 0, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class ClientConfig:
    """What all requests of a client have in common; give many clients the same one.

    Clients with one configuration and URL share prepared requests and what is known of response
    heads, which with hundreds of them saves as much time as everything else together.

    ``verify`` is ``True`` for the system's certificate authorities, or the path of a PEM file or
    directory of authorities; ``False`` accepts any certificate and is for tests alone.
    ``headers`` go with every request unless the request gives the same name. ``trust_env`` lets
    ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` decide whether a proxy stands
    between; loopback addresses are always reached directly, as Go's net/http does. ``cookies``
    keeps and sends cookies per client. ``stream_buffer_bytes`` is how much of a streamed body may
    wait unread before the connection is no longer read, ``max_body_bytes`` how much of one that
    is not streamed is received.
    """

    timeouts: Timeouts = field(default_factory=Timeouts)
    verify: bool | str = True
    cookies: bool = False
    headers: Mapping[str, str] = field(default_factory=lambda: DEFAULT_HEADERS)
    max_head_bytes: int = 64 * 1024
    trust_env: bool = True
    allow_redirects: bool = False
    max_redirects: int = 20
    stream_buffer_bytes: int = 1 << 20
    max_body_bytes: int = LARGEST_BODY

    def __post_init__(self) -> None:
        for name in ("max_head_bytes", "stream_buffer_bytes", "max_body_bytes"):
            if getattr(self, name) < 1024:
                raise UsageError(f"{name} must be at least 1024, not {getattr(self, name)}")
        if self.max_redirects < 0:
            raise UsageError(f"max_redirects must be at least 0, not {self.max_redirects}")
