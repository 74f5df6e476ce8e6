"""An HTTP/1.1 client as one virtual user has it: one origin, one connection kept alive."""

import os
import ssl
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from types import TracebackType
from typing import Final, Self
from weakref import WeakKeyDictionary

from gevent import get_hub

from loadgen.client_config import ClientConfig, Timeouts
from loadgen.connection import Connection, TlsConnection, open_connection
from loadgen.cookie_store import CookieStore
from loadgen.dialer import Dialer
from loadgen.errors import ClientError, ConnectionLost, TooManyRedirects, UsageError
from loadgen.origin import Origin, Params, request_target, split_url
from loadgen.proxies import Proxy, proxy_for
from loadgen.redirects import SECRET_HEADERS, Redirect, redirect_of
from loadgen.request_body import BodyData, encode_body
from loadgen.request_head import (
    HeaderMap,
    PreparedRequest,
    encode_headers,
    prepare_request,
)
from loadgen.response import Response, StreamedBody
from loadgen.response_head import NO_HEADERS
from loadgen.tls import tls_context
from loadgen.whole_response import WholeResponseParser

__all__ = ["HttpClient"]

# Requests that differ each time must not fill the memory.
_MOST_PREPARED: Final = 1024
_LONGEST_PREPARED: Final = 32 * 1024
_MOST_OTHERS: Final = 8
_DEFAULT_CONFIG: Final = ClientConfig()


class _Common:
    """What clients of one configuration, URL, proxy and hub have in common, immutable in effect."""

    __slots__ = ("parser", "prepared")

    def __init__(self) -> None:
        self.parser = WholeResponseParser()
        self.prepared: dict[object, PreparedRequest] = {}


_COMMON: Final[WeakKeyDictionary[ClientConfig, dict[object, _Common]]] = WeakKeyDictionary()


def _common(config: ClientConfig, base_url: str, proxy: Proxy | None) -> _Common:
    # By hub, that is by thread: the parser must not be entered by two at once.
    key = (id(get_hub()), base_url, proxy)
    return _COMMON.setdefault(config, {}).setdefault(key, _Common())


class HttpClient:
    """Makes requests to ``base_url``, one connection kept alive between them.

    ``base_url`` may hold a path, which goes before each request's own. ``on_connect`` is called
    with the seconds that each new connection took (name look-up, TCP, TLS). Several greenlets may
    share a client, but all beyond the first open a connection for each request. Not for several
    threads. ``connects`` and ``resends`` count new connections and requests sent a second time.
    ``prepared`` has requests without headers, parameters and body by method and path, and others
    by what they were kept by.

    Raises UsageError for a URL, proxy or ``verify`` that cannot be used.
    """

    __slots__ = (
        "__weakref__",
        "_base_path",
        "_defaults",
        "_dialer",
        "_idle",
        "_on_connect",
        "_others",
        "_parser",
        "_target_prefix",
        "_tls_session",
        "config",
        "connects",
        "cookies",
        "origin",
        "prepared",
        "resends",
    )

    def __init__(
        self,
        base_url: str,
        *,
        config: ClientConfig | None = None,
        on_connect: Callable[[float], None] | None = None,
    ) -> None:
        self.config = config = config or _DEFAULT_CONFIG
        self.origin, base_path = split_url(base_url)
        self.connects = 0
        self.resends = 0
        self.cookies = CookieStore() if config.cookies else None
        self._base_path = base_path.rstrip("/")
        self._on_connect = on_connect
        proxy = proxy_for(self.origin, os.environ) if config.trust_env else None
        is_tls = self.origin.scheme == "https"
        self._dialer = Dialer(self.origin, proxy, tls_context(config.verify) if is_tls else None)
        self._defaults: HeaderMap = config.headers
        # A proxy that opens no tunnel is given the whole URL (RFC 9112 section 3.2.2).
        self._target_prefix = ""
        if proxy is not None and not is_tls:
            self._target_prefix = str(self.origin)
            self._defaults = {**config.headers, "proxy-authorization": proxy.authorization}
        self._idle: Connection | None = None
        self._tls_session: ssl.SSLSession | None = None
        common = _common(config, base_url, proxy)
        self._parser, self.prepared = common.parser, common.prepared
        self._others: dict[Origin, HttpClient] = {}

    def send(
        self,
        method: str,
        path: str,
        *,
        headers: HeaderMap | None = None,
        params: Params | None = None,
        data: BodyData | None = None,
        json: object = None,
        stream: bool = False,
        allow_redirects: bool | None = None,
        timeout: Timeouts | None = None,
    ) -> Response:
        """Make one attempt at a request, and follow its redirects if asked to.

        ``path`` begins with a slash, or is a whole URL, also of another origin. A header whose
        value is ``None`` is left out although the configuration has it. ``data`` is bytes, text,
        a mapping or pairs (a form), a file, or an iterable of pieces, which are sent by chunks.
        With ``stream`` it returns once the head is there; read or close the response.
        ``allow_redirects`` and ``timeout`` go before the configuration's.

        An idempotent request is sent again, once, if a kept connection turns out to be closed
        before any byte of a response came (RFC 9110 section 9.2.2); ``resent`` tells.

        Raises ClientError if no complete response came, UsageError for arguments that cannot be
        sent.
        """
        request = None
        if headers is None and params is None and data is None and json is None:
            request = self.prepared.get((method, path))
        if request is None:
            origin = self._origin_of(path)
            if origin != self.origin:
                return self._other(origin).send(
                    method,
                    path,
                    headers=headers,
                    params=params,
                    data=data,
                    json=json,
                    stream=stream,
                    allow_redirects=allow_redirects,
                    timeout=timeout,
                )
            request = self.prepare(
                method, path, headers=headers, params=params, data=data, json=json
            )
        response = self.send_prepared(request, stream=stream, timeout=timeout)
        if response.status_code < 300:
            return response
        if allow_redirects is None:
            allow_redirects = self.config.allow_redirects
        if not allow_redirects:
            return response
        return self._follow(response, headers, data, json, stream, timeout)

    def prepare(
        self,
        method: str,
        path: str,
        *,
        headers: HeaderMap | None = None,
        params: Params | None = None,
        data: BodyData | None = None,
        json: object = None,
    ) -> PreparedRequest:
        """The request that ``send`` would make, for ``send_prepared``; ``path`` is of this origin.

        Requests without headers, parameters and body are prepared once per method and path.
        Raises UsageError.
        """
        plain = headers is None and params is None and data is None and json is None
        if plain and (found := self.prepared.get((method, path))) is not None:
            return found
        if path.startswith("/"):
            target = request_target(self._base_path + path, params)
        else:
            origin, target = split_url(path)
            if origin != self.origin:
                raise UsageError(f"{path!r} is not of {self.origin}, to which this client connects")
            target = request_target(target, params)
        request = prepare_request(
            method,
            url=f"{self.origin}{target}",
            target=self._target_prefix + target,
            host=self.origin.authority,
            defaults=self._defaults,
            headers=headers,
            body=encode_body(data, json),
        )
        if plain:
            self.keep_prepared((method, path), request)
        return request

    def keep_prepared(self, key: object, request: PreparedRequest) -> None:
        """Have ``prepared`` hold a request by ``key`` for as long as there is room for it."""
        if len(request.wire) > _LONGEST_PREPARED:
            return
        if len(self.prepared) >= _MOST_PREPARED:
            self.prepared.clear()
        self.prepared[key] = request

    def send_prepared(
        self,
        request: PreparedRequest,
        extra_head: bytes = b"",
        *,
        stream: bool = False,
        timeout: Timeouts | None = None,
    ) -> Response:
        """One attempt at a request that this client prepared; redirects are not followed.

        ``extra_head`` is what ``encode_headers`` made of headers that differ from one sending to
        the next. They must not repeat a header of the request.

        Raises ClientError if no complete response came.
        """
        connection = self._idle
        if (
            connection is None
            or connection.closed
            or stream
            or timeout is not None
            or not request.is_plain
            or self.cookies is not None
        ):
            return self._send_slowly(request, extra_head, stream, timeout)
        self._idle = None
        wire = request.head + extra_head + request.tail if extra_head else request.wire
        try:
            connection.exchange(wire)
        except ClientError as error:
            self._remember(connection)
            if not _may_resend(error, request):
                _time(error, connection.started, connection.bytes_sent)
                raise
        else:
            response = Response(request, connection)
            if connection.trailers is not NO_HEADERS:
                response.rare.trailers = connection.trailers
            self._give_back(connection)
            return response
        self.resends += 1
        return self._attempt(request, wire, None, False, self.config.timeouts, resent=True)

    @property
    def connected(self) -> bool:
        """Whether a connection is being kept that the peer has not closed."""
        return self._idle is not None and not self._idle.closed

    def close(self) -> None:
        """Close the idle connection. Requests made later open a new one."""
        connection, self._idle = self._idle, None
        if connection is not None:
            connection.close()
            self._remember(connection)
        others, self._others = self._others, {}
        for other in others.values():
            other.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # The event loop holds on to a watched connection, so dropping the client must end it.
        # An __init__ that failed leaves no such attribute.
        if getattr(self, "_idle", None) is not None:
            self.close()

    def __repr__(self) -> str:
        return f"<HttpClient {self.origin}, {self.connects} connects, {self.resends} resends>"

    # The slow lane: new connections, streams, bodies in pieces, HEAD, cookies, resending.

    def _send_slowly(
        self,
        request: PreparedRequest,
        extra_head: bytes,
        stream: bool,
        timeout: Timeouts | None,
    ) -> Response:
        timeouts = timeout or self.config.timeouts
        if self.cookies is not None:
            extra_head += self._cookie_line(request)
        wire = request.head + extra_head + request.tail if extra_head else request.wire
        connection, self._idle = self._idle, None
        if connection is not None:
            if not connection.closed:
                return self._attempt(request, wire, connection, stream, timeouts)
            self._remember(connection)
        return self._attempt(request, wire, None, stream, timeouts)

    def _attempt(
        self,
        request: PreparedRequest,
        wire: bytes,
        kept: Connection | None,
        stream: bool,
        timeouts: Timeouts,
        resent: bool = False,
    ) -> Response:
        begun = perf_counter()
        connect_s = None
        if kept is None:
            connection, connect_s = self._connect(timeouts, begun, resent)
        else:
            connection = kept
        if connection.timeouts is not timeouts:
            connection.use_timeouts(timeouts)
        try:
            connection.exchange_slowly(
                wire, request.frames, is_head=request.is_head, stream=stream, begun=begun
            )
        except ClientError as error:
            self._remember(connection)
            if kept is None or not _may_resend(error, request):
                _time(error, connection.started, connection.bytes_sent)
                error.connect_s, error.resent = connect_s, resent
                raise
            self.resends += 1
            return self._attempt(request, wire, None, stream, timeouts, resent=True)
        response = Response(request, connection)
        rare = response.rare
        rare.connect_s, rare.reused, rare.resent = connect_s, kept is not None, resent
        rare.trailers = connection.trailers
        if self.cookies is not None:
            self.cookies.keep(request.url, response.headers)
        if stream:
            response.stream_from(StreamedBody(connection, self._give_back))
        else:
            self._give_back(connection)
        return response

    def _connect(self, timeouts: Timeouts, begun: float, resent: bool) -> tuple[Connection, float]:
        limits = [limit for limit in (timeouts.connect_s, timeouts.total_s) if limit is not None]
        try:
            channel = self._dialer.dial(min(limits, default=None), self._tls_session)
        except ClientError as error:
            _time(error, begun, 0)
            error.resent = resent
            raise
        connect_s = perf_counter() - begun
        connection = open_connection(
            channel,
            parser=self._parser,
            max_head_bytes=self.config.max_head_bytes,
            max_body_bytes=self.config.max_body_bytes,
            stream_buffer_bytes=self.config.stream_buffer_bytes,
        )
        self.connects += 1
        if self._on_connect is not None:
            try:
                self._on_connect(connect_s)
            except BaseException:  # whatever it is, it must not leak the connection
                connection.close()
                raise
        return connection, connect_s

    def _give_back(self, connection: Connection) -> None:
        """``connection`` has no exchange any more: keep it if it is wanted."""
        connection.raw = b""  # the response has it; thousands of idle users need not
        if not connection.closed and self._idle is None:
            if connection.timeouts is not self.config.timeouts:
                connection.use_timeouts(self.config.timeouts)
            self._idle = connection
        else:
            connection.close()
            self._remember(connection)

    def _remember(self, closed: Connection) -> None:
        if isinstance(closed, TlsConnection) and closed.session is not None:
            self._tls_session = closed.session

    def _cookie_line(self, request: PreparedRequest) -> bytes:
        assert self.cookies is not None
        if b"\r\ncookie:" in request.head:  # the caller's own; RFC 6265 section 5.4 allows one
            return b""
        value = self.cookies.header_for(request.url)
        return b"" if value is None else encode_headers({"cookie": value})

    # Redirects and other origins.

    def _follow(
        self,
        response: Response,
        headers: HeaderMap | None,
        data: BodyData | None,
        json: object,
        stream: bool,
        timeout: Timeouts | None,
    ) -> Response:
        history: list[Response] = []
        while (redirect := _redirect(response)) is not None:
            if len(history) == self.config.max_redirects:
                response.close()
                raise _time(
                    TooManyRedirects(f"more than {len(history)} redirects, last to {redirect.url}"),
                    response.started,
                    response.bytes_sent,
                )
            if redirect.keeps_body and response.request.frames is not None:
                response.close()
                raise UsageError(
                    f"{response.status_code} asks for the body again, but its pieces are used up; "
                    "pass bytes, or allow_redirects=False"
                )
            response.close()
            history.append(response)
            if not redirect.keeps_body:
                data = json = None
                headers = _without(headers, {"content-type", "content-length"})
            if not redirect.same_origin:
                headers = _without(headers, SECRET_HEADERS)
            response = self._other(self._origin_of(redirect.url)).send(
                redirect.method,
                redirect.url,
                headers=headers,
                data=data,
                json=json,
                stream=stream,
                allow_redirects=False,
                timeout=timeout,
            )
        response.rare.history = tuple(history)
        return response

    def _origin_of(self, path: str) -> Origin:
        return self.origin if path.startswith("/") else split_url(path)[0]

    def _other(self, origin: Origin) -> "HttpClient":
        """The client for ``origin``, without what this one's origin is trusted with."""
        if origin == self.origin:
            return self
        other = self._others.get(origin)
        if other is None:
            headers = {
                name: value
                for name, value in self.config.headers.items()
                if name.lower() not in SECRET_HEADERS
            }
            other = HttpClient(
                str(origin),
                config=replace(self.config, headers=headers),
                on_connect=self._on_connect,
            )
            other.cookies = self.cookies
            while len(self._others) >= _MOST_OTHERS:
                self._others.pop(next(iter(self._others))).close()
            self._others[origin] = other
        return other


def _redirect(response: Response) -> Redirect | None:
    return redirect_of(
        response.status_code,
        response.header("location"),
        method=response.method,
        url=response.url,
    )


def _without(headers: HeaderMap | None, names: "frozenset[str] | set[str]") -> HeaderMap | None:
    if headers is None:
        return None
    return {name: value for name, value in headers.items() if name.lower() not in names}


def _may_resend(error: ClientError, request: PreparedRequest) -> bool:
    """RFC 9110 section 9.2.2; asked of kept connections only."""
    return (
        isinstance(error, ConnectionLost)
        and error.bytes_received == 0
        and request.idempotent
        and request.frames is None
    )


def _time(error: ClientError, started: float, bytes_sent: int) -> ClientError:
    error.started = started
    error.elapsed_s = perf_counter() - started
    error.bytes_sent = bytes_sent
    return error
