"""Sessions by way of a real process, in which a platform is played."""

import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import logging
import sys

import gevent
import pytest
from locust.env import Environment

from flash.control_plane import ModalServer
from flash.platform import TargetError
from loadgen import platform_sessions
from loadgen.errors import SessionError
from loadgen.generator import Generator
from loadgen.options import Options
from loadgen.platform_sessions import PlatformSessions

SERVER = ModalServer("app", server="Server")

PLAYED = """
import asyncio, sys
from flash.__main__ import _lines
from flash.server_sessions import SessionCredentials, serve

log = open(sys.argv[1], "a", buffering=1)
print("arguments", *sys.argv[2:], file=log)

class Platform:
    started = 0
    async def start(self):
        self.started += 1
        number = self.started
        %s
        return SessionCredentials(f"s{number}", f"secret{number}")
    async def terminate(self, token):
        print("ended", token, file=log)
        %s

def answer(line):
    print(line, flush=True)

asyncio.run(serve(Platform(), _lines(sys.stdin.buffer), answer))
"""


@pytest.fixture
def played(tmp_path):
    """Sessions of a platform that does this when one is started or ended, and its log."""
    log = tmp_path / "log.txt"
    made = []

    def play(start: str = "pass", end: str = "pass", within_s: float = 30.0) -> PlatformSessions:
        command = (sys.executable, "-c", PLAYED % (start, end), str(log))
        sessions = PlatformSessions(SERVER, within_s=lambda: within_s, command=command)
        made.append(sessions)
        return sessions

    play.log = lambda: log.read_text().splitlines()
    yield play
    for sessions in made:
        sessions.close()


def test_sessions_carry_their_token_and_are_ended(played):
    sessions = played()
    first, second = sessions.start(), sessions.start()
    assert [one.id for one in (first, second)] == ["s1", "s2"]
    assert (first.header, first.value) == ("Modal-Authorization", "Bearer secret1")
    sessions.end(first)
    sessions.close()
    asked, *ended = played.log()
    assert asked == "arguments sessions --modal-app app --modal-server Server"
    # The second when the process was told to finish.
    assert ended == ["ended secret1", "ended secret2"]


def test_others_go_on_while_one_is_waited_for(played):
    sessions = played("await asyncio.Event().wait() if number == 1 else None")
    waiting = gevent.spawn(sessions.start)
    gevent.sleep(0)
    assert sessions.start().id == "s2"
    assert not waiting.ready()
    waiting.kill()


def test_what_the_platform_says_against_it_is_the_error(played):
    sessions = played("raise RuntimeError('the server is not sessioned')")
    with pytest.raises(
        SessionError, match=r"no session of server Server of Modal app app: .*is not sessioned"
    ):
        sessions.start()


def test_one_that_does_not_come_in_time_is_an_error(played):
    sessions = played("await asyncio.Event().wait()", within_s=0.05)
    with pytest.raises(SessionError, match=r"none within 0\.05 s"):
        sessions.start()


def test_one_that_comes_too_late_is_given_back(played):
    sessions = played("await asyncio.sleep(0.2) if number == 1 else None")
    hurried = gevent.spawn(sessions.start)
    while not sessions._awaited:
        gevent.sleep(0)
    hurried.kill()
    later = sessions.start()
    with gevent.Timeout(20):
        while "ended secret1" not in played.log():
            gevent.sleep(0.01)
    assert later.value == "Bearer secret2"


def test_a_process_that_dies_is_an_error_and_is_started_again(played):
    sessions = played("sys.exit(3) if len(open(sys.argv[1]).readlines()) == 1 else None")
    with pytest.raises(SessionError, match="ended with status"):
        sessions.start()
    assert sessions.start().id == "s1"


def test_a_session_that_could_not_be_ended_is_logged_without_its_token(played, caplog):
    sessions = played(end="raise RuntimeError('status 500 for ' + token)")
    session = sessions.start()
    with caplog.at_level(logging.WARNING, "loadgen"):
        sessions.end(session)
        sessions.close()
    assert "a session was not ended: RuntimeError: status 500 for TOKEN" in caplog.text
    assert "secret" not in caplog.text


def test_only_a_server_on_modal_has_sessions_to_ask_for():
    options = Options(flash_urls=("us-east=http://127.0.0.1:1",), modal_sessions=True)
    with pytest.raises(TargetError, match=r"--modal-sessions needs --modal-server: .*127\.0\.0\.1"):
        Generator(Environment(), options)


def test_an_end_that_takes_too_long_is_not_waited_for(played, caplog, monkeypatch):
    monkeypatch.setattr(platform_sessions, "_ENDED_WITHIN_S", 0.1)
    sessions = played(end="await asyncio.Event().wait()")
    sessions.start()
    with caplog.at_level(logging.WARNING, "loadgen"):
        sessions.close()
    assert "not all sessions could be ended within 0.1 s" in caplog.text
