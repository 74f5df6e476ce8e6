"""A client whose sessions do not last as long as its user, or have to be asked for."""

from collections.abc import Mapping
from time import perf_counter
from typing import Any

from gevent.lock import RLock

from loadgen.errors import SessionError
from loadgen.flash_client import AnyResponse, FlashClient
from loadgen.flash_response import FlashResponse
from loadgen.recorder import Channel, Recorder
from loadgen.request_head import HeaderMap
from loadgen.session import SessionLimit, SessionSource
from loadgen.statistics_feed import StatisticsFeed
from loadgen.traffic_request import TrafficRequest

__all__ = ["SessionClient"]


class SessionClient(FlashClient):
    """Makes requests in sessions from ``sessions``, each until it has reached ``limit``.

    A session is started, and the one before ended, between requests: when one is made that needs
    it. A request for which there is no session fails without being sent. ``options`` are those of
    :class:`FlashClient`.
    """

    def __init__(
        self,
        base_url: str,
        channel: Channel,
        recorder: Recorder,
        feed: StatisticsFeed,
        *,
        sessions: SessionSource,
        limit: SessionLimit,
        **options: Any,
    ) -> None:
        super().__init__(base_url, channel, recorder, feed, **options)
        self._sessions = sessions
        self._limit = limit
        self._began = perf_counter()
        self._made = 0  # requests of the session
        self._renewing = RLock()

    def get(self, path: str, **options: Any) -> AnyResponse:
        return self.request("GET", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        headers: HeaderMap | None = None,
        context: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> AnyResponse:
        """As that of :class:`FlashClient`, in a session that is not over."""
        failed = self._enter_session(method, path, name or path, headers, context)
        if failed is not None:
            return failed
        return super().request(method, path, name=name, headers=headers, context=context, **options)

    def send(self, request: TrafficRequest) -> AnyResponse:
        """As that of :class:`FlashClient`, in a session that is not over."""
        failed = None
        if not self._redirected:  # or it is one of the above
            failed = self._enter_session(
                request.method, request.path, request.name, request.headers, None
            )
        return super().send(request) if failed is None else failed

    def renew_session(self) -> None:
        """Go on in a new session.

        Raises:
            SessionError: there is none; the next request asks for one again.
        """
        with self._renewing:
            self._end_session()
            started = perf_counter()
            session = self._sessions.start()
            self._began = perf_counter()
            if self._sessions.asks_platform:
                self._channel.session_start.record(self._began - started)
            self._made = 0
            self.begin_session(session)

    def close(self) -> None:
        """Close the connection that is kept, and end the session."""
        super().close()
        self._end_session()

    def _enter_session(
        self,
        method: str,
        path: str,
        name: str,
        headers: HeaderMap | None,
        context: Mapping[str, Any] | None,
    ) -> FlashResponse | None:
        """Have a session that is not over for a request; what it fails with if there is none."""
        if self._brings_session(headers):
            return None
        called = perf_counter()
        try:
            with self._renewing:
                age_s = called - self._began
                if self._session is None or self._limit.reached(requests=self._made, seconds=age_s):
                    self.renew_session()
        except SessionError as error:
            return self._failed(self.http.prepare(method, path), name, error, called, context)
        self._made += 1
        return None

    def _end_session(self) -> None:
        session = self._session
        if session is not None:
            self.begin_session(None)
            self._sessions.end(session)
