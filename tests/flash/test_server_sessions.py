"""Serving sessions by lines, with a platform that the tests play; and the installed client."""

import asyncio
import inspect
import json
from collections.abc import AsyncIterator

import pytest

from flash.control_plane import ModalServer
from flash.server_sessions import ModalServerSessions, SessionCredentials, serve


class Platform:
    """Starts numbered sessions; ``room`` lets a start go on, ``fails`` makes it fail."""

    def __init__(self) -> None:
        self.started = 0
        self.live: set[str] = set()
        self.room = asyncio.Event()
        self.room.set()
        self.fails: Exception | None = None

    async def start(self) -> SessionCredentials:
        await self.room.wait()
        if self.fails:
            raise self.fails
        self.started += 1
        self.live.add(f"token{self.started}")
        return SessionCredentials(f"s{self.started}", f"token{self.started}")

    async def terminate(self, token: str) -> None:
        if self.fails:
            raise self.fails
        self.live.remove(token)


class Desk:
    """A served platform; what is told it, and what it answered."""

    def __init__(self) -> None:
        self.platform = Platform()
        self.answers: list[dict[str, object]] = []
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.serving = asyncio.create_task(
            serve(
                self.platform, self._requests(), lambda line: self.answers.append(json.loads(line))
            )
        )

    async def _requests(self) -> AsyncIterator[bytes]:
        while (line := await self._lines.get()) is not None:
            yield line

    async def tell(self, what: dict[str, object]) -> None:
        self._lines.put_nowait(json.dumps(what).encode() + b"\n")
        for _ in range(10):
            await asyncio.sleep(0)

    async def close(self) -> None:
        self._lines.put_nowait(None)
        await asyncio.wait_for(self.serving, 10)


def test_sessions_are_started_and_ended_as_told() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.tell({"start": 7})
        await desk.tell({"start": 8})
        assert desk.answers == [
            {"start": 7, "session_id": "s1", "token": "token1"},
            {"start": 8, "session_id": "s2", "token": "token2"},
        ]
        await desk.tell({"terminate": "token1"})
        assert desk.platform.live == {"token2"}
        assert len(desk.answers) == 2
        await desk.close()

    asyncio.run(scenario())


def test_what_is_left_is_ended_at_the_end() -> None:
    async def scenario() -> None:
        desk = Desk()
        for number in range(3):
            await desk.tell({"start": number})
        await desk.tell({"terminate": "token2"})
        await desk.close()
        assert (desk.platform.started, desk.platform.live) == (3, set())

    asyncio.run(scenario())


def test_what_is_left_is_ended_also_when_there_is_nobody_to_answer() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.tell({"start": 1})
        desk.answers = None  # type: ignore[assignment] # so that answering fails
        await desk.tell({"start": 2})
        with pytest.raises(ExceptionGroup):
            await desk.close()
        assert (desk.platform.started, desk.platform.live) == (2, set())

    asyncio.run(scenario())


def test_one_that_takes_long_keeps_no_other_from_being_ended_nor_the_end_from_coming() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.tell({"start": 1})
        desk.platform.room.clear()
        await desk.tell({"start": 2})
        await desk.tell({"terminate": "token1"})
        assert desk.platform.live == set()
        await desk.close()
        assert [answer["start"] for answer in desk.answers] == [1]

    asyncio.run(scenario())


def test_a_failure_is_told_in_one_line_without_the_token() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.tell({"start": 1})
        desk.platform.fails = ValueError("status 500\nfor token1")
        await desk.tell({"start": 2})
        await desk.tell({"terminate": "token1"})
        assert desk.answers[1:] == [
            {"start": 2, "error": "ValueError: status 500 for token1"},
            {"error": "ValueError: status 500 for TOKEN"},
        ]
        await desk.close()

    asyncio.run(scenario())


def test_credentials_do_not_show_their_token() -> None:
    assert "secret" not in repr(SessionCredentials("s1", "secret"))


def test_the_installed_client_has_the_calls_that_are_made() -> None:
    sessions = ModalServerSessions(ModalServer("app", server="Server"))._sessions
    assert inspect.signature(sessions.start).parameters["idle_timeout"].default == 600
    assert list(inspect.signature(sessions.terminate).parameters)[-1] == "token"
    assert callable(sessions.start.aio)
    assert callable(sessions.terminate.aio)


@pytest.mark.parametrize("arguments", [("--modal-app", "app", "--modal-cls", "Cls")])
def test_a_class_has_no_sessions(arguments, capsys) -> None:
    from flash.__main__ import main

    assert main(["sessions", *arguments], {}) == 2
    assert "--modal-server" in capsys.readouterr().err
