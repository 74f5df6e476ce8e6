"""A container that does what a file says, and writes down every request before it does so.

FAULT_FILE has one word: ``good`` answers; ``garbage`` answers with what is no HTTP; ``reset``
breaks the connection within the body; ``slow`` sends a byte of the body each second; ``deaf``
closes the port. FAULT_LOG gets a line "WORD ID" for each request, ID being its X-Id, and one with
the process number at the start.
"""

import asyncio
import os
import re
import socket
import struct
from pathlib import Path

FAULT = Path(os.environ["FAULT_FILE"])
LOG = os.open(os.environ["FAULT_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"


def fault() -> str:
    return FAULT.read_text()


def write_down(word: str, name: str) -> None:
    os.write(LOG, f"{word} {name}\n".encode())


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            name = re.search(rb"(?i)\r\nx-id: *(\S+)", head)
            await answer(writer, name[1].decode() if name else "-")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def answer(writer: asyncio.StreamWriter, name: str) -> None:
    word = fault()
    write_down(word, name)
    if word == "garbage":
        writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        return
    if word == "reset":
        writer.write(HEAD + b"half")
        await writer.drain()
        await asyncio.sleep(0.02)  # the edge passes it on before it hears of the reset
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return
    writer.write(HEAD)
    if word == "slow":
        for _ in range(9):
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(1)
        writer.write(b".")
    else:
        writer.write(b"0123456789")
    await writer.drain()


async def main() -> None:
    write_down("process", str(os.getpid()))
    port = int(os.environ["PORT"])
    while True:
        server = await asyncio.start_server(serve, "127.0.0.1", port)
        while fault() != "deaf":  # noqa: ASYNC110 - a file is all that tells
            await asyncio.sleep(0.05)
        server.close()
        while fault() == "deaf":  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    asyncio.run(main())
