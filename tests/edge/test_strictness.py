"""The same bytes through nginx, HAProxy and the edge: it lets nothing pass that both refuse.

Whoever reads a message otherwise than the next one on its way can be made to take a part of it for
a message of its own (RFC 9112 section 11.2). Being no more lenient than proxies that the world
stands behind is what can be checked of that without knowing every container.
"""

import asyncio
import base64
import contextlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("strictness")]

ORIGIN = Path(__file__).parent / "servers" / "raw_origin.py"
OPENER = build_opener(ProxyHandler({}))
QUIET_S = 0.4
PATIENT_S = 3.0
MUTATIONS = 600


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed, but CI needs it")
        pytest.skip(f"{name} is not installed")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        with process:
            give_up = time.monotonic() + 20
            while not listens(port):
                assert time.monotonic() < give_up, log.read_text()
                assert process.poll() is None, log.read_text()
                time.sleep(0.02)
            try:
                yield
            finally:
                process.terminate()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def proxies(tmp_path_factory) -> Iterator[dict[str, int]]:
    """Ports of the three, in front of one container of the edge."""
    nginx, haproxy = program("nginx"), program("haproxy")
    folder = tmp_path_factory.mktemp("proxies")
    admin, edge = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "flash.edge", "--region", "us-east", "--no-rtt"),
        *("--admin-port", str(admin), "--first-port", str(edge), "--boot-delay", "0"),
        *("--min-containers", "1", "--max-containers", "1", "--", sys.executable, str(ORIGIN)),
    ]
    with contextlib.ExitStack() as stack:
        stack.enter_context(running(command, edge, folder / "edge.txt"))
        origin = live_port(admin)
        ports = {"edge": edge, "nginx": free_port(), "haproxy": free_port()}
        config = folder / "nginx.conf"
        config.write_text(nginx_config(folder, ports["nginx"], origin))
        stack.enter_context(
            running(
                [nginx, "-p", str(folder), "-c", str(config)], ports["nginx"], folder / "nginx.txt"
            )
        )
        config = folder / "haproxy.cfg"
        config.write_text(haproxy_config(ports["haproxy"], origin))
        stack.enter_context(
            running([haproxy, "-db", "-f", str(config)], ports["haproxy"], folder / "haproxy.txt")
        )
        yield ports


def live_port(admin: int) -> int:
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        with OPENER.open(f"http://127.0.0.1:{admin}/containers", timeout=5) as response:
            for container in json.load(response):
                if container["state"] == "live":
                    return int(container["port"])
        time.sleep(0.05)
    pytest.fail("the edge has no live container")


def nginx_config(folder: Path, port: int, origin: int) -> str:
    return f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://127.0.0.1:{origin}; proxy_http_version 1.1; }}
  }}
}}
"""


def haproxy_config(port: int, origin: int) -> str:
    return f"""global
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen all
  bind 127.0.0.1:{port} backlog 4096
  server one 127.0.0.1:{origin}
"""


async def statuses(port: int, request: bytes, quiet_s: float) -> list[int]:
    """The statuses of all responses to some bytes, until nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(request)
        while piece := await asyncio.wait_for(reader.read(65536), quiet_s):
            answer += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]


async def verdicts(ports: dict[str, int], request: bytes, quiet_s: float) -> dict[str, list[int]]:
    found = await asyncio.gather(*(statuses(port, request, quiet_s) for port in ports.values()))
    return dict(zip(ports, found, strict=True))


def lenient(found: dict[str, list[int]]) -> bool:
    """Whether the edge let more requests pass than either of the others."""
    passed = {proxy: codes.count(200) for proxy, codes in found.items()}
    return passed["edge"] > max(passed["nginx"], passed["haproxy"])


def too_lenient(ports: dict[str, int], requests: list[bytes]) -> list[tuple[bytes, object]]:
    """The requests that the edge alone lets pass; a second look excludes that others were slow."""

    async def look() -> list[tuple[bytes, object]]:
        turns = asyncio.Semaphore(100)

        async def one(request: bytes) -> tuple[bytes, object] | None:
            async with turns:
                found = await verdicts(ports, request, QUIET_S)
                if lenient(found):
                    found = await verdicts(ports, request, PATIENT_S)
                return (request, found) if lenient(found) else None

        seen = await asyncio.gather(*map(one, requests))
        return [one for one in seen if one is not None]

    return asyncio.run(look())


PLAIN = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
COUNTED = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\nX-Trailer: t\r\n\r\n"
)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def head(*lines: bytes, start: bytes = b"POST / HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join([start, b"Host: x", *lines, b"", body])


KNOWN = [
    # Two lengths, or a length beside a coding.
    head(b"Content-Length: 5", b"Content-Length: 0", body=b"hello" + SMUGGLED),
    head(b"Content-Length: 0", b"Content-Length: 5", body=b"hello" + SMUGGLED),
    head(b"Content-Length: 5", b"Content-Length: 5", body=b"hello"),
    head(b"Content-Length: 5, 5", body=b"hello"),
    head(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
    head(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n" + SMUGGLED),
    *(
        head(b"Content-Length: " + value, body=b"hello")
        for value in (
            b"+5",
            b"-5",
            b"0x5",
            b"5 ",
            b" 5",
            b"5;",
            b"5\t",
            b"5.0",
            b"\x0b5",
            b"",
            b"05",
        )
    ),
    head(b"Content-Length: 18446744073709551621", body=b"hello"),
    # Codings that one reader knows and another does not.
    *(
        head(b"Transfer-Encoding:" + value, body=b"0\r\n\r\n" + SMUGGLED)
        for value in (
            *(b" xchunked", b" chunked, identity", b" identity, chunked", b" chunked, chunked"),
            *(b"\x0bchunked", b"\x00chunked", b" chunked\x00", b" 'chunked'", b' "chunked"'),
            *(b" chunked;a", b" Chunked", b"\tchunked", b" chunked ", b"", b" ,chunked", b" chunk"),
        )
    ),
    head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x", body=b"0\r\n\r\n" + SMUGGLED),
    head(b"Transfer-Encoding: x", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
    *(
        head(name + b": chunked", body=b"0\r\n\r\n" + SMUGGLED)
        for name in (
            *(b"Transfer-Encoding ", b"Transfer-Encoding\t", b" Transfer-Encoding"),
            *(b"Transfer_Encoding", b"Transfer-Encoding\x00", b"\x0bTransfer-Encoding"),
        )
    ),
    head(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n" + SMUGGLED),
    head(b"X: y\r\n Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
    head(b"X: y\nTransfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
    head(b"X: y\rTransfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
    head(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0", body=b"0\r\n\r\n" + SMUGGLED),
    # Chunks.
    *(
        head(b"Transfer-Encoding: chunked", body=body)
        for body in (
            *(b"5\nhello\n0\n\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhellox\r\n0\r\n\r\n"),
            *(
                b"0x5\r\nhello\r\n0\r\n\r\n",
                b"+5\r\nhello\r\n0\r\n\r\n",
                b"-5\r\nhello\r\n0\r\n\r\n",
            ),
            *(b" 5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
            *(b"5;a\nb\r\nhello\r\n0\r\n\r\n", b"5;\r\nhello\r\n0\r\n\r\n", b"g\r\n\r\n"),
            *(b"5;a=\x00\r\nhello\r\n0\r\n\r\n", b"5\r\r\nhello\r\n0\r\n\r\n"),
            *(b"100000000000000005\r\nhello\r\n0\r\n\r\n", b"00000000000000000005\r\nhello\r\n"),
            *(
                b"0\r\nX: y\r\n\r\n",
                b"0\r\nX\r\n\r\n",
                b"0\r\n X: y\r\n\r\n",
                b"0\r\nX : y\r\n\r\n",
            ),
            *(b"0\r\nContent-Length: 5\r\n\r\n", b"0\n\r\n", b"0\r\n\n", b"0;\x7f\r\n\r\n"),
        )
    ),
    # The request line.
    *(
        head(start=start)
        for start in (
            *(b"GET / HTTP/1.1 ", b"GET  / HTTP/1.1", b" GET / HTTP/1.1", b"GET\t/ HTTP/1.1"),
            *(b"GET / HTTP/1.10", b"GET / HTTP/01.1", b"GET / HTTP/1.", b"GET / http/1.1"),
            *(b"GET / HTTP/2.0", b"GET / HTTP/0.9", b"GET /", b"GET / HTTP/1.1\x00", b"GET"),
            *(b"G=T / HTTP/1.1", b"G\x00T / HTTP/1.1", b"get / HTTP/1.1", b"G(T / HTTP/1.1"),
            *(b"GET x HTTP/1.1", b"GET * HTTP/1.1", b"GET /\x00 HTTP/1.1", b"GET /\x7f HTTP/1.1"),
            *(
                b"GET /a b HTTP/1.1",
                b"GET /#a HTTP/1.1",
                b"GET /\xff HTTP/1.1",
                b"CONNECT x:1 HTTP/1.1",
            ),
            *(b"GET http://y/ HTTP/1.1", b"GET http:///a HTTP/1.1", b"GET http://y HTTP/1.1"),
            *(
                b"GET //a HTTP/1.1",
                b"GET /%00 HTTP/1.1",
                b"GET /../../a HTTP/1.1",
                b"GET ? HTTP/1.1",
            ),
            *(b"GET http://a@y/ HTTP/1.1", b"GET ftp://y/ HTTP/1.1", b"OPTIONS * HTTP/1.1"),
        )
    ),
    # Line ends and hosts.
    PLAIN.replace(b"\r\n", b"\n"),
    PLAIN.replace(b"\r\n", b"\r"),
    b"\r\n" + PLAIN,
    b"\r\n\r\n" + PLAIN,
    b"\n" + PLAIN,
    b"\r" + PLAIN,
    b" \r\n" + PLAIN,
    *(
        b"GET / HTTP/1.1\r\n" + field + b"\r\n"
        for field in (
            *(
                b"",
                b"Host:\r\n",
                b"Host: \r\n",
                b"Host: x\r\nHost: x\r\n",
                b"Host: x\r\nHost: y\r\n",
            ),
            *(
                b"Host: x y\r\n",
                b"Host: x/y\r\n",
                b"Host: x,y\r\n",
                b"Host: x:y\r\n",
                b"Host: @x\r\n",
            ),
            *(b"Host: x\x00\r\n", b"Host: x:80:80\r\n", b"Host: [::1\r\n", b"Host: [::1]x\r\n"),
            *(
                b"Host: x#\r\n",
                b"Host: x?\r\n",
                b"Host: x\\\r\n",
                b"Host: ..\r\n",
                b"Host: x:99999\r\n",
            ),
        )
    ),
    # Fields.
    *(
        head(field)
        for field in (
            *(b"A", b":", b": b", b"A: b\x00", b"A: b\x01", b"A: b\x7f", b"A\x80: b", b"A B: c"),
            *(b"A\x00: b", b"A(: b", b"A: \xff", b"A: b\r\n\tc", b"Connection: host"),
            *(b"Connection: close, content-length", b"Upgrade: h2c", b"Expect: 200-ok"),
        )
    ),
    # Several requests of one connection.
    PLAIN + SMUGGLED,
    COUNTED + SMUGGLED,
    CHUNKED + SMUGGLED,
    COUNTED + b"x" + SMUGGLED,
    CHUNKED + b"\r\n" + SMUGGLED,
]
ODD = [
    b"\0",
    b"\n",
    b"\r",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b"0",
    b"#",
]


def mutated(count: int) -> list[bytes]:
    """Good requests with one to three bytes that are odd, doubled or missing; always the same."""
    rng = random.Random(20_261_123)
    made = []
    for _ in range(count):
        text = rng.choice([PLAIN + SMUGGLED, COUNTED + SMUGGLED, CHUNKED + SMUGGLED])
        for _ in range(rng.choice((1, 1, 2, 3))):
            at = rng.randrange(len(text))
            kind = rng.randrange(4)
            if kind == 0:
                text = text[:at] + rng.choice(ODD) + text[at:]
            elif kind == 1:
                text = text[:at] + rng.choice(ODD) + text[at + 1 :]
            elif kind == 2:
                text = text[:at] + text[at + 1 :]
            else:
                text = text[:at] + text[at : at + rng.randrange(1, 40)] + text[at:]
        made.append(text)
    return made


def test_good_requests_pass_all_three(proxies) -> None:
    async def look() -> list[dict[str, list[int]]]:
        return [await verdicts(proxies, one, 1.0) for one in (PLAIN, COUNTED, CHUNKED)]

    for found in asyncio.run(look()):
        assert found == {"edge": [200], "nginx": [200], "haproxy": [200]}


def test_no_known_trick_passes_that_both_refuse(proxies) -> None:
    assert too_lenient(proxies, KNOWN) == []


def test_no_mutated_request_passes_that_both_refuse(proxies) -> None:
    assert too_lenient(proxies, mutated(MUTATIONS)) == []


def answered(raw: bytes) -> bytes:
    return head(b"X-Answer: " + base64.b64encode(raw), start=b"GET / HTTP/1.1")


def response(*lines: bytes, start: bytes = b"HTTP/1.1 200 OK", body: bytes = b"hello") -> bytes:
    return b"\r\n".join([start, *lines, b"", body])


BAD_RESPONSES = [
    response(b"Content-Length: 5", b"Content-Length: 6"),
    *(
        response(b"Content-Length: " + value)
        for value in (b"+5", b"-5", b"0x5", b"5;", b"5, 5", b"", b"x", b"99999999999999999999999")
    ),
    response(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    *(
        response(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n")
        for value in (b"xchunked", b"chunked, identity", b"chunked, chunked", b"\x0bchunked")
    ),
    *(
        response(b"Content-Length: 5", start=start)
        for start in (
            *(b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 abc OK", b"HTTP/1.1  200 OK"),
            *(b"HTTP/3.1 200 OK", b"HTTP 200 OK", b"200 OK", b"", b"HTTP/1.1 000 OK"),
            *(b"HTTP/1.1 200 O\x00K", b"http/1.1 200 OK", b"HTTP/1.1 099 OK", b"HTTP/1.12 200 OK"),
        )
    ),
    *(
        response(b"Content-Length: 5", field)
        for field in (
            *(
                b"A",
                b": b",
                b"A B: c",
                b"A: b\x00",
                b"A: b\r\n c",
                b"A : b",
                b"A\x00: b",
                b"A: \x01",
            ),
        )
    ),
    b"",
    b"\r\n\r\n",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"\x16\x03\x01\x02\x00",
]


def test_no_malformed_response_passes_that_both_refuse(proxies) -> None:
    assert too_lenient(proxies, [answered(raw) for raw in BAD_RESPONSES]) == []


def test_a_good_response_passes_all_three(proxies) -> None:
    async def look() -> dict[str, list[int]]:
        return await verdicts(proxies, answered(response(b"Content-Length: 5")), 1.0)

    assert asyncio.run(look()) == {"edge": [200], "nginx": [200], "haproxy": [200]}
