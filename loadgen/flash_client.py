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
from time import perf_counter
from typing import Any, Final

from gevent import sleep

from flash.retry import delay_s, parse_retry_after
from loadgen.client import HttpClient
from loadgen.client_config import ClientConfig, Timeouts
from loadgen.errors import ClientError, Error, HttpStatusError
from loadgen.flash_response import FlashResponse
from loadgen.origin import Params
from loadgen.outcome import COLD_START, THROTTLED, outcome_of_status
from loadgen.recorder import Channel, Recorder
from loadgen.request_body import BodyData
from loadgen.request_head import HeaderMap, PreparedRequest, encode_headers
from loadgen.response import Response
from loadgen.server_timing import server_s
from loadgen.statistics_feed import StatisticsFeed

__all__ = ["CONTAINER_HEADERS", "SESSION_HEADER", "FlashClient", "GaveUpError", "RetryPolicy"]

SESSION_HEADER: Final = "Modal-Session-ID"
CONTAINER_HEADERS: Final = ("x-edge-container", "x-container-id")

AnyResponse = Response | FlashResponse
Context = Callable[[], dict[str, Any]]


class GaveUpError(Error):
    """A request met its deadline while still being refused."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``deadline_s`` is how long after its first refusal a request is tried again, in seconds."""

    deadline_s: float = 120.0


class FlashClient:
    """Makes requests to one region as one virtual user.

    ``session`` goes with every request as ``Modal-Session-ID``; ``None`` sends none. Not for
    several threads; greenlets may share it.
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
        container_headers: tuple[str, ...] = CONTAINER_HEADERS,
        rng: random.Random | None = None,
        user: object = None,
        context: Context = dict,
    ) -> None:
        connects = recorder.connects[channel.region]
        self.http = HttpClient(base_url, config=config, on_connect=connects.record)
        self.base_url = base_url
        self.session = session
        self.last_container: str | None = None
        self._channel = channel
        self._gauges = channel.gauges
        self._feed = feed
        self._policy = policy
        self._container_headers = container_headers
        self._rng = rng or random.Random()
        self._session_head = encode_headers({SESSION_HEADER: session}) if session else b""
        self._user = user
        self._context = context

    def __repr__(self) -> str:
        return f"<FlashClient {self.base_url}, {self._channel!r}>"

    def get(self, path: str, **options: Any) -> AnyResponse:
        return self.request("GET", path, **options)

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
        if isinstance(timeout, int | float):
            timeout = Timeouts(http.config.timeouts.connect_s, timeout, timeout)
        extra = self._session_head
        if extra and headers and any(key.lower() == "modal-session-id" for key in headers):
            extra = b""
        prepared = http.prepare(method, path, headers=headers, params=params, data=data, json=json)
        if allow_redirects is None:
            allow_redirects = http.config.allow_redirects

        def attempt() -> Response:
            if allow_redirects:
                return http.send(
                    method,
                    path,
                    headers=headers
                    if not extra
                    else {**(headers or {}), SESSION_HEADER: self.session},
                    params=params,
                    data=data,
                    json=json,
                    stream=stream,
                    allow_redirects=True,
                    timeout=timeout,
                )
            return http.send_prepared(prepared, extra, stream=stream, timeout=timeout)

        gauges = self._gauges
        gauges.in_flight += 1
        try:
            try:
                response = attempt()
            except ClientError as error:
                return self._failed(method, name or path, prepared.url, error, called, context)
            if response.status_code == COLD_START or response.status_code == THROTTLED:
                retried = self._retry(attempt, response, prepared, called)
                if not isinstance(retried, Response):
                    refused, gave_up = retried
                    if refused is None:
                        assert isinstance(gave_up, ClientError)
                        return self._failed(
                            method, name or path, prepared.url, gave_up, called, context
                        )
                    return self._gave_up(method, name or path, refused, gave_up, called, context)
                response = retried
        finally:
            gauges.in_flight -= 1
        if stream or catch_response:
            return self._to_be_judged(
                method, name or path, response, called, context, caught=catch_response
            )
        failure = None if response.status_code < 400 else _status_error(response)
        self._answered(response, called)
        self._tell(method, name or path, response.total_s, response, response, failure, context)
        return response

    def close(self) -> None:
        """Close the connection that is kept."""
        self.http.close()

    # Refusals.

    def _retry(
        self,
        attempt: Callable[[], Response],
        response: Response,
        prepared: PreparedRequest,
        called: float,
    ) -> Response | tuple[Response | None, Error]:
        """The first response that is no refusal; or the last refusal, or none, with the reason."""
        channel, rng = self._channel, self._rng
        deadline = called + self._policy.deadline_s
        first_503: float | None = None
        affected = False
        refusals = 0
        while True:
            status = response.status_code
            response.close()
            self._count(response)
            if status == COLD_START and not affected:
                affected = True
                channel.affected += 1
                first_503 = perf_counter()
            asked = response.header("retry-after")
            asked_s = None if asked is None else parse_retry_after(asked, now_unix=time.time())
            wait_s = delay_s(refusals, rng=rng) if asked_s is None else asked_s
            refusals += 1
            if prepared.frames is not None:
                return response, GaveUpError(
                    f"{status}, and the request's body came from an iterator, which cannot be sent "
                    "again; pass bytes to have refusals tried again"
                )
            if perf_counter() + wait_s > deadline:
                if status == COLD_START:
                    channel.giveups += 1
                return response, GaveUpError(
                    f"still {status} after {refusals} attempts in {perf_counter() - called:.1f} s"
                )
            sleep(wait_s)
            try:
                response = attempt()
            except ClientError as error:
                return None, error
            if response.status_code == COLD_START or response.status_code == THROTTLED:
                continue
            if first_503 is not None:
                channel.cold_start_wait.record(perf_counter() - first_503)
            return response

    # The end of a request.

    def _count(self, response: Response) -> None:
        channel, status = self._channel, response.status_code
        channel.outcomes[outcome_of_status(status)] += 1
        channel.codes[status] = channel.codes.get(status, 0) + 1

    def _answered(self, response: Response, called: float, ended: float | None = None) -> None:
        """Count and time the attempt that ended the request with a response."""
        self._count(response)
        channel = self._channel
        total_s = response.total_s
        if total_s is None:
            total_s = (ended or perf_counter()) - response.started
        ttfb_s = response.ttfb_s
        channel.request_duration.record(total_s)
        channel.time_to_first_byte.record(ttfb_s)
        channel.response_time.record(response.started + total_s - called)
        channel.requests += 1
        timing = response.header("server-timing")
        if timing is not None and (took_s := server_s(timing)) is not None:
            channel.edge_overhead.record(ttfb_s - took_s)
        for header in self._container_headers:
            container = response.header(header)
            if container is not None:
                if self.last_container is not None:
                    if container == self.last_container:
                        channel.same += 1
                    else:
                        channel.moved += 1
                self.last_container = container
                break

    def _failed(
        self,
        method: str,
        name: str,
        url: str,
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
        failed = FlashResponse(None, error, report=None, caught=False, url=url)
        self._tell(method, name, elapsed_s, None, failed, error, context)
        return failed

    def _gave_up(
        self,
        method: str,
        name: str,
        response: Response,
        error: Error,
        called: float,
        context: Mapping[str, Any] | None,
    ) -> FlashResponse:
        """Refused to the end: a failure that has no response time, as a refusal in a millisecond
        would lower every percentile of Locust's."""
        channel = self._channel
        channel.requests += 1
        channel.response_time.record(perf_counter() - called)
        gave_up = FlashResponse(response, error, report=None, caught=False, url=response.url)
        self._tell(method, name, None, response, gave_up, error, context)
        return gave_up

    def _to_be_judged(
        self,
        method: str,
        name: str,
        response: Response,
        called: float,
        context: Mapping[str, Any] | None,
        *,
        caught: bool,
    ) -> FlashResponse:
        whole = response.total_s is not None
        if whole:
            self._answered(response, called)

        def report(judged: FlashResponse) -> None:
            ended = perf_counter()
            error = judged.error
            if isinstance(error, ClientError) and not whole:
                # The body broke off: the attempt ended without a complete response.
                channel = self._channel
                channel.outcomes[error.kind] += 1
                channel.requests += 1
            elif not whole:
                self._answered(response, called, ended)
            total_s = response.total_s
            if total_s is None:
                total_s = ended - response.started
            self._tell(method, name, total_s, response, judged, error, context)

        error = None if response.status_code < 400 else _status_error(response)
        return FlashResponse(response, error, report=report, caught=caught, url=response.url)

    def _tell(
        self,
        method: str,
        name: str,
        elapsed_s: float | None,
        response: Response | None,
        shown: AnyResponse,
        error: BaseException | None,
        context: Mapping[str, Any] | None,
    ) -> None:
        """Report one request to Locust."""
        feed = self._feed
        elapsed_ms = None if elapsed_s is None else elapsed_s * 1e3
        length = 0 if response is None else response.body_bytes
        if perf_counter() >= feed.turn:
            feed.turned()
        feed.add(method, name, elapsed_ms, length, error)
        listened = feed.listened()
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
