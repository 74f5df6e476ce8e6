"""A container that does what files in a folder say, so that a test can have it fail in many ways.

``python moody_server.py FOLDER`` listens on ``$PORT``. With a file ``refuse`` there it answers 503
itself. With ``slow`` a request takes a second, and with six of them it takes no connections until
it has none. One that starts with ``bad`` there removes the file, and answers 503 all its life.
"""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

_MOST = 6
_SLOW_S = 1.0


class Server:
    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._listener: asyncio.Server | None = None
        self._serving = 0
        self._bad = self._is("bad")
        if self._bad:
            (folder / "bad").unlink()

    async def run(self) -> None:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
        await self._listen()
        await told.wait()
        os._exit(0)

    def _is(self, mood: str) -> bool:
        return (self._folder / mood).exists()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self._port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                writer.write(await self._answer(head))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes) -> bytes:
        if not head.startswith(b"GET / "):
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        if self._bad or self._is("refuse"):
            return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nnever"
        began = time.perf_counter()
        if self._is("slow"):
            await self._take_time()
        took_ms = round(1000 * (time.perf_counter() - began))
        return (
            b"HTTP/1.1 200 OK\r\nServer-Timing: app;dur=%d\r\nContent-Length: 2\r\n\r\nok" % took_ms
        )

    async def _take_time(self) -> None:
        self._serving += 1
        if self._serving >= _MOST and self._listener is not None:
            self._listener.close()
            self._listener = None
        await asyncio.sleep(_SLOW_S)
        self._serving -= 1
        if not self._serving and self._listener is None:
            await self._listen()


if __name__ == "__main__":
    asyncio.run(Server(Path(sys.argv[1]), int(os.environ["PORT"])).run())
