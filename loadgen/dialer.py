"""From an origin to an open channel: name look-up, TCP, the proxy's tunnel, TLS."""

import errno
import os
import ssl
from _socket import (  # the C module alone: nobody patches it
    AI_NUMERICHOST,
    IPPROTO_TCP,
    SO_ERROR,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    gaierror,
)
from _socket import getaddrinfo as numeric_getaddrinfo
from _socket import socket as CSocket
from dataclasses import dataclass
from typing import Any, Final

import gevent
from gevent.socket import getaddrinfo, wait_read, wait_write

from loadgen.errors import (
    ClientError,
    ConnectError,
    ConnectTimeout,
    NameLookupError,
    ProxyError,
)
from loadgen.origin import Origin
from loadgen.proxies import Proxy
from loadgen.request_head import encode_headers
from loadgen.response_reader import ResponseReader
from loadgen.tls import TlsStream, handshake

__all__ = ["Channel", "Dialer"]

_IN_PROGRESS: Final = {errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EINTR}
_MOST_TUNNEL_HEAD_BYTES: Final = 64 * 1024


class RawSocket(CSocket):
    """The C socket alone, without the layers of Python that ``socket`` and gevent put on it.

    It can be weakly referenced, as TLS over it needs.
    """

    __slots__ = ("__weakref__",)


@dataclass(frozen=True, slots=True)
class Channel:
    """An open connection: the non-blocking socket, and TLS over it where the scheme has it."""

    sock: RawSocket
    tls: TlsStream | None


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens channels to ``origin``, by ``proxy`` if there is one; ``context`` is for https."""

    origin: Origin
    proxy: Proxy | None
    context: ssl.SSLContext | None

    def dial(self, timeout_s: float | None, session: ssl.SSLSession | None = None) -> Channel:
        """A new channel within ``timeout_s``, all steps together; ``session`` is to be resumed.

        Raises NameLookupError, ConnectError, ProxyError, TlsError or ConnectTimeout.
        """
        timeout = gevent.Timeout(timeout_s)
        try:
            with timeout:
                return self._dial(session)
        except gevent.Timeout as expired:
            if expired is not timeout:
                raise
            raise ConnectTimeout(
                f"no connection to {self._peer()} within {timeout_s:g} s (name, TCP and TLS)"
            ) from None

    def _dial(self, session: ssl.SSLSession | None) -> Channel:
        hop = self.proxy or self.origin
        sock = _connect(hop.host, hop.port, self._peer())
        try:
            if self.context is None:
                return Channel(sock, None)
            if self.proxy is not None:
                _open_tunnel(sock, self.origin, self.proxy)
            return Channel(sock, handshake(sock, self.context, self.origin.host, session))
        except BaseException:  # a kill or time-out too must not leak the socket
            sock.close()
            raise

    def _peer(self) -> str:
        via = "" if self.proxy is None else f" via the proxy {self.proxy}"
        return f"{self.origin.host_port}{via}"


def _connect(host: str, port: int, peer: str) -> RawSocket:
    problems = []
    for family, kind, protocol, _, address in _addresses(host, port):
        sock = RawSocket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            code = sock.connect_ex(address)
            if code in _IN_PROGRESS:
                wait_write(sock.fileno())
                code = sock.getsockopt(SOL_SOCKET, SO_ERROR)
        except BaseException:  # a kill or time-out too must not leak the socket
            sock.close()
            raise
        if code == 0:
            return sock
        sock.close()
        problem = f"{os.strerror(code)} ({address[0]})"
        if problem not in problems:
            problems.append(problem)
    raise ConnectError(f"no connection to {peer}: {'; '.join(problems)}")


def _addresses(host: str, port: int) -> list[Any]:  # Any: the tuples differ between families
    try:
        # An address needs no look-up, and so no thread.
        return numeric_getaddrinfo(host, port, 0, SOCK_STREAM, 0, AI_NUMERICHOST)
    except gaierror:
        pass
    try:
        found: list[Any] = getaddrinfo(host, port, 0, SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise NameLookupError(f"the name {host!r} has no address: {reason}") from error
    return found


def _open_tunnel(sock: RawSocket, origin: Origin, proxy: Proxy) -> None:
    """RFC 9110 section 9.3.6."""
    headers = {"host": origin.host_port, "proxy-authorization": proxy.authorization}
    request = f"CONNECT {origin.host_port} HTTP/1.1\r\n".encode() + encode_headers(headers)
    reader = ResponseReader(_MOST_TUNNEL_HEAD_BYTES)
    reader.start(is_head=True)  # like HEAD: a tunnel, not a body, follows the head
    try:
        sock.send(request + b"\r\n")  # the first bytes of a connection always fit its buffer
        while reader.head is None:
            wait_read(sock.fileno())
            data = sock.recv(_MOST_TUNNEL_HEAD_BYTES)
            if data:
                reader.feed(data)
            else:
                reader.feed_eof()
    except (OSError, ClientError) as error:
        raise ProxyError(f"the proxy {proxy} did not open a tunnel: {error}") from error
    status = reader.head.status
    if not 200 <= status < 300:
        raise ProxyError(
            f"the proxy {proxy} answered {status} {reader.head.reason} to a tunnel to "
            f"{origin.host_port}"
        )
    if reader.excess:
        raise ProxyError(f"the proxy {proxy} sent bytes before the tunnel was used")
