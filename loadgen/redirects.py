"""What follows a redirect, by RFC 9110 section 15.4. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin

from loadgen.errors import UsageError
from loadgen.origin import split_url

__all__ = ["SECRET_HEADERS", "Redirect", "redirect_of"]

_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
# What an origin was trusted with is not for the next one.
SECRET_HEADERS: Final = frozenset(
    {
        "authorization",
        "cookie",
        "host",
        "modal-authorization",
        "modal-key",
        "modal-secret",
        "proxy-authorization",
    }
)


@dataclass(frozen=True, slots=True)
class Redirect:
    """The request to make next; ``keeps_body`` tells whether it carries the body again."""

    method: str
    url: str
    keeps_body: bool
    same_origin: bool


def redirect_of(status: int, location: str | None, *, method: str, url: str) -> Redirect | None:
    """Where a response to ``method`` ``url`` redirects, or ``None`` if it does not.

    301 and 302 turn POST into GET, as every browser does; 303 turns all but HEAD into GET; 307
    and 308 change nothing. A location that is no http URL is not followed.
    """
    if status not in _STATUSES or not location:
        return None
    try:
        next_url = urljoin(url, location)
        same_origin = split_url(next_url)[0] == split_url(url)[0]
    except (UsageError, ValueError):
        return None
    to_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    return Redirect("GET" if to_get else method, next_url, not to_get, same_origin)
