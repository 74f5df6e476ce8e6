"""The platform as the local edge tells it, through its admin interface."""

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Final
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from flash.platform import Container, ContainerState, PlatformUnreachableError
from flash.static_list import server_url

__all__ = ["DEFAULT_ADMIN_URL", "LocalEdgePlatform"]

DEFAULT_ADMIN_URL: Final = "http://127.0.0.1:7400"

# The admin interface is the operator's own; no proxy stands between.
_OPENER: Final = build_opener(ProxyHandler({}))
_LONGEST_ANSWER_BYTES: Final = 8 << 20


class LocalEdgePlatform:
    """Asks the edge at ``admin_url``; every call is one request of at most ``timeout_s``."""

    told_states: Final = tuple(ContainerState)

    def __init__(self, admin_url: str = DEFAULT_ADMIN_URL, *, timeout_s: float = 2.0) -> None:
        self._url = server_url(admin_url, where="--flash-edge")
        self._timeout_s = timeout_s

    @property
    def admin_url(self) -> str:
        """Where its admin interface is, without a trailing slash."""
        return self._url

    def flash_urls(self) -> dict[str, str]:
        answer = self._get("/flash_urls")
        if (
            not isinstance(answer, dict)
            or not answer
            or not all(isinstance(part, str) for pair in answer.items() for part in pair)
        ):
            raise self._unexpected("/flash_urls", "an object of URLs by region")
        return {region: url.rstrip("/") for region, url in answer.items()}

    def containers(self) -> list[Container] | None:
        answer = self._get("/containers")
        if not isinstance(answer, list):
            raise self._unexpected("/containers", "a list of containers")
        try:
            return [_container(item) for item in answer]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._unexpected("/containers", f"containers as documented ({error})") from error

    def healthy(self) -> bool:
        """Whether a local edge answers at the address."""
        try:
            self.flash_urls()
        except PlatformUnreachableError:
            return False
        return True

    def describe(self) -> str:
        return f"the local edge at {self._url}"

    def __repr__(self) -> str:
        return f"LocalEdgePlatform({self._url!r})"

    def _get(self, path: str) -> object:
        request = Request(self._url + path, headers={"Accept": "application/json"})
        try:
            with _OPENER.open(request, timeout=self._timeout_s) as response:
                body = response.read(_LONGEST_ANSWER_BYTES)
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise PlatformUnreachableError(
                f"no local edge answers at {self._url} ({reason}); "
                "start one with 'python -m flash.edge'"
            ) from error
        try:
            answer: object = json.loads(body)
        except ValueError as error:
            raise self._unexpected(path, "JSON") from error
        return answer

    def _unexpected(self, path: str, expected: str) -> PlatformUnreachableError:
        return PlatformUnreachableError(
            f"{self._url}{path} did not answer with {expected}; is a local edge listening there?"
        )


def _container(item: Mapping[str, object]) -> Container:
    host, port = str(item["host"]), int(str(item["port"]))
    in_flight = item.get("in_flight")
    return Container(
        task_id=str(item["task_id"]),
        url=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
        state=ContainerState(str(item["state"])),
        region=None if item.get("region") is None else str(item["region"]),
        in_flight=None if in_flight is None else int(str(in_flight)),
        started_at=_seconds(item.get("started_at")),
        ready_at=_seconds(item.get("ready_at")),
    )


def _seconds(value: object) -> float | None:
    return None if value is None else float(str(value))
