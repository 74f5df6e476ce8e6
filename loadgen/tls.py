"""TLS for the HTTP client: verified contexts, shared, and handshakes on non-blocking sockets."""

import ssl
from _socket import socket as CSocket  # the C type itself: nobody patches its methods
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import certifi
from gevent.socket import wait_read, wait_write

from loadgen.errors import TlsError, UsageError

__all__ = ["TlsStream", "handshake", "tls_context"]

# _ssl._SSLSocket, which the standard library gives no public name or type: read(n), write(data),
# pending(), session. ssl.SSLSocket wraps it in layers of Python that cost more than the cipher.
TlsStream = Any


@lru_cache(maxsize=16)
def tls_context(verify: bool | str) -> ssl.SSLContext:
    """The context for ``ClientConfig.verify``; loading authorities is slow, so it is shared.

    Raises UsageError if the path holds no certificates.
    """
    if isinstance(verify, str):
        context = _trusting(verify)
    else:
        context = ssl.create_default_context()
        paths = ssl.get_default_verify_paths()
        if not paths.cafile and not paths.capath:
            # A Python without system authorities, as python.org's for macOS.
            context.load_verify_locations(certifi.where())
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _trusting(path: str) -> ssl.SSLContext:
    try:
        if Path(path).is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        raise UsageError(f"verify={path!r} holds no PEM certificates ({error})") from error


def handshake(
    sock: CSocket, context: ssl.SSLContext, host: str, session: ssl.SSLSession | None
) -> TlsStream:
    """TLS over the connected, non-blocking ``sock``; resumes ``session`` where the peer agrees.

    Raises TlsError. Waits without limit: the caller has the time-out.
    """
    wrap: Callable[..., TlsStream] = context._wrap_socket  # type: ignore[attr-defined] # see TlsStream
    fd = sock.fileno()
    try:
        stream = wrap(sock, False, host, session=session)
        while True:
            try:
                stream.do_handshake()
            except ssl.SSLWantReadError:
                wait_read(fd)
            except ssl.SSLWantWriteError:
                wait_write(fd)
            else:
                return stream
    except ssl.SSLCertVerificationError as error:
        raise TlsError(
            f"the certificate of {host} is not trusted: {error.verify_message}; "
            "for a private authority pass its PEM file as verify"
        ) from error
    except OSError as error:  # ssl.SSLError is one
        raise TlsError(f"the TLS handshake with {host} failed: {error}") from error
