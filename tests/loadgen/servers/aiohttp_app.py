"""The same for aiohttp; the listening socket's descriptor is the argument."""

import gzip
import socket
import sys

from aiohttp import web


async def _bytes(request):
    return web.Response(body=bytes(range(256)) * (int(request.match_info["n"]) // 256))


async def _chunks(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for i in range(int(request.match_info["n"])):
        await response.write(b"chunk %d\n" % i)
    await response.write_eof()
    return response


async def _status(request):
    return web.Response(status=int(request.match_info["n"]))


async def _gzip(request):
    return web.Response(
        body=gzip.compress(b"squeezed " * 100), headers={"content-encoding": "gzip"}
    )


async def _close(request):
    response = web.Response(body=b"bye")
    response.force_close()
    return response


async def _echo(request):
    headers = {
        "x-method": request.method,
        "x-query": request.rel_url.raw_query_string,
        "x-type": request.headers.get("content-type", "-"),
        "x-coding": request.headers.get("transfer-encoding", "-"),
    }
    return web.Response(body=await request.read(), headers=headers)


app = web.Application(client_max_size=1 << 26)
app.router.add_get("/bytes/{n}", _bytes)
app.router.add_get("/chunks/{n}", _chunks)
app.router.add_get("/status/{n}", _status)
app.router.add_get("/gzip", _gzip)
app.router.add_get("/close", _close)
app.router.add_route("*", "/echo", _echo)
web.run_app(app, sock=socket.socket(fileno=int(sys.argv[1])), print=None)
