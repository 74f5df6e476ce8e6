"""When the tokens of one streamed answer came: the first one, and each after the one before."""

from loadgen.recorder import Channel

__all__ = ["TokenTimes"]


class TokenTimes:
    """Of one answer to a request whose first byte was sent at ``started``, by any one clock.

    They go to ``channel`` as they come, so that an answer that is never read to its end counts too.
    """

    __slots__ = ("_channel", "_last", "_started")

    def __init__(self, channel: Channel, started: float) -> None:
        self._channel = channel
        self._started = started
        self._last: float | None = None

    def __repr__(self) -> str:
        return f"<TokenTimes of {self._channel!r}>"

    def came(self, at: float) -> None:
        """One more token has come."""
        last, self._last = self._last, at
        if last is None:
            self._channel.time_to_first_token.record(at - self._started)
        else:
            self._channel.time_between_tokens.record(at - last)
