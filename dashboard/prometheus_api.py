"""Prometheus' HTTP API: questions, answers as arrays, and clear errors for the rest.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from dashboard.config import is_loopback
from dashboard.errors import PrometheusError, PrometheusTimeoutError
from dashboard.promql import selector

__all__ = ["Credentials", "PrometheusApi", "PrometheusTarget", "Series"]

LARGEST_BODY: Final = 256 << 20

_LONGEST_REASON: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A bearer token, or a user name and password; none of them shows in ``repr``."""

    token: str | None = field(default=None, repr=False)
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One line of an answer: values at ``times`` (Unix seconds); where there is none, no time."""

    labels: Mapping[str, str]
    times: NDArray[np.float64]
    values: NDArray[np.float64]


class PrometheusTarget(BaseModel):
    """A target that Prometheus scrapes, as it tells."""

    labels: dict[str, str]
    scrape_url: str = Field(alias="scrapeUrl")
    health: str
    last_error: str = Field(alias="lastError", default="")
    last_scrape_duration_s: float = Field(alias="lastScrapeDuration", default=0.0)
    last_scrape: str = Field(alias="lastScrape", default="")


class _Line(BaseModel):
    metric: dict[str, str]
    values: list[tuple[float, float]]


class _Matrix(BaseModel):
    result_type: Literal["matrix"] = Field(alias="resultType")
    result: list[_Line]


class _MatrixAnswer(BaseModel):
    data: _Matrix


class _NamesAnswer(BaseModel):
    data: list[str]


class _Targets(BaseModel):
    active: Annotated[list[PrometheusTarget], Field(alias="activeTargets")]


class _TargetsAnswer(BaseModel):
    data: _Targets


class _Build(BaseModel):
    version: str


class _BuildAnswer(BaseModel):
    data: _Build


class _Refusal(BaseModel):
    kind: str = Field(alias="errorType", default="")
    error: str


_Answer = TypeVar("_Answer", bound=BaseModel)


class PrometheusApi:
    """Asks the Prometheus at ``url``, waiting at most ``timeout_s`` seconds. For one event loop.

    Every method raises :class:`PrometheusTimeoutError` when it does not answer in time, and
    :class:`PrometheusError` when it answers with anything but what was asked for.
    """

    def __init__(
        self, url: str, *, credentials: Credentials | None = None, timeout_s: float = 30.0
    ) -> None:
        self.url = url
        self._timeout_s = timeout_s
        given = credentials or Credentials()
        headers = {"User-Agent": "flashgauge-dashboard", "Accept-Encoding": "gzip"}
        if given.token is not None:
            headers["Authorization"] = f"Bearer {given.token}"
        near = is_loopback(urlsplit(url).hostname or "")
        if near:
            # Compressing costs more than it saves where nothing goes over a wire.
            headers["Accept-Encoding"] = "identity"
        # Redirects stay off: credentials are for this address only.
        self._client = httpx.AsyncClient(
            headers=headers,
            auth=None if given.user is None else (given.user, given.password or ""),
            timeout=timeout_s,
            trust_env=not near,
        )

    async def query_range(
        self, query: str, *, start: float, end: float, step: float
    ) -> list[Series]:
        """The answers of ``query`` at ``start``, a step later, and so on up to ``end``."""
        answer = await self._ask(
            "query_range",
            _MatrixAnswer,
            {
                "query": query,
                "start": f"{start:.3f}",
                "end": f"{end:.3f}",
                "step": f"{step:g}",
                "timeout": f"{self._timeout_s:g}s",
            },
        )
        return [_series(line) for line in answer.data.result]

    async def label_values(self, metric: str, label: str, *, since: float) -> list[str]:
        """The values that a label of a metric has had since a Unix time, sorted."""
        parameters = {"match[]": selector(metric), "start": f"{since:.3f}"}
        return sorted((await self._ask(f"label/{label}/values", _NamesAnswer, parameters)).data)

    async def major_version(self) -> int | None:
        """The first number of its version; ``None`` of something else that answers alike."""
        status, body = await self._get(f"{self.url}/api/v1/status/buildinfo", {})
        try:
            version = _BuildAnswer.model_validate_json(body).data.version if status == 200 else ""
        except ValidationError:
            return None
        number = version.partition(".")[0]
        return int(number) if number.isdecimal() else None

    async def targets(self) -> list[PrometheusTarget]:
        """What it scrapes at present."""
        return (await self._ask("targets", _TargetsAnswer, {"state": "active"})).data.active

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _ask(self, path: str, form: type[_Answer], parameters: Mapping[str, str]) -> _Answer:
        status, body = await self._get(f"{self.url}/api/v1/{path}", parameters)
        if status != 200:
            raise self._refused(status, body)
        try:
            # Reading a large answer takes long enough to be felt by everybody else.
            return await asyncio.to_thread(form.model_validate_json, body)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the answer"
            raise PrometheusError(
                f"{self.url} does not answer as Prometheus does ({where}: {first['msg']}); "
                "is --prometheus its address?"
            ) from error

    async def _get(self, url: str, parameters: Mapping[str, str]) -> tuple[int, bytes]:
        try:
            # httpx limits each read, this limits the whole.
            async with asyncio.timeout(self._timeout_s):
                async with self._client.stream("GET", url, params=dict(parameters)) as response:
                    return response.status_code, await self._body(response)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise PrometheusTimeoutError(
                f"Prometheus at {self.url} did not answer within {self._timeout_s:g} s"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise PrometheusError(
                f"Prometheus at {self.url} cannot be reached: {str(error) or type(error).__name__}"
            ) from error

    async def _body(self, response: httpx.Response) -> bytes:
        coding = response.headers.get("content-encoding", "identity")
        if coding not in ("identity", "gzip"):
            # Of others a few bytes can become any number before they are counted.
            raise PrometheusError(f"Prometheus at {self.url} answers in {coding[:40]!r}, unasked")
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > LARGEST_BODY:
                raise PrometheusError(
                    f"Prometheus at {self.url} answers with more than {LARGEST_BODY >> 20} MiB; "
                    "ask for a shorter window or fewer regions"
                )
            parts.append(part)
        return b"".join(parts)

    def _refused(self, status: int, body: bytes) -> PrometheusError:
        where = f"Prometheus at {self.url}"
        if status in (401, 403):
            return PrometheusError(
                f"{where} refuses the credentials (status {status}); set "
                "DASHBOARD_PROMETHEUS_TOKEN, or DASHBOARD_PROMETHEUS_USER and "
                "DASHBOARD_PROMETHEUS_PASSWORD"
            )
        if 300 <= status < 400:
            return PrometheusError(
                f"{where} redirects (status {status}), which is not followed; "
                "pass the address that it redirects to"
            )
        try:
            refusal = _Refusal.model_validate_json(body)
        except ValidationError:
            return PrometheusError(f"{where} answers with status {status}")
        reason = " ".join(refusal.error.split())[:_LONGEST_REASON]
        kind = PrometheusTimeoutError if refusal.kind == "timeout" else PrometheusError
        return kind(f"{where}: {reason}")

    def __repr__(self) -> str:
        return f"PrometheusApi({self.url!r})"


def _series(line: _Line) -> Series:
    points: NDArray[Any] = np.array(line.values, dtype=np.float64).reshape(-1, 2)
    return Series(line.metric, points[:, 0], points[:, 1])
