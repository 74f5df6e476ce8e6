"""One look at one target: fetch, read, and work out what happened since the last one."""

import asyncio
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx

from dashboard.config import is_loopback
from dashboard.errors import ExpositionError, ScrapeError
from dashboard.exposition import read_exposition
from dashboard.increments import Memory, counting_since, has_restarted, increments, remembered
from dashboard.model import ScrapeResult, Target
from dashboard.shape import DEFAULT_SERIES_LIMIT, ShapeReader

__all__ = ["Fetch", "HttpFetch", "RefusedError", "Watched"]

LARGEST_BODY: Final = 32 << 20

# Working out a larger page takes long enough to be felt by everybody else.
_LARGE_BODY: Final = 1 << 20

_HEADERS: Final = {
    "Accept": "text/plain;version=0.0.4;q=1,*/*;q=0.1",
    "Accept-Encoding": "identity",
    "User-Agent": "flashgauge-dashboard",
}

# A process that began to count this much before anyone watched is still counted from zero, and
# what it counted shared out over that time: a run is often started just before its dashboard. It
# is the longest time that increments are shared out over.
_START_SLACK_S: Final = 60.0


class RefusedError(ScrapeError):
    """Nothing listens at the target's address."""


class Fetch(Protocol):
    """Gets a metrics page."""

    async def __call__(self, url: str) -> bytes:
        """The page's body.

        Raises:
            ScrapeError: no answer, or not a good one.
        """


class HttpFetch:
    """Gets pages over HTTP, within ``timeout_s`` seconds each. For one event loop."""

    def __init__(self, *, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # Redirects stay off: a target must not send the scraper elsewhere. Nothing on this
        # machine is reached through a proxy.
        self._near, self._far = (
            httpx.AsyncClient(
                headers=_HEADERS,
                timeout=timeout_s,
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # keeps none
                trust_env=trust_env,
            )
            for trust_env in (False, True)
        )

    async def __call__(self, url: str) -> bytes:
        client = self._near if is_loopback(urlsplit(url).hostname or "") else self._far
        try:
            # httpx limits each read, this limits the whole.
            async with asyncio.timeout(self._timeout_s), client.stream("GET", url) as response:
                if response.status_code != 200:
                    raise ScrapeError(f"expected status 200, got {response.status_code}")
                coding = response.headers.get("content-encoding", "identity")
                if coding != "identity":
                    # A few bytes of it can become any number.
                    raise ScrapeError(f"expected an answer as it is, got one in {coding[:40]!r}")
                return await _body(response)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise ScrapeError(f"no full answer within {self._timeout_s:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            if _is_refusal(error):
                raise RefusedError("connection refused: nothing listens there") from error
            raise ScrapeError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._near.aclose()
        await self._far.aclose()


@dataclass(slots=True)
class Watched:
    """A target under watch, and what is known of it. For one task at a time.

    ``memory`` is what its counters stood at when last stored, ``None`` when it never was.
    ``was_absent`` says that nothing listened there at some look, so what came counts from zero.
    ``most_series`` label sets of it are stored.
    """

    target: Target
    memory: Memory | None
    watching_since: float
    was_absent: bool = False
    most_series: int = DEFAULT_SERIES_LIMIT
    _reader: ShapeReader = field(init=False)

    def __post_init__(self) -> None:
        self._reader = ShapeReader(self.most_series)
        if self.memory is not None:
            self._reader.know([*self.memory.series, *self.memory.gone])

    async def scrape(self, fetch: Fetch, second: int) -> ScrapeResult:
        """Look at the target; the answer counts as of Unix second ``second``.

        Raises:
            ScrapeError: no good answer.
            ExpositionError: an answer that is garbage.
        """
        try:
            body = await fetch(self.target.url)
        except RefusedError:
            self.was_absent = True
            raise
        if len(body) > _LARGE_BODY:
            return await asyncio.to_thread(self._result, body, second)
        return self._result(body, second)

    def _result(self, body: bytes, second: int) -> ScrapeResult:
        page = read_exposition(body)
        if not page.series:
            raise ExpositionError(1, "there is no sample")
        shape = self._reader.shape_of(page)
        scrape = shape.within(page)
        if has_restarted(shape, scrape, self.memory):
            self._reader.start_anew()
            shape = self._reader.shape_of(page)
            scrape = shape.within(page)
        since = counting_since(shape, scrape)
        from_zero = self.was_absent or (
            since is not None and since >= self.watching_since - _START_SLACK_S
        )
        found = increments(shape, scrape, self.memory, from_zero=from_zero)
        first = self.memory is None and not self.was_absent and from_zero
        return ScrapeResult(
            target=self.target,
            second=second,
            counts_since=since if first or has_restarted(shape, scrape, self.memory) else None,
            increments=found,
            memory=remembered(shape, scrape, self.memory),
            dropped_series=shape.dropped,
        )


async def _body(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > LARGEST_BODY:
            raise ScrapeError(f"more than {LARGEST_BODY >> 20} MiB; this is no metrics page")
        parts.append(part)
    return b"".join(parts)


def _is_refusal(error: BaseException | None) -> bool:
    if isinstance(error, ConnectionRefusedError):
        return True
    if isinstance(error, BaseExceptionGroup):
        return all(_is_refusal(part) for part in error.exceptions)
    if error is None:
        return False
    return _is_refusal(error.__cause__ or error.__context__)
