"""uvicorn's HTTP connection, bounded: in number, and in the time a request's head may take.

Who opens connections and says nothing must not take the files that scraping needs.
"""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["HEAD_WITHIN_S", "HttpConnection"]

HEAD_WITHIN_S: Final = 10.0


class HttpConnection(HttpToolsProtocol):
    """Closed at once where there are as many as ``limit_concurrency`` of uvicorn's settings."""

    _too_late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            transport.abort()
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        self._expect_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._have_head()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        if self._too_late is None:
            self._too_late = self.loop.call_later(HEAD_WITHIN_S, self.transport.close)

    def _have_head(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None
