"""A container for the tests of the real edge: a few routes, no framework, quick to start.

GET / tells its id and process; POST /echo sends the body back as it comes; GET /wait?S answers
after S seconds; GET /deaf?S closes the port for S seconds; SIGTERM ends it once nothing is served.
"""

import asyncio
import os
import signal
import sys


class Server:
    def __init__(self, port: int) -> None:
        self._port = port
        self._serving = 0
        self._listener: asyncio.Server | None = None
        self._told = asyncio.Event()
        self._idle = asyncio.Condition()

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._told.set)
        await self._listen()
        await self._told.wait()
        async with self._idle:
            await self._idle.wait_for(lambda: not self._serving)
        os._exit(0)  # connections that idle are nobody's loss

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(
            self._serve, "127.0.0.1", self._port, backlog=4096
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self._serving += 1
                try:
                    await self._answer(head, reader, writer)
                finally:
                    self._serving -= 1
                    async with self._idle:
                        self._idle.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self, head, reader, writer) -> None:
        target = head.split(" ")[1]
        path, _, query = target.partition("?")
        if path == "/echo":
            await self._echo(head, reader, writer)
            return
        if path == "/wait":
            await asyncio.sleep(float(query))
        if path == "/deaf":
            asyncio.get_running_loop().create_task(self._deaf(float(query)))
        body = f"{os.environ['MODAL_TASK_ID']} {os.getpid()}\n".encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()

    async def _echo(self, head, reader, writer) -> None:
        lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
        left = int(lines["content-length"])
        if lines.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
        while left:
            data = await reader.read(1 << 16)
            left -= len(data)
            writer.write(data)
            await writer.drain()

    async def _deaf(self, seconds: float) -> None:
        assert self._listener is not None
        self._listener.close()
        await asyncio.sleep(seconds)
        await self._listen()


if __name__ == "__main__":
    if "--never" in sys.argv:
        asyncio.run(asyncio.sleep(3600))
    if "--fail" in sys.argv:
        sys.exit("cannot find the model")
    asyncio.run(Server(int(os.environ["PORT"])).run())
