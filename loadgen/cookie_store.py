"""The cookies of one virtual user, by the standard library's rules (RFC 6265 in practice)."""

from email.message import Message
from http.cookiejar import CookieJar
from urllib.request import Request

from loadgen.response_head import Headers

__all__ = ["CookieStore"]


class CookieStore:
    """Keeps what responses set and says what a request carries."""

    def __init__(self) -> None:
        self.jar = CookieJar()

    def header_for(self, url: str) -> str | None:
        """The ``cookie`` header of a request for ``url``, or ``None``."""
        request = Request(url)
        self.jar.add_cookie_header(request)
        return request.get_header("Cookie")

    def keep(self, url: str, headers: Headers) -> None:
        """Take over what the response to a request for ``url`` sets."""
        values = headers.get_all("set-cookie")
        if values:
            self.jar.extract_cookies(_Carrier(values), Request(url))  # type: ignore[arg-type] # info() is all it calls


class _Carrier:
    def __init__(self, values: list[str]) -> None:
        self._message = Message()
        for value in values:
            self._message["Set-Cookie"] = value

    def info(self) -> Message:
        return self._message
