"""Sessions that Modal starts, asked for by a process that can speak to it.

All users of this process share that one. It ends what is left of the sessions when its input ends,
also when that is because this process has died.
"""

import json
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any, Final

import gevent
from gevent.event import AsyncResult
from gevent.lock import RLock
from gevent.queue import Queue
from gevent.subprocess import PIPE, Popen, TimeoutExpired

from flash.control_plane import ModalServer
from loadgen.errors import SessionError
from loadgen.session import AUTHORIZATION_HEADER, Session

__all__ = ["PlatformSessions"]

_log = logging.getLogger("loadgen")

_SCHEME: Final = "Bearer "
_ENDED_WITHIN_S: Final = 20.0

Answer = dict[str, Any]


class PlatformSessions:
    """The sessions of ``server``; each is waited for at most ``within_s()`` seconds.

    ``command`` is what speaks to Modal, as :mod:`flash.server_sessions` has it; it is started with
    the first session.
    """

    asks_platform: Final = True

    def __init__(
        self,
        server: ModalServer,
        *,
        within_s: Callable[[], float],
        command: tuple[str, ...] = (sys.executable, "-m", "flash"),
    ) -> None:
        names = ("--modal-app", server.app, "--modal-server", str(server.server))
        self.server = server
        self._command = (*command, "sessions", *names)
        self._within_s = within_s
        self._numbers = count()
        self._awaited: dict[int, AsyncResult] = {}
        self._teller: _Teller | None = None
        self._starting = RLock()

    def __repr__(self) -> str:
        return f"<PlatformSessions of {self.server.describe()}>"

    def start(self) -> Session:
        """A new session.

        Raises:
            SessionError: Modal gave none, or not in time.
        """
        with self._starting:  # which lets others run meanwhile
            if self._teller is None:
                self._teller = _Teller(self._command, self._heard, self._lost)
        number, answer = next(self._numbers), AsyncResult()
        self._awaited[number] = answer
        within_s = self._within_s()
        try:
            self._teller.tell({"start": number})
            answer.wait(within_s)
        except BaseException:  # killed, maybe after it was answered
            if answer.ready():
                self._give_back(answer.value)
            raise
        finally:
            self._awaited.pop(number, None)
        if not answer.ready():
            raise self._none(f"Modal gave none within {within_s:g} s")
        given: Answer = answer.value
        if "token" not in given:
            raise self._none(str(given.get("error")))
        return Session(given["session_id"], AUTHORIZATION_HEADER, _SCHEME + given["token"])

    def end(self, session: Session) -> None:
        """Have it ended."""
        if self._teller is not None:
            self._teller.tell({"terminate": session.value.removeprefix(_SCHEME)})

    def close(self) -> None:
        """End all of them, and wait until that is done."""
        teller, self._teller = self._teller, None
        if teller is not None and not teller.finish(_ENDED_WITHIN_S):
            _log.warning(
                "%s: not all sessions could be ended within %g s; Modal ends them when they have "
                "been idle for some time",
                self.server.describe(),
                _ENDED_WITHIN_S,
            )

    def _heard(self, answer: Answer) -> None:
        awaiting = self._awaited.pop(answer.get("start", -1), None)
        if awaiting is not None:
            awaiting.set(answer)
        elif "start" in answer:
            self._give_back(answer)
        else:
            described = self.server.describe()
            _log.warning("%s: a session was not ended: %s", described, answer.get("error"))

    def _give_back(self, answer: Answer) -> None:
        """Nobody wants it any more."""
        if "token" in answer and self._teller is not None:
            self._teller.tell({"terminate": answer["token"]})

    def _lost(self, status: int) -> None:
        """Whoever spoke to Modal is gone; the next session has it started again."""
        self._teller = None
        awaited, self._awaited = self._awaited, {}
        for answer in awaited.values():
            answer.set({"error": f"the process that asks Modal ended with status {status}"})

    def _none(self, reason: str) -> SessionError:
        return SessionError(f"no session of {self.server.describe()}: {reason}")


class _Teller:
    """A process that is told lines and answers in lines; neither makes anybody wait.

    ``heard`` is given its answers, and ``lost`` its exit status when it ends by itself.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        heard: Callable[[Answer], None],
        lost: Callable[[int], None],
    ) -> None:
        # In a session of its own, or Ctrl-C would end it before it has ended the sessions.
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, start_new_session=True)
        self._heard, self._lost = heard, lost
        self._lines = Queue()
        self._finishing = False
        self._writing = gevent.spawn(self._write)
        self._reading = gevent.spawn(self._read)

    def tell(self, what: Answer) -> None:
        self._lines.put(json.dumps(what).encode() + b"\n")

    def finish(self, within_s: float) -> bool:
        """End its input; whether it ended by itself in that time."""
        self._finishing = True
        self._lines.put(None)
        try:
            self._process.wait(within_s)
        except TimeoutExpired:
            self._process.kill()
            self._process.wait()
        gevent.joinall([self._writing, self._reading])
        return bool(self._process.returncode == 0)

    def _write(self) -> None:
        # When it is gone, who reads from it finds out too.
        with suppress(OSError), self._process.stdin as pipe:
            for line in iter(self._lines.get, None):
                pipe.write(line)
                pipe.flush()

    def _read(self) -> None:
        with self._process.stdout as pipe:
            for line in pipe:
                self._heard(json.loads(line))
        status = self._process.wait()
        if not self._finishing:
            self._writing.kill()
            self._lost(status)
