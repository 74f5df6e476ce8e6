"""What the tests ask of every ASGI server; run by uvicorn and hypercorn."""

import gzip


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return await _lifespan(receive, send)
    _, kind, *rest = scope["path"].split("/")
    if kind == "bytes":
        body = bytes(range(256)) * (int(rest[0]) // 256)
        return await _whole(send, 200, body, scope["method"])
    if kind == "chunks":
        return await _chunks(send, [b"chunk %d\n" % i for i in range(int(rest[0]))])
    if kind == "status":
        return await _whole(send, int(rest[0]), b"", scope["method"])
    if kind == "gzip":
        headers = [(b"content-encoding", b"gzip")]
        return await _whole(send, 200, gzip.compress(b"squeezed " * 100), "GET", headers)
    if kind == "close":
        return await _whole(send, 200, b"bye", "GET", [(b"connection", b"close")])
    return await _echo(scope, receive, send)


async def _lifespan(receive, send):
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})


async def _echo(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    given = dict(scope["headers"])
    headers = [
        (b"x-method", scope["method"].encode()),
        (b"x-query", scope["query_string"]),
        (b"x-type", given.get(b"content-type", b"-")),
        (b"x-coding", given.get(b"transfer-encoding", b"-")),
    ]
    await _whole(send, 200, body, "GET", headers)


async def _chunks(send, pieces):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _whole(send, status, body, method, headers=()):
    lengths = [] if status in (204, 304) else [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*lengths, *headers]})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
