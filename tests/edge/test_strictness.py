"""The same bytes through nginx, HAProxy and the edge: it lets nothing pass that both refuse.

What it lets pass reaches the container as through one of them, and is read alike by everybody.

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
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import h11
import httptools
import pytest

from flash.edge.chunked import ChunkedBody, ChunkedError
from flash.edge.request_head import RequestError, parse_request

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("strictness")]

ORIGIN = Path(__file__).parent / "servers" / "raw_origin.py"
OPENER = build_opener(ProxyHandler({}))
QUIET_S = 0.4
PATIENT_S = 3.0


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


async def exchange(port: int, request: bytes, quiet_s: float) -> bytes:
    """All that answers some bytes, until nothing more comes."""
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
    return answer


Answers = dict[str, bytes]


async def answers(ports: dict[str, int], request: bytes, quiet_s: float) -> Answers:
    found = await asyncio.gather(*(exchange(port, request, quiet_s) for port in ports.values()))
    return dict(zip(ports, found, strict=True))


def codes(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3})", answer)]


def seen(answer: bytes) -> list[bytes]:
    """The requests that the container answered: method, length and checksum of each."""
    return re.findall(rb"(?i)\r\nx-seen: ([^\r]+)", answer)


def read_otherwise(found: Answers) -> bool:
    """Whether the container got other requests from the edge than from each of the others.

    The edge may stop sooner than they do.
    """
    through = {proxy: seen(answer) for proxy, answer in found.items()}
    ours = through.pop("edge")
    return all(theirs[: len(ours)] != ours for theirs in through.values())


def offending(
    ports: dict[str, int], requests: list[bytes], offends: Callable[[Answers], bool]
) -> list[tuple[bytes, Answers]]:
    """The requests whose answers offend; a second look excludes that others were slow."""

    async def look() -> list[tuple[bytes, Answers] | None]:
        turns = asyncio.Semaphore(100)

        async def one(request: bytes) -> tuple[bytes, Answers] | None:
            async with turns:
                found = await answers(ports, request, QUIET_S)
                if offends(found):
                    found = await answers(ports, request, PATIENT_S)
                return (request, found) if offends(found) else None

        return await asyncio.gather(*map(one, requests))

    return [one for one in asyncio.run(look()) if one is not None]


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


def spoilt(rng: random.Random, text: bytes) -> bytes:
    """A message with one to three bytes that are odd, doubled or missing."""
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
    return text


def mutated(count: int) -> list[bytes]:
    """Good requests, spoilt; always the same."""
    rng = random.Random(20_261_123)
    return [
        spoilt(rng, rng.choice([PLAIN + SMUGGLED, COUNTED + SMUGGLED, CHUNKED + SMUGGLED]))
        for _ in range(count)
    ]


METHODS = [b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"get", b"P@ST", b"G\x00T", b"X"]
TARGETS = [
    b"/",
    b"/a?b=c",
    b"*",
    b"http://h/",
    b"http://y/a",
    b"//h",
    b"/%0d%0a",
    b"/\xe9",
    b"a",
    b"",
]
VERSIONS = [
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"HTTP/11",
]
LENGTHS = [
    b"5",
    b"0",
    b"6",
    b"05",
    b"+5",
    b"5 ",
    b"5,5",
    b"5, 5",
    b"0x5",
    b"5\x00",
    b"-1",
    b"",
    b"4;",
]
CODINGS = [
    *(b"chunked", b"Chunked", b"chunked ", b"\tchunked", b"xchunked", b"chunked;a", b"chunked,"),
    *(b"identity", b"gzip", b"gzip, chunked", b"chunked, gzip", b"chunked\x00", b"'chunked'", b""),
]
NAMES = [b"%b", b"%b", b"%b", b"%b ", b"%b\t", b" %b", b"%b\x00", b"\x0b%b", b"X-%b", b"%b\r"]
OTHERS = [
    *(b"X: y", b"X: y\r\n z", b"X: y\n z", b"X:", b": y", b"X", b"X: \x01", b"X: \xff", b"Host: y"),
    *(b"Host: x", b"Host : x", b"Connection: close", b"Connection: keep-alive", b"TE: trailers"),
    *(b"Connection: content-length", b"Connection: transfer-encoding, host", b"Trailer: Host"),
    *(b"Upgrade: h2c", b"Expect: 100-continue", b"Proxy-Connection: close", b"Keep-Alive: 1"),
    *(b"Content_Length: 5", b"Transfer_Encoding: chunked", b"X: " + b"y" * 9000),
]
ENDS = [b"\n", b"\r", b"\r\r\n", b"\n\r", b" \r\n", b"\x0b\r\n", b"\r\n\r\n", b""]
BODIES = [
    *(b"", b"hello", b"hello\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n"),
    *(b"5;a\r\nhello\r\n0\r\n\r\n", b"5 ;a\r\nhello\r\n0\r\n\r\n", b"5;a\nhello\r\n0\r\n\r\n"),
    *(
        b'5;a="\r\nhello\r\n0\r\n\r\n',
        b"5;\rhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    ),
    *(b"5\r\nhello\r\n0\r\nHost: y\r\n\r\n", b"5\r\nhello\r\n00\r\n\r\n", b"5\r\nhello\n0\r\n\r\n"),
    *(b"5\r\nhelloX\r\n0\r\n\r\n", b"5\r\nhello\r\n-0\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\n\r\n"),
    *(b"ffffffffffffffff5\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n y: z\r\n\r\n"),
]


def made_up(rng: random.Random) -> bytes:
    """A request put together of parts that smuggle, most of them right, and another behind it."""
    start = b" ".join(
        parts[0] if rng.random() < 0.85 else rng.choice(parts)
        for parts in (rng.sample(METHODS[:3], 3) + METHODS[3:], TARGETS, VERSIONS)
    )
    lines = [] if rng.random() < 0.05 else [b"Host: x"]
    for _ in range(rng.choice((0, 1, 1, 1, 2, 2))):
        name, values = rng.choice(((b"Content-Length", LENGTHS), (b"Transfer-Encoding", CODINGS)))
        value = values[0] if rng.random() < 0.5 else rng.choice(values)
        lines.append(rng.choice(NAMES) % name + rng.choice((b": ", b": ", b":", b" :")) + value)
    lines += rng.sample(OTHERS, rng.choice((0, 0, 1, 2)))
    rng.shuffle(lines)
    head = b"".join(
        line + (b"\r\n" if rng.random() < 0.95 else rng.choice(ENDS))
        for line in (start, *lines, b"")
    )
    return head + rng.choice(BODIES) + (SMUGGLED if rng.random() < 0.7 else b"")


def all_made_up(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    return [made_up(rng) for _ in range(count)]


def test_good_requests_pass_all_three(proxies) -> None:
    async def look() -> list[Answers]:
        return [await answers(proxies, one, 1.0) for one in (PLAIN, COUNTED, CHUNKED)]

    of_each = [b"GET 0 00000000", b"POST 5 3610a686", b"POST 8 66391419"]
    for found, read in zip(asyncio.run(look()), of_each, strict=True):
        assert [codes(answer) for answer in found.values()] == [[200]] * 3
        assert [seen(answer) for answer in found.values()] == [[read]] * 3


def test_no_known_trick_passes_that_both_refuse(proxies) -> None:
    assert offending(proxies, KNOWN, read_otherwise) == []


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.floods)])
def test_no_mutated_request_passes_that_both_refuse(proxies, count) -> None:
    assert offending(proxies, mutated(count), read_otherwise) == []


@pytest.mark.parametrize("count", [1000, pytest.param(25_000, marks=pytest.mark.floods)])
def test_no_made_up_request_passes_that_both_refuse(proxies, count) -> None:
    assert offending(proxies, all_made_up(count, seed=8), read_otherwise) == []


# What is let pass, as the container gets it.


def forwarded(request: bytes) -> list[tuple[bytes, bytes]]:
    """Head and body of each request as the edge would send them on, up to the first refusal."""
    gone_on = []
    while (end := request.find(b"\r\n\r\n") + 4) >= 4:
        try:
            head = parse_request(request[:end])
        except RequestError:
            break
        request = request[end:]
        taken = head.length
        if taken is None:
            body = ChunkedBody()
            try:
                taken = body.feed(request)
            except ChunkedError:
                break
            if not body.done:
                break
        elif taken > len(request):
            break
        whole = head.forward + b"127.0.0.1\r\nx-forwarded-proto: http\r\n\r\n"
        gone_on.append((whole, request[:taken]))
        request = request[taken:]
        if not head.keep_alive:
            break
    return gone_on


def read_by_h11(data: bytes) -> list[tuple[bytes, bytes, bytes]] | None:
    """Method, target and body of each request; ``None`` where it is refused."""
    found = []
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    try:
        while isinstance(event := connection.next_event(), h11.Request):
            request, body = event, b""
            while isinstance(event := connection.next_event(), h11.Data):
                body += event.data
            if not isinstance(event, h11.EndOfMessage):
                return found
            found.append((request.method, request.target, body))
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
    except h11.RemoteProtocolError:
        return None
    except h11.LocalProtocolError:  # the connection is not to be kept
        pass
    return found


class Llhttp:
    """What llhttp makes of some requests."""

    def __init__(self, data: bytes) -> None:
        self.found: list[tuple[bytes, bytes, bytes]] | None = []
        self._target = self._body = b""
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            self.found = None

    def on_message_begin(self) -> None:
        self._target = self._body = b""

    def on_url(self, piece: bytes) -> None:
        self._target += piece

    def on_body(self, piece: bytes) -> None:
        self._body += piece

    def on_message_complete(self) -> None:
        assert self.found is not None
        self.found.append((self._parser.get_method(), self._target, self._body))


NO_DOUBT = re.compile(rb"(?:[!-9;-~]+:[\t\x20-\x7e\x80-\xff]*\r\n)+\r\n")


@pytest.mark.parametrize("count", [20_000, pytest.param(500_000, marks=pytest.mark.floods)])
def test_what_goes_on_is_read_alike_by_everybody(count) -> None:
    went_on = 0
    for request in [*KNOWN, *mutated(count // 10), *all_made_up(count, seed=9)]:
        for head, body in forwarded(request):
            went_on += 1
            start, _, fields = head.partition(b"\r\n")
            assert re.fullmatch(rb"[!-~]+ [!-~]+ HTTP/1\.1", start), request
            assert NO_DOUBT.fullmatch(fields), request
            names = [line.partition(b":")[0].lower() for line in fields.split(b"\r\n")]
            assert names.count(b"host") == 1, request
            assert names.count(b"content-length") + names.count(b"transfer-encoding") <= 1, request
            # Two of them behind each other: each ends where the other one begins.
            once, twice = head + body, (head + body) * 2
            for read in (read_by_h11(twice), Llhttp(twice).found):
                if read is None:
                    continue  # a container may well be stricter
                method, target, _ = start.split(b" ")
                decoded: list[bytes] = [body]
                if b"transfer-encoding" in names:
                    decoded = []
                    ChunkedBody().feed(body, decoded)
                assert read == [(method, target, b"".join(decoded))] * len(read), request
                assert len(read) == 2 or b"connection: upgrade" in once.lower(), request
    assert went_on > count // 8


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


GOOD_RESPONSES = [
    response(b"Content-Length: 5", b"X: y"),
    response(
        b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\nX: t\r\n\r\n"
    ),
    response(b"Connection: close"),
    response(b"Content-Length: 5", start=b"HTTP/1.0 200 OK"),
    response(b"Transfer-Encoding: chunked", start=b"HTTP/1.0 200 OK", body=b"0\r\n\r\n"),
    response(b"Content-Length: 5", start=b"HTTP/1.1 204 No Content", body=b""),
    response(b"Content-Length: 5", start=b"HTTP/1.1 304 Not Modified", body=b""),
    b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + response(b"Content-Length: 5"),
    b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n" + response(b"Content-Length: 5"),
]
FORGED = b"HTTP/1.1 200 OK\r\nX-Forged: 1\r\nContent-Length: 0\r\n\r\n"


def mutated_responses(count: int) -> list[bytes]:
    """Requests for responses that are spoilt, some with a forged one behind; then another."""
    rng = random.Random(20_261_125)
    return [
        answered(spoilt(rng, rng.choice(GOOD_RESPONSES) + rng.choice((b"", FORGED)))) + PLAIN
        for _ in range(count)
    ]


def answers_by_h11(data: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each whole response to two requests of one connection.

    What the edge passes on has to be HTTP, but for its end.
    """
    found: list[tuple[int, bytes]] = []
    if not data:
        return found  # h11 would take that for the connection's end
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    ended = False
    for _ in range(2):
        connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        connection.send(h11.EndOfMessage())
        status, body = 0, b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA and not ended:
                ended = True
                try:
                    connection.receive_data(b"")
                    event = connection.next_event()
                except h11.RemoteProtocolError:
                    return found  # it breaks off
            if isinstance(event, h11.Response):
                assert b"x-forged" not in dict(event.headers)
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                found.append((status, body))
                break
            elif not isinstance(event, h11.InformationalResponse):
                return found
        if h11.MUST_CLOSE in (connection.our_state, connection.their_state) or (
            connection.their_state is h11.CLOSED
        ):
            return found
        connection.start_next_cycle()
    return found


class AnswersByLlhttp:
    def __init__(self, data: bytes) -> None:
        self.found: list[tuple[int, bytes]] = []
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        # What it refuses it does not misread.
        with contextlib.suppress(httptools.HttpParserUpgrade, httptools.HttpParserError):
            self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, piece: bytes) -> None:
        self._body += piece

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() >= 200:
            self.found.append((self._parser.get_status_code(), self._body))


def more_pass_or_doubt(found: Answers) -> bool:
    """Whether a whole response passes that neither of the others lets begin, or two clients read
    it differently.

    The container's plain answer to what follows tells nothing of that.
    """
    begun = [
        codes(answer).count(200) - len(seen(answer))
        for proxy, answer in found.items()
        if proxy != "edge"
    ]
    answer = found["edge"]
    read, by_llhttp = answers_by_h11(answer), AnswersByLlhttp(answer).found
    whole = sum(status == 200 for status, _ in read) - len(seen(answer))
    # The end of a body that ends with its connection is told to h11 alone.
    return whole > max(begun) or read[: len(by_llhttp)] != by_llhttp


def test_no_malformed_response_passes_that_both_refuse(proxies) -> None:
    assert offending(proxies, [answered(raw) for raw in BAD_RESPONSES], more_pass_or_doubt) == []


@pytest.mark.parametrize("count", [700, pytest.param(20_000, marks=pytest.mark.floods)])
def test_no_mutated_response_passes_that_both_refuse_or_is_read_in_two_ways(proxies, count) -> None:
    assert offending(proxies, mutated_responses(count), more_pass_or_doubt) == []


def test_a_good_response_passes_all_three(proxies) -> None:
    async def look() -> Answers:
        return await answers(proxies, answered(response(b"Content-Length: 5")), 1.0)

    assert [codes(answer) for answer in asyncio.run(look()).values()] == [[200]] * 3
