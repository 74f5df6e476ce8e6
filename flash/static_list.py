"""A platform that is a list of URLs: flash URLs known by hand, or any server at all."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from flash.platform import Container, ContainerState, TargetError
from flash.regions import is_region_name, region_of_url

__all__ = ["StaticPlatform", "parse_flash_urls", "server_url"]


class StaticPlatform:
    """The given URL of each region; it cannot tell which containers there are."""

    told_states: Final[tuple[ContainerState, ...]] = ()

    def __init__(self, urls: Mapping[str, str]) -> None:
        if not urls:
            raise TargetError("a list of flash URLs needs at least one REGION=URL")
        self._urls = MappingProxyType(dict(urls))

    @classmethod
    def from_host(cls, url: str) -> "StaticPlatform":
        """One server, in the region that its host name tells.

        Raises:
            TargetError: ``url`` is not an http or https URL.
        """
        checked = server_url(url, where="--host")
        return cls({region_of_url(checked): checked})

    def flash_urls(self) -> dict[str, str]:
        return dict(self._urls)

    def containers(self) -> list[Container] | None:
        return None

    def describe(self) -> str:
        return ", ".join(f"{region} at {url}" for region, url in self._urls.items())

    def __repr__(self) -> str:
        return f"StaticPlatform({dict(self._urls)!r})"


def parse_flash_urls(items: Iterable[str], *, where: str) -> dict[str, str]:
    """Flash URLs by region from ``REGION=URL`` items, in their order.

    ``where`` names the option or variable the items came from.

    Raises:
        TargetError: an item has another form, or a region appears twice.
    """
    urls: dict[str, str] = {}
    for item in items:
        region, equals, url = (part.strip() for part in item.partition("="))
        if not equals or not is_region_name(region):
            raise TargetError(
                f"{where}: expected REGION=URL such as us-east=https://..., got {item!r}"
            )
        if region in urls:
            raise TargetError(f"{where}: region {region!r} is given twice; give each region once")
        urls[region] = server_url(url, where=f"{where}, region {region}")
    return urls


def server_url(url: str, *, where: str) -> str:
    """``url`` without a trailing slash, checked to be one that requests can be sent to.

    Raises:
        TargetError: not an http or https URL, no host, a bad port, or one with a user name,
            a query or a fragment.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(c.isspace() or not c.isprintable() for c in url):
        raise TargetError(f"{where}: expected an http:// or https:// URL, got {url!r}")
    if parts.username is not None or parts.password is not None:
        raise TargetError(
            f"{where}: a URL must not carry a user name or password; a proxy token goes into "
            "MODAL_PROXY_TOKEN_ID and MODAL_PROXY_TOKEN_SECRET"
        )
    if parts.query or parts.fragment:
        raise TargetError(f"{where}: expected a URL without query or fragment, got {url!r}")
    return url.rstrip("/")
