"""A server of known capacity: so many requests at once, each for so long, and a queue before them.

``python slots_server.py SLOTS SECONDS COLD_SECONDS`` prints its port. It can answer SLOTS / SECONDS
requests per second. For COLD_SECONDS from the first request on it answers 503 instead.
"""

import asyncio
import sys


class Server:
    def __init__(self, slots: int, seconds: float, cold_s: float) -> None:
        self._slots = asyncio.Semaphore(slots)
        self._seconds = seconds
        self._cold_s = cold_s
        self._warm_at: float | None = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(await self._answer())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self) -> bytes:
        loop = asyncio.get_running_loop()
        if self._warm_at is None:
            self._warm_at = loop.time() + self._cold_s
        if loop.time() < self._warm_at:
            return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        async with self._slots:
            await asyncio.sleep(self._seconds)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def main(slots: int, seconds: float, cold_s: float) -> None:
    server = Server(slots, seconds, cold_s)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
