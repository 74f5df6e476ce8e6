"""A server that answers at once, but for a stall at the start of every period, its start included:
then it does nothing at all.

``python stalling_server.py STALL_SECONDS PERIOD_SECONDS [HOST]`` prints its port. ``GET /served``
tells how many other requests it has answered.
"""

import asyncio
import sys
import time

import uvloop

served = 0


class Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._unread = b""

    def data_received(self, data: bytes) -> None:
        global served
        *heads, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for head in heads:
            body = b"ok"
            if head.startswith(b"GET /served "):
                body = str(served).encode()
            else:
                served += 1
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )


async def serve(stall_s: float, period_s: float, host: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, host, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    begun = loop.time()

    def stall(number: int) -> None:
        # Measured from when it was meant to begin, so that the stalls do not drift.
        time.sleep(max(0.0, begun + number * period_s + stall_s - loop.time()))
        loop.call_at(begun + (number + 1) * period_s, stall, number + 1)

    loop.call_at(begun, stall, 0)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(*map(float, sys.argv[1:3]), *(sys.argv[3:] or ["127.0.0.1"])))
