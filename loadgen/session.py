"""What makes the requests of one user belong together, and for how long."""

import uuid
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

__all__ = [
    "AUTHORIZATION_HEADER",
    "SESSION_HEADER",
    "UNLIMITED",
    "IdSessions",
    "Session",
    "SessionLimit",
    "SessionSource",
]

SESSION_HEADER: Final = "Modal-Session-ID"
"""Carries a session's id, which anybody may make up."""

AUTHORIZATION_HEADER: Final = "Modal-Authorization"
"""Carries the token of a session that Modal started."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session: its ``id`` for people, and the header that its requests carry.

    The header's ``value`` may be a secret.
    """

    id: str
    header: str
    value: str = field(repr=False)

    @classmethod
    def of_id(cls, session_id: str) -> Self:
        """The session that an id alone makes."""
        return cls(session_id, SESSION_HEADER, session_id)

    @classmethod
    def new(cls) -> Self:
        """One with an id of its own."""
        return cls.of_id(str(uuid.uuid4()))


class SessionSource(Protocol):
    """Where sessions come from; ``asks_platform`` tells whether each has to be asked for."""

    @property
    def asks_platform(self) -> bool: ...

    def start(self) -> Session:
        """A new one; other greenlets go on while it is waited for.

        Raises:
            SessionError: there is none.
        """

    def end(self, session: Session) -> None:
        """It is not needed any more. This waits for nothing."""


class IdSessions:
    """Sessions that are ids, of which the platform need not be told."""

    asks_platform: Final = False

    def start(self) -> Session:
        return Session.new()

    def end(self, session: Session) -> None:
        pass


@dataclass(frozen=True, slots=True)
class SessionLimit:
    """When a session is followed by a new one: after so many requests, or so many seconds.

    Whichever comes first; ``None`` is never.
    """

    requests: int | None = None
    seconds: float | None = None

    def reached(self, *, requests: int, seconds: float) -> bool:
        """Whether a session that made ``requests`` and is ``seconds`` old makes no more."""
        return (self.requests is not None and requests >= self.requests) or (
            self.seconds is not None and seconds >= self.seconds
        )


UNLIMITED: Final = SessionLimit()
