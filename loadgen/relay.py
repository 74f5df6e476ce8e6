"""Carries the connections of Locust's workers to its master, and lets nobody else through.

Locust's protocol has no authentication, and a master takes orders from whoever reaches its port.
So the port stays on the loopback; in front of it a :class:`Listener` admits those who prove the
secret of the run, and beside each worker a :class:`Connector` does so for it.
"""

import asyncio
import logging
import secrets
import ssl
from contextlib import suppress
from types import TracebackType
from typing import Final

from loadgen.handshake import (
    ANSWER_BYTES,
    CHALLENGE_BYTES,
    NONCE_BYTES,
    PROOF_BYTES,
    HandshakeError,
    answer,
    challenge,
    check_answer,
    check_proof,
)

__all__ = ["Address", "Connector", "Listener"]

_log = logging.getLogger("loadgen")

Address = tuple[str, int]

_CONNECT_WITHIN_S: Final = 10.0
_PROVE_WITHIN_S: Final = 5.0
_MOST_UNPROVEN: Final = 32
_CHUNK: Final = 65536
_END_WITHIN_S: Final = 5.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Relay:
    """Serves connections, each in a task of its own; used with ``async with``."""

    def __init__(self, host: str, to: Address) -> None:
        self._host = host
        self._to = to
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = False

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> "_Relay":
        self._server = await asyncio.start_server(self._accept, self._host, 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._ended = True
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_END_WITHIN_S)
        with suppress(TimeoutError):  # somebody who does not read what is left for him
            async with asyncio.timeout(_END_WITHIN_S):
                await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._ended:  # it was accepted before
            writer.transport.abort()
            return
        task = asyncio.create_task(self._serve_and_tell((reader, writer)))
        self._tasks.add(task)
        # A task that is cancelled before it begins never comes to what it should do at its end.
        task.add_done_callback(lambda task: self._close(task, writer))

    def _close(self, task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            writer.transport.abort()
        else:
            writer.close()

    async def _serve_and_tell(self, near: Streams) -> None:
        try:
            await self._serve(near)
        except HandshakeError as error:
            _log.warning("relay: refused a connection: %s", error)
        except (OSError, EOFError, TimeoutError) as error:
            _log.info("relay: a connection ended: %s", error or type(error).__name__)

    async def _serve(self, near: Streams) -> None:
        """One connection, which is closed after that."""
        raise NotImplementedError


class Listener(_Relay):
    """On the master's side: lets those through to ``to`` who prove the ``secret``.

    Others are cut off with their first wrong answer or after ``prove_within_s``, and at once while
    32 connections have yet to prove themselves. ``admitted`` and ``refused`` count.
    """

    def __init__(
        self,
        secret: bytes,
        to: Address,
        *,
        host: str = "127.0.0.1",
        prove_within_s: float = _PROVE_WITHIN_S,
    ) -> None:
        super().__init__(host, to)
        self._secret = secret
        self._prove_within_s = prove_within_s
        self._unproven = 0
        self.admitted = 0
        self.refused = 0

    def __repr__(self) -> str:
        return f"<Listener for {self._to}, {self.admitted} admitted, {self.refused} refused>"

    async def _serve(self, near: Streams) -> None:
        if self._unproven >= _MOST_UNPROVEN:
            self.refused += 1
            return
        self._unproven += 1
        try:
            async with asyncio.timeout(self._prove_within_s):
                await self._admit(near)
        except (HandshakeError, OSError, EOFError, TimeoutError):
            self.refused += 1
            raise
        finally:
            self._unproven -= 1
        self.admitted += 1
        await _pipe(near, await asyncio.open_connection(*self._to))

    async def _admit(self, near: Streams) -> None:
        reader, writer = near
        challenged = challenge(secrets.token_bytes(NONCE_BYTES))
        writer.write(challenged)
        await writer.drain()
        answered = await reader.readexactly(ANSWER_BYTES)
        writer.write(check_answer(self._secret, challenged, answered))
        await writer.drain()


class Connector(_Relay):
    """On a worker's side: each connection to it becomes one to a :class:`Listener` at ``to``.

    With ``tls`` the way there is encrypted, and the other side's certificate has to be valid for
    the host. The secret is proven only after that.
    """

    def __init__(self, secret: bytes, to: Address, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__("127.0.0.1", to)
        self._secret = secret
        self._tls = tls

    def __repr__(self) -> str:
        return f"<Connector to {self._to}>"

    async def _serve(self, near: Streams) -> None:
        async with asyncio.timeout(_CONNECT_WITHIN_S):
            far = await asyncio.open_connection(*self._to, ssl=self._tls)
        try:
            async with asyncio.timeout(_PROVE_WITHIN_S):
                await self._prove(far)
        except BaseException:
            far[1].transport.abort()
            raise
        await _pipe(near, far)

    async def _prove(self, far: Streams) -> None:
        reader, writer = far
        challenged = await reader.readexactly(CHALLENGE_BYTES)
        answered = answer(self._secret, challenged, secrets.token_bytes(NONCE_BYTES))
        writer.write(answered)
        await writer.drain()
        try:
            proof = await reader.readexactly(PROOF_BYTES)
        except EOFError:
            raise HandshakeError("the listening side does not accept the secret") from None
        check_proof(self._secret, challenged, answered, proof)


async def _pipe(near: Streams, far: Streams) -> None:
    """Both ways until either side has ended, and close ``far``: ZeroMQ uses no half connections."""
    ways = [
        asyncio.create_task(_copy(near[0], far[1])),
        asyncio.create_task(_copy(far[0], near[1])),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        far[1].transport.abort()
        raise
    finally:
        far[1].close()  # before anything that may be cancelled
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
