"""What can go wrong in the load generator, told so that a person knows what to do."""

from typing import ClassVar, Literal

__all__ = [
    "BodyTooLarge",
    "ClientError",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionLost",
    "ContentDecodingError",
    "Error",
    "FirstByteTimeout",
    "HeadTooLarge",
    "HttpStatusError",
    "MalformedResponse",
    "NameLookupError",
    "ProxyError",
    "RequestTimeout",
    "SessionError",
    "TlsError",
    "TooManyRedirects",
    "TotalTimeout",
    "UsageError",
]


class Error(Exception):
    """Base of this package's errors."""


class UsageError(Error):
    """An argument that cannot be used: a bad URL, a header with a line break, two bodies, ..."""


class HttpStatusError(Error):
    """``raise_for_status()`` met a status of 400 or above."""


class ClientError(Error):
    """One attempt that ended without a complete response; base of what ``send()`` raises.

    ``kind`` is the outcome under which the attempt counts. ``started`` is the attempt's start by
    ``time.perf_counter`` (first byte sent, or the begin of connecting when it came no further)
    and ``elapsed_s`` how long it took to fail; both ``None`` only while the error is on its way
    through the client. ``resent`` tells that the request had already been sent once on a
    kept-alive connection that turned out to be closed. ``bytes_sent`` and ``bytes_received``
    count what passed before the failure.
    """

    kind: ClassVar[Literal["timeout", "connection_error"]] = "connection_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.started: float | None = None
        self.elapsed_s: float | None = None
        self.connect_s: float | None = None
        self.resent = False
        self.bytes_sent = 0
        self.bytes_received = 0


class NameLookupError(ClientError):
    """The host name has no address, or the look-up failed."""


class ConnectError(ClientError):
    """No TCP connection to any of the host's addresses."""


class ProxyError(ClientError):
    """The proxy refused to open a tunnel."""


class TlsError(ClientError):
    """The TLS handshake or the certificate failed."""


class SessionError(ClientError):
    """There is no session to make the request in, so it was not sent."""


class RequestTimeout(ClientError):
    """Base of the time-outs."""

    kind = "timeout"


class ConnectTimeout(RequestTimeout):
    """Name look-up, TCP and TLS took longer than ``Timeouts.connect_s``."""


class FirstByteTimeout(RequestTimeout):
    """No byte of a response within ``Timeouts.first_byte_s`` after the request was sent."""


class TotalTimeout(RequestTimeout):
    """The attempt took longer than ``Timeouts.total_s``."""


class ConnectionLost(ClientError):
    """The peer closed or reset the connection before the response was complete."""


class MalformedResponse(ClientError):
    """The peer sent something that is no HTTP/1.1 response."""


class HeadTooLarge(MalformedResponse):
    """The response head is longer than ``ClientConfig.max_head_bytes``."""


class BodyTooLarge(ClientError):
    """The body is longer than ``ClientConfig.max_body_bytes``, or becomes so when it is decoded."""


class ContentDecodingError(MalformedResponse):
    """The body does not decode as its ``content-encoding`` says."""


class TooManyRedirects(ClientError):
    """More redirects than ``ClientConfig.max_redirects``."""
