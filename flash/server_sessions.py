"""Sessions of a ``@modal.sessioned()`` server, which Modal starts and ends.

The ``modal`` client does that on an event loop, which gevent's processes cannot have. There
``python -m flash sessions`` does it for them, told by lines of JSON:

    {"start": 7}           answered by {"start": 7, "session_id": "...", "token": "..."}
    {"terminate": "TOKEN"} answered only where it fails, by {"error": "..."}

A start that fails is answered by {"start": 7, "error": "..."}. Any number go on at once. At the end
of its input it ends every session that was started and not ended.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from flash.control_plane import ModalServer

__all__ = ["ModalServerSessions", "ServerSessions", "SessionCredentials", "serve"]


@dataclass(frozen=True, slots=True)
class SessionCredentials:
    """A session's id, for people, and the token that its requests carry, which is a secret."""

    session_id: str
    token: str = field(repr=False)


class ServerSessions(Protocol):
    """Whoever starts and ends a server's sessions; both raise what they like where they fail."""

    async def start(self) -> SessionCredentials:
        """A new one; it may be long until a container has room for it."""

    async def terminate(self, token: str) -> None:
        """End the session that has this token; one that has ended already is none the worse."""


class ModalServerSessions:
    """Those of a deployed ``modal.Server``, with the credentials that ``modal`` is set up with."""

    def __init__(self, name: ModalServer) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"ModalServerSessions({self._name!r})"

    async def start(self) -> SessionCredentials:
        started = await self._sessions.start.aio()
        return SessionCredentials(started.session_id, started.token)

    async def terminate(self, token: str) -> None:
        await self._sessions.terminate.aio(token)

    @cached_property
    def _sessions(self) -> Any:
        import modal

        return modal.Server.from_name(self._name.app, str(self._name.server)).sessions


async def serve(
    sessions: ServerSessions, requests: AsyncIterator[bytes], answer: Callable[[str], None]
) -> None:
    """Do what the lines of ``requests`` say, until they end; ``answer`` is given lines."""
    desk = _Desk(sessions, answer)
    starts: set[asyncio.Task[None]] = set()
    try:
        async with asyncio.TaskGroup() as tasks:
            async for line in requests:
                match json.loads(line):
                    case {"start": int(number)}:
                        start = tasks.create_task(desk.start(number))
                        starts.add(start)
                        start.add_done_callback(starts.discard)
                    case {"terminate": str(token)}:
                        tasks.create_task(desk.terminate(token))
            for start in list(starts):
                start.cancel()
    finally:
        # Also when there is nobody left to answer.
        left = [desk.terminate(token) for token in desk.live]
        await asyncio.gather(*left, return_exceptions=True)


class _Desk:
    """Does what it is told, and answers."""

    def __init__(self, sessions: ServerSessions, answer: Callable[[str], None]) -> None:
        self._sessions = sessions
        self._answer = answer
        self.live: set[str] = set()

    async def start(self, number: int) -> None:
        try:
            started = await self._sessions.start()
        except Exception as error:  # whatever it is, it is told to who asked
            self._answer(json.dumps({"start": number, "error": _told(error)}))
            return
        self.live.add(started.token)
        told = {"session_id": started.session_id, "token": started.token}
        self._answer(json.dumps({"start": number, **told}))

    async def terminate(self, token: str) -> None:
        self.live.discard(token)
        try:
            await self._sessions.terminate(token)
        except Exception as error:  # likewise
            told = _told(error).replace(token, "TOKEN")
            self._answer(json.dumps({"error": told}))


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
