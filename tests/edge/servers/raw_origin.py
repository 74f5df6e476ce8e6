"""A container that reads requests strictly and answers with the bytes that they ask for.

``X-Answer`` has the whole response in base64, after which the connection is closed; without it the
answer is two bytes, ``X-Seen`` tells method, length and checksum of what was read, and the
connection stays.
"""

import asyncio
import base64
import os
import re
from zlib import crc32

OK = b"HTTP/1.1 200 OK\r\nX-Seen: %b %d %08x\r\nContent-Length: 2\r\n\r\nok"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await answer(reader, writer):
            await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        pass
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    body = b""
    if length:
        body = await reader.readexactly(int(length[1]))
    elif re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
        while size := int((await reader.readline()).partition(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        while await reader.readline() != b"\r\n":
            pass
    wanted = re.search(rb"(?i)\r\nx-answer: *(\S+)", head)
    if wanted:
        writer.write(base64.b64decode(wanted[1]))
    else:
        writer.write(OK % (head.partition(b" ")[0], len(body), crc32(body)))
    return wanted is None


async def main() -> None:
    server = await asyncio.start_server(
        serve, "127.0.0.1", int(os.environ["PORT"]), limit=1 << 20, backlog=4096
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
