"""A response as a locustfile has it: one that may have failed, may stream, and may be judged."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from locust.exception import CatchResponseError

from loadgen.errors import ClientError, HttpStatusError, UsageError
from loadgen.event_stream import ServerSentEvent
from loadgen.response import Response
from loadgen.token_times import TokenTimes

__all__ = ["FlashResponse"]


class FlashResponse:
    """A response with Locust's verdict on it; everything else is that of ``loadgen.response``.

    ``error`` is what went wrong, ``None`` if nothing did. Without a response ``status_code`` is 0
    and the body empty. ``success()`` and ``failure()`` decide in a ``with`` block of a request made
    with ``catch_response=True``; the request is reported when the block ends. A streamed one is
    reported when its body was read or closed; ``tokens`` times its tokens.
    """

    def __init__(
        self,
        response: Response | None,
        error: BaseException | None,
        *,
        report: Callable[["FlashResponse"], None] | None,
        caught: bool,
        url: str,
        tokens: TokenTimes | None = None,
    ) -> None:
        self._response = response
        self._tokens = tokens
        self._report = report
        self._caught = caught
        self._url = url
        self.error = error
        self.status_code = 0 if response is None else response.status_code

    def success(self) -> None:
        """It counts as good, whatever its status."""
        self.error = None

    def failure(self, reason: str | BaseException) -> None:
        """It counts as failed, for this reason."""
        self.error = reason if isinstance(reason, BaseException) else CatchResponseError(reason)

    def record_token(self) -> None:
        """The event, line or piece that was read last is a token: record when it came.

        The first one of a response is its time to first token, every other its time after the one
        before.

        Raises:
            UsageError: the response is not streamed, or nothing of it has been read yet.
        """
        times = [] if self._response is None else self._response.event_times
        if self._tokens is None or self._response is None or not times:
            raise UsageError(
                "a token can be recorded once it was read from a request with stream=True, by "
                "iter_events(), iter_lines() or iter_content()"
            )
        self._tokens.came(self._response.started + times[-1])

    @property
    def ok(self) -> bool:
        """Whether there is a response, with a status below 400."""
        return 0 < self.status_code < 400

    @property
    def url(self) -> str:
        return self._url

    @property
    def content(self) -> bytes:
        return b"" if self._response is None else self._read(lambda r: r.content, b"")

    @property
    def text(self) -> str:
        return "" if self._response is None else self._read(lambda r: r.text, "")

    @property
    def elapsed(self) -> timedelta:
        return timedelta() if self._response is None else self._response.elapsed

    def json(self, **options: Any) -> Any:
        """The body as JSON; raises ValueError also where there is no response."""
        if self._response is None:
            raise ValueError(f"there is no response: {self.error}")
        return self._read(lambda r: r.json(**options), None)

    def header(self, name: str) -> str | None:
        return None if self._response is None else self._response.header(name)

    def raise_for_status(self) -> None:
        """Raise what went wrong, if anything did."""
        if self._response is None:
            raise self.error or HttpStatusError("there is no response")
        self._response.raise_for_status()

    def iter_content(self, chunk_size: int | None = None) -> Iterator[bytes]:
        return self._following(lambda r: r.iter_content(chunk_size))

    def iter_lines(self) -> Iterator[str]:
        return self._following(lambda r: r.iter_lines())

    def iter_events(self) -> Iterator[ServerSentEvent]:
        return self._following(lambda r: r.iter_events())

    def close(self) -> None:
        """Done with it: it is reported, if it was not."""
        if self._response is not None:
            self._response.close()
        report, self._report = self._report, None
        if report is not None:
            report(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and self._caught:
            # As in Locust: the exception is the verdict, and goes on to the task.
            self.failure(error)
        self.close()

    def __getattr__(self, name: str) -> Any:
        if self._response is None:
            raise AttributeError(f"there is no response to have {name!r}: {self.error}")
        return getattr(self._response, name)

    def __repr__(self) -> str:
        return f"<FlashResponse {self.status_code} for {self._url}>"

    def _read(self, read: Callable[[Response], Any], nothing: Any) -> Any:
        assert self._response is not None
        try:
            value = read(self._response)
        except ClientError as error:
            self.error = error
            value = nothing
        if not self._caught:
            self.close()
        return value

    def _following(self, pieces: Callable[[Response], Iterator[Any]]) -> Iterator[Any]:
        if self._response is None:
            return
        try:
            yield from pieces(self._response)
        except ClientError as error:
            self.error = error
        if not self._caught:
            self.close()
