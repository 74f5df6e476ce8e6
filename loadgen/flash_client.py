"""The client of a virtual user: requests with cold-start-aware retry, recorded and reported.

A request is one call of a locustfile; it may take several attempts. An attempt that meets 503
(no container up) or 429 (above the container's limit) is repeated after a growing, jittered wait,
or the one that the response asks for, until the deadline. Nothing else is repeated. Every attempt
is counted; Locust's statistics get one entry a request, with the time of the attempt that ended it.
"""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any, Final

from gevent import sleep

from flash.retry import delay_s, parse_retry_after
from loadgen.client import HttpClient
from loadgen.client_config import ClientConfig, Timeouts
from loadgen.errors import ClientError, Error, HttpStatusError, UsageError
from loadgen.flash_response import FlashResponse
from loadgen.origin import Params
from loadgen.outcome import COLD_START, THROTTLED
from loadgen.probe import Probe, Verdict
from loadgen.recorder import Channel, Recorder
from loadgen.refused_sessions import SessionStreak
from loadgen.request_body import BodyData
from loadgen.request_head import HeaderMap, PreparedRequest, encode_headers
from loadgen.response import Response
from loadgen.response_head import Head
from loadgen.server_timing import server_s
from loadgen.session import AUTHORIZATION_HEADER, SESSION_HEADER, Session
from loadgen.statistics_feed import StatisticsFeed
from loadgen.token_times import TokenTimes
from loadgen.traffic_request import TrafficRequest

__all__ = ["CONTAINER_HEADERS", "FlashClient", "GaveUpError", "RetryPolicy"]

CONTAINER_HEADERS: Final = ("x-edge-container", "x-container-id")

_SESSION_HEADERS: Final = frozenset({SESSION_HEADER.lower(), AUTHORIZATION_HEADER.lower()})

AnyResponse = Response | FlashResponse
Context = Callable[[], dict[str, Any]]


class GaveUpError(Error):
    """A request met its deadline while still being refused; ``response`` is the last refusal."""

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message)
        self.response = response


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``deadline_s`` is how long after its first refusal a request is tried again, in seconds."""

    deadline_s: float = 120.0


Noted = tuple[tuple[str, ...], float | None, str | None]
"""The names of the container headers, the server's own time in seconds, and the container."""


class FlashClient:
    """Makes requests to one region as one virtual user.

    ``session`` is an id that goes with every request; ``None`` sends none. ``probe`` is
    shared by the clients of the region, of which then one at a time tries again on 503; without it
    each does.
    ``intended_start``, by ``time.perf_counter``, is when the next request was meant to begin: its
    response time counts from there, and how much later it is made is its schedule lag. ``None``,
    which it is again after each request, lets it count from the call. Every request sets
    ``gave_way``: others could run meanwhile. Not for several threads; greenlets may share it.
    """

    def __init__(
        self,
        base_url: str,
        channel: Channel,
        recorder: Recorder,
        feed: StatisticsFeed,
        *,
        config: ClientConfig,
        session: str | None = None,
        policy: RetryPolicy = RetryPolicy(),
        probe: Probe | None = None,
        container_headers: tuple[str, ...] = CONTAINER_HEADERS,
        rng: random.Random | None = None,
        context: Context = dict,
    ) -> None:
        connects = recorder.connects(channel.region)
        self.http = HttpClient(base_url, config=config, on_connect=connects.record)
        self._prepared = self.http.prepared
        self._redirected = config.allow_redirects
        self.base_url = base_url
        self.intended_start: float | None = None
        self.gave_way = False
        self._channel = channel
        self._gauges = channel.gauges
        self._feed = feed
        self._policy = policy
        self._probe = probe
        self._container_headers = container_headers
        self._rng = rng or random.Random()
        self._context = context
        self.begin_session(Session.of_id(session) if session else None)
        self.hold(False)
        if probe is not None:
            probe.join(self)

    def __repr__(self) -> str:
        return f"<FlashClient {self.base_url}, {self._channel!r}>"

    def get(self, path: str, **options: Any) -> AnyResponse:
        prepared = None if options else self._prepared.get(("GET", path))
        if prepared is None or self._redirected:
            return self.request("GET", path, **options)
        # Most requests of most users: what is the same each time is not asked again.
        return self._perform(prepared, path, perf_counter(), self._session_head)

    def head(self, path: str, **options: Any) -> AnyResponse:
        return self.request("HEAD", path, **options)

    def options(self, path: str, **options: Any) -> AnyResponse:
        return self.request("OPTIONS", path, **options)

    def delete(self, path: str, **options: Any) -> AnyResponse:
        return self.request("DELETE", path, **options)

    def post(
        self, path: str, data: BodyData | None = None, json: object = None, **options: Any
    ) -> AnyResponse:
        return self.request("POST", path, data=data, json=json, **options)

    def put(self, path: str, data: BodyData | None = None, **options: Any) -> AnyResponse:
        return self.request("PUT", path, data=data, **options)

    def patch(self, path: str, data: BodyData | None = None, **options: Any) -> AnyResponse:
        return self.request("PATCH", path, data=data, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        name: str | None = None,
        headers: HeaderMap | None = None,
        params: Params | None = None,
        data: BodyData | None = None,
        json: object = None,
        catch_response: bool = False,
        stream: bool = False,
        timeout: Timeouts | float | None = None,
        allow_redirects: bool | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> AnyResponse:
        """Make one request, with as many attempts as it takes.

        ``name`` is what it is called in Locust's statistics, the path by default. ``timeout`` is
        for the whole attempt where it is a number of seconds. With ``catch_response`` use it in a
        ``with`` block and call ``success()`` or ``failure()``. A request that fails is no
        exception: it has ``status_code`` 0, or its status, and is a failure in the statistics.

        Raises:
            UsageError: arguments that cannot be sent.
        """
        called = perf_counter()
        http = self.http
        prepared = http.prepare(method, path, headers=headers, params=params, data=data, json=json)
        session = None if self._brings_session(headers) else self._session
        extra = b"" if session is None else self._session_head
        if isinstance(timeout, int | float):
            timeout = Timeouts(http.config.timeouts.connect_s, timeout, timeout)
        attempt: Callable[[], Response] | None = None
        if self._redirected if allow_redirects is None else allow_redirects:
            attempt = partial(
                http.send,
                method,
                path,
                headers={**(headers or {}), session.header: session.value} if session else headers,
                params=params,
                data=data,
                json=json,
                stream=stream,
                allow_redirects=True,
                timeout=timeout,
            )
        return self._perform(
            prepared, name or path, called, extra, attempt, stream, timeout, catch_response, context
        )

    def send(self, request: TrafficRequest) -> AnyResponse:
        """Make a described request, as :meth:`request` makes one; it is prepared once."""
        called = perf_counter()
        if self._redirected:
            return self.request(
                request.method,
                request.path,
                name=request.name,
                headers=request.headers,
                data=request.body,
                stream=request.stream,
            )
        prepared = self._prepared.get(request)
        if prepared is None:
            prepared = self.http.prepare(
                request.method, request.path, headers=request.headers, data=request.body
            )
            self.http.keep_prepared(request, prepared)
        extra = self._session_head
        if request.headers and not _SESSION_HEADERS.isdisjoint(request.headers):
            extra = b""
        return self._perform(prepared, request.name, called, extra, stream=request.stream)

    @property
    def session(self) -> str | None:
        """The id of the session, ``None`` without one."""
        return None if self._session is None else self._session.id

    def begin_session(self, session: Session | None) -> None:
        """Send ``session`` with the next requests. Its first response is compared with none."""
        self._session = session
        self._session_head = (
            b"" if session is None else encode_headers({session.header: session.value})
        )
        self.last_container: str | None = None

    def renew_session(self) -> None:
        """Go on in a new session.

        Raises:
            UsageError: requests are made in none.
        """
        if self._session is None:
            raise UsageError("only a user with routing = 'sticky' has a session to renew")
        self.begin_session(Session.new())

    def _brings_session(self, headers: HeaderMap | None) -> bool:
        """Whether a request has another session in its own headers."""
        return bool(headers) and any(key.lower() in _SESSION_HEADERS for key in headers or ())

    def close(self) -> None:
        """Close the connection that is kept."""
        self.http.close()

    def _perform(
        self,
        prepared: PreparedRequest,
        name: str,
        called: float,
        extra: bytes,
        attempt: Callable[[], Response] | None = None,
        stream: bool = False,
        timeout: Timeouts | None = None,
        caught: bool = False,
        context: Mapping[str, Any] | None = None,
    ) -> AnyResponse:
        """Make the request; ``attempt`` is how, if not by sending it as it is prepared."""
        intended = self.intended_start
        if intended is not None:
            self.intended_start = None
            self._channel.schedule_lag.record(called - intended)
            called = intended
        gauges = self._gauges
        gauges.in_flight += 1
        try:
            if attempt is None:
                response = self._send(prepared, extra, stream=stream, timeout=timeout)
            elif self._holds:
                response = self._outlast(attempt, None, prepared, extra)
            else:
                response = attempt()
            status = response.status_code
            if status == COLD_START or status == THROTTLED:
                if attempt is None:
                    send = self.http.send_prepared
                    attempt = partial(send, prepared, extra, stream=stream, timeout=timeout)
                response = self._outlast(attempt, response, prepared, extra)
                status = response.status_code
        except ClientError as error:
            return self._failed(prepared, name, error, called, context)
        except GaveUpError as error:
            return self._gave_up(prepared, name, error, called, context)
        finally:
            gauges.in_flight -= 1
            self.gave_way = True
        last_at = response.last_at
        if caught or last_at is None:
            return self._to_be_judged(prepared, name, response, called, context, caught=caught)
        self._answered(response, called, last_at)
        failure = None if status < 400 else _status_error(response)
        elapsed_s = last_at - response.started
        self._tell(prepared, name, elapsed_s, response, response, failure, context, last_at)
        return response

    # Refusals.

    def hold(self, holds: bool) -> None:
        """From now on have requests wait for the region's probe before they are sent, or no more.

        It changes what sends them, so that others need not ask each time whether they wait.
        """
        self._holds = holds
        self._send = self._send_held if holds else self.http.send_prepared

    def _send_held(
        self,
        prepared: PreparedRequest,
        extra: bytes,
        *,
        stream: bool,
        timeout: Timeouts | None,
    ) -> Response:
        send = partial(self.http.send_prepared, prepared, extra, stream=stream, timeout=timeout)
        return self._outlast(send, None, prepared, extra)

    def _outlast(
        self,
        attempt: Callable[[], Response],
        response: Response | None,
        prepared: PreparedRequest,
        extra: bytes,
    ) -> Response:
        """The first response that is no refusal; ``response`` is the one of the first attempt.

        It is ``None`` for a request that has to wait for the region's probe before that. ``extra``
        is empty where the request is not of the client's own session.

        Raises GaveUpError at the deadline, ClientError if an attempt had no response.
        """
        channel, rng, probe = self._channel, self._rng, self._probe
        session = self._session if extra else None
        streak: SessionStreak | None = None
        answered = False
        begun = perf_counter()
        deadline = begun + self._policy.deadline_s
        cold_since: float | None = None
        refusals = 0
        asks = False  # whether this is the probe
        try:
            if response is None:
                assert probe is not None  # it is who has requests wait
                channel.affected += 1
                cold_since = begun
                asks = probe.wait(self._policy.deadline_s) is Verdict.NEXT
                response = attempt()
            while (status := response.status_code) == COLD_START or status == THROTTLED:
                response.close()
                container = self._note(response.head)[2]
                channel.refused(status, response.started, response.first_at, container=container)
                if status == COLD_START and session is not None:
                    streak = streak or channel.watch.begin(session.id)
                    channel.refused_sessions += streak.met(response.first_at, container)
                if status == COLD_START and cold_since is None:
                    channel.affected += 1
                    cold_since = perf_counter()
                elif status == THROTTLED and asks and probe is not None:
                    asks = False
                    probe.answered()  # by a container that is up
                asked = response.header("retry-after")
                asked_s = None if asked is None else parse_retry_after(asked, now_unix=time.time())
                wait_s = delay_s(refusals, rng=rng) if asked_s is None else asked_s
                refusals += 1
                if prepared.frames is not None:
                    raise GaveUpError(
                        f"{status}, and the request's body came from an iterator, which cannot be "
                        "sent again; pass bytes to have refusals tried again",
                        response,
                    )
                if perf_counter() + wait_s > deadline:
                    if status == COLD_START:
                        channel.giveups += 1
                    since_s = perf_counter() - begun
                    raise GaveUpError(
                        f"still {status} after {refusals} attempts in {since_s:.1f} s", response
                    )
                if probe is None or status == THROTTLED or asks or (asks := probe.claim()):
                    sleep(wait_s)
                else:
                    asks = probe.wait(max(0.0, deadline - perf_counter())) is Verdict.NEXT
                if streak is not None:
                    streak.sending()
                response = attempt()
            channel.window.answered(response.started, response.first_at)
            if cold_since is not None:
                channel.cold_start_wait.record(perf_counter() - cold_since)
            if asks and probe is not None:
                asks = False
                probe.answered()
            answered = True
            return response
        finally:
            if asks and probe is not None:
                probe.hand_on()
            if streak is not None:
                channel.refused_sessions += streak.end(answered=answered)

    # The end of a request.

    def _answered(self, response: Response, called: float, last_at: float) -> None:
        """Count and time the attempt that ended the request with a response."""
        channel = self._channel
        started, first_at = response.started, response.first_at
        channel.answered(response.status_code, called, started, first_at, last_at)
        noted = response.head.noted
        if noted is None or noted[0] is not self._container_headers:
            noted = response.head.noted = self._note(response.head)
        _, took_s, container = noted
        if took_s is not None:
            channel.overhead(first_at - started - took_s)
        if container is not None:
            last = self.last_container
            if container == last:
                channel.same += 1
            else:
                self.last_container = container
                if last is not None:
                    channel.moved += 1

    def _note(self, head: Head) -> Noted:
        """What is read out of a head: once for all responses that have the very same."""
        timing = head.header("server-timing")
        named = map(head.header, self._container_headers)
        return (
            self._container_headers,
            None if timing is None else server_s(timing),
            next((container for container in named if container is not None), None),
        )

    def _failed(
        self,
        prepared: PreparedRequest,
        name: str,
        error: ClientError,
        called: float,
        context: Mapping[str, Any] | None,
    ) -> FlashResponse:
        """The attempt that ended the request had no response."""
        channel = self._channel
        channel.outcomes[error.kind] += 1
        channel.requests += 1
        elapsed_s = error.elapsed_s
        if elapsed_s is None:
            elapsed_s = perf_counter() - called
        failed = FlashResponse(None, error, report=None, caught=False, url=prepared.url)
        self._tell(prepared, name, elapsed_s, None, failed, error, context, perf_counter())
        return failed

    def _gave_up(
        self,
        prepared: PreparedRequest,
        name: str,
        error: "GaveUpError",
        called: float,
        context: Mapping[str, Any] | None,
    ) -> FlashResponse:
        """Refused to the end. That is how long somebody waited, but no time for Locust's table: a
        refusal in a millisecond would lower every percentile there."""
        channel, now = self._channel, perf_counter()
        channel.requests += 1
        channel.response_time.record(now - called)
        refused = error.response
        gave_up = FlashResponse(refused, error, report=None, caught=False, url=refused.url)
        self._tell(prepared, name, None, refused, gave_up, error, context, now)
        return gave_up

    def _to_be_judged(
        self,
        prepared: PreparedRequest,
        name: str,
        response: Response,
        called: float,
        context: Mapping[str, Any] | None,
        *,
        caught: bool,
    ) -> FlashResponse:
        whole = response.last_at is not None
        if response.last_at is not None:
            self._answered(response, called, response.last_at)
        else:
            self._channel.window.answered(response.started, response.first_at)

        def report(judged: FlashResponse) -> None:
            ended = perf_counter()
            error = judged.error
            if isinstance(error, ClientError) and not whole:
                # The body broke off: the attempt ended without a complete response.
                channel = self._channel
                channel.outcomes[error.kind] += 1
                channel.requests += 1
            elif not whole:
                # Of a body that was not read to its end, that it was closed is the end.
                self._answered(response, called, response.last_at or ended)
            elapsed_s = (response.last_at or ended) - response.started
            self._tell(prepared, name, elapsed_s, response, judged, error, context, ended)

        error = None if response.status_code < 400 else _status_error(response)
        tokens = None if whole else TokenTimes(self._channel, response.started)
        return FlashResponse(
            response, error, report=report, caught=caught, url=response.url, tokens=tokens
        )

    def _tell(
        self,
        prepared: PreparedRequest,
        name: str,
        elapsed_s: float | None,
        response: Response | None,
        shown: AnyResponse,
        error: BaseException | None,
        context: Mapping[str, Any] | None,
        ended: float,
    ) -> None:
        """Report one request to Locust."""
        feed = self._feed
        elapsed_ms = None if elapsed_s is None else elapsed_s * 1e3
        length = 0 if response is None else response.body_bytes
        if ended >= feed.turn:
            feed.turned()
        method = prepared.method
        listened = feed.add(method, name, elapsed_ms, length, error)
        if listened is not None:
            started = perf_counter() - (elapsed_s or 0.0)
            listened.fire(
                request_type=method,
                name=name,
                response_time=elapsed_ms,
                response_length=length,
                response=shown,
                context={**self._context(), **(context or {})},
                exception=error,
                start_time=time.time() - (perf_counter() - started),
                url=shown.url,
            )


def _status_error(response: Response) -> HttpStatusError:
    # As requests words it, which is what Locust's users know from its failures tab.
    kind = "Client" if response.status_code < 500 else "Server"
    return HttpStatusError(
        f"{response.status_code} {kind} Error: {response.reason} for url: {response.url}"
    )
