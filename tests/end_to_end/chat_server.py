"""An OpenAI-style server that streams tokens, and notes when it sent each of them.

``python chat_server.py FIRST_SECONDS BETWEEN_SECONDS TOKENS`` prints its port. Each ``POST`` gets
an event with the role at once, the tokens as asked, an event with the usage, and ``[DONE]``.
``GET /sent`` tells as JSON, by its own clock, the ``first`` token of each answer after its request
and the times ``between`` tokens, in seconds.
"""

import asyncio
import json
import sys

import uvloop

sent: dict[str, list[float]] = {"first": [], "between": []}


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(**delta: object) -> bytes:
    choices = [{"index": 0, "delta": delta}] if delta else []
    return chunk(b"data: %b\n\n" % json.dumps({"choices": choices, "usage": None}).encode())


async def answer(
    writer: asyncio.StreamWriter, first_s: float, between_s: float, tokens: int
) -> None:
    clock = asyncio.get_running_loop().time
    asked = last = clock()
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        + event(role="assistant", content="")
    )
    for number in range(tokens):
        await asyncio.sleep(between_s if number else first_s)
        now = clock()
        writer.write(event(content=f" {number}"))
        if number:
            sent["between"].append(now - last)
        else:
            sent["first"].append(now - asked)
        last = now
    await asyncio.sleep(between_s)
    writer.write(event() + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    await writer.drain()


async def serve(first_s: float, between_s: float, tokens: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if head.startswith(b"get /sent "):
                    body = json.dumps(sent).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
                    writer.write(body)
                    continue
                length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
                asked = json.loads(await reader.readexactly(int(length)))
                assert asked["stream"] is True
                assert head.startswith(b"post /v1/chat/completions ")
                await answer(writer, first_s, between_s, tokens)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    first, between, number = sys.argv[1:]
    uvloop.run(serve(float(first), float(between), int(number)))
