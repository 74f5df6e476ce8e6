"""The data plane between raw sockets: what passes, what is refused, and what ends with what."""

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Awaitable, Callable
from time import perf_counter

import pytest

from flash.edge.client import ClientConnection
from flash.edge.delay import timers
from flash.edge.faults import Faults
from flash.edge.open_files import ConnectionLimit
from flash.edge.region import RegionalProxy

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PASSED = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-edge-region: here\r\nx-edge-container: ta-0\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
SOON = 5.0

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Container:
    def __init__(self, number: int, port: int) -> None:
        self.task_id = f"ta-{number}"
        self.host, self.port = "127.0.0.1", port
        self.in_flight = 0
        self.idle: list = []
        self.routed = b"x-edge-container: " + self.task_id.encode() + b"\r\n"


class Pool:
    """Gives the first container that was not found unreachable."""

    def __init__(self, containers: list[Container]) -> None:
        self.containers = containers
        self.limit = 1_000_000
        self.refusals = 0
        self.misdeeds: list[tuple[Container, str]] = []
        self.shortages: list[OSError] = []
        self.sessions: list[str | None] = []

    def choose(self, session):
        self.sessions.append(session)
        return self.containers[0] if self.containers else None

    def saturated(self, container) -> bool:
        return container.in_flight >= self.limit

    def refused(self) -> None:
        self.refusals += 1

    def unreachable(self, container) -> None:
        if container in self.containers:
            self.containers.remove(container)

    def misbehaved(self, container, what) -> None:
        self.misdeeds.append((container, what))

    def short_of(self, error) -> None:
        self.shortages.append(error)

    def entered(self, container) -> None:
        container.in_flight += 1

    def left(self, container) -> None:
        container.in_flight -= 1


class Edge:
    """One region on a free port, in front of containers that the test scripts."""

    def __init__(self) -> None:
        self.pool = Pool([])
        self.proxy = RegionalProxy("here", self.pool, timers(asyncio.get_running_loop()))
        self.connections = 0
        self._servers: list[asyncio.Server] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._handlers: set[asyncio.Task] = set()

    async def start(self, *handlers: Handler, **options) -> "Edge":
        if options:
            self.proxy = RegionalProxy("here", self.pool, self.proxy.timers, **options)
        for number, handler in enumerate(handlers):
            server = await asyncio.start_server(self._counted(handler), "127.0.0.1", 0)
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
            self.pool.containers.append(Container(number, port))
        server = await asyncio.get_running_loop().create_server(
            lambda: ClientConnection(self.proxy), "127.0.0.1", 0
        )
        self._servers.append(server)
        self.port = server.sockets[0].getsockname()[1]
        return self

    def _counted(self, handler: Handler):
        async def handle(reader, writer) -> None:
            self.connections += 1
            self._writers.append(writer)
            task = asyncio.current_task()
            self._handlers.add(task)
            task.add_done_callback(self._handlers.discard)
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await handler(reader, writer)
            writer.close()

        return handle

    async def connect(self, **options):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        self._writers.append(writer)
        return reader, writer

    async def ask(self, request: bytes) -> bytes:
        """All that comes back on a connection of its own, up to its end."""
        reader, writer = await self.connect()
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer

    @property
    def codes(self) -> dict[int, int]:
        return self.proxy.counters.by_code

    async def close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self.proxy.connections):
            connection.abort()
        for container in self.pool.containers:
            for idle in list(container.idle):
                idle.abort()
        for writer in self._writers:
            writer.transport.abort()
        if self._handlers:
            await asyncio.wait(self._handlers, timeout=1)
        for task in list(self._handlers):
            task.cancel()
        self.proxy.timers.close()
        await asyncio.sleep(0.01)


@pytest.fixture
def run(loop_factory):
    """Run a scenario with an edge, on either loop."""

    def go(scenario: Callable[[Edge], Awaitable[None]]) -> None:
        async def whole() -> None:
            edge = Edge()
            try:
                async with asyncio.timeout(20):
                    await scenario(edge)
            finally:
                await edge.close()

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(whole())

    return go


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 - the conditions are of plain objects
            await asyncio.sleep(0.001)


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


async def answering(reader, writer) -> None:
    """Answers every request, reading bodies by their length."""
    while True:
        head = (await head_of(reader)).lower()
        if b"content-length: " in head:
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.write(OK)


def answering_with(*parts: bytes, close: bool = True) -> Handler:
    """One answer in pieces, then the end of the connection."""

    async def handle(reader, writer) -> None:
        await head_of(reader)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.002)
        if not close:
            await reader.read()

    return handle


# What passes.


def test_requests_pass_on_one_connection_to_each_side(run) -> None:
    seen = []

    async def handle(reader, writer) -> None:
        while True:
            seen.append(await head_of(reader))
            writer.write(OK)

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        reader, writer = await edge.connect()
        for _ in range(3):
            writer.write(GET)
            assert await head_of(reader) == PASSED + b"\r\n"
            assert await reader.readexactly(2) == b"ok"
        writer.close()
        assert edge.connections == 1
        assert edge.codes == {200: 3}
        assert sum(edge.proxy.counters.overhead.counts) == 3
        assert edge.pool.containers[0].in_flight == 0
        assert seen == 3 * [
            b"GET / HTTP/1.1\r\nHost: h\r\nx-forwarded-for: 127.0.0.1\r\n"
            b"x-forwarded-proto: http\r\n\r\n"
        ]

    run(scenario)


def test_both_sides_may_come_byte_by_byte(run) -> None:
    answer = b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n"

    async def handle(reader, writer) -> None:
        await head_of(reader)
        assert await reader.readexactly(4) == b"body"
        for byte in answer:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        reader, writer = await edge.connect()
        for byte in POST:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        head = await head_of(reader)
        assert head.startswith(b"HTTP/1.1 201 Made\r\ntransfer-encoding: chunked\r\nx-edge-region")
        assert await reader.readuntil(b"T: 1\r\n\r\n") == answer.partition(b"\r\n\r\n")[2]
        writer.close()
        await until(lambda: edge.codes == {201: 1})

    run(scenario)


def test_pipelined_requests_are_answered_in_their_order(run) -> None:
    async def handle(reader, writer) -> None:
        while True:
            path = (await head_of(reader)).split(b" ")[1]
            if path == b"/1":
                await reader.readexactly(4)
                await asyncio.sleep(0.01)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(path), path))

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        reader, writer = await edge.connect()
        writer.write(
            b"\r\n".join(
                b"%b /%d HTTP/1.1\r\nHost: h\r\n%b"
                % (b"POST" if n == 1 else b"GET", n, b"Content-Length: 4\r\n\r\nbody" * (n == 1))
                for n in range(1, 6)
            ).replace(b"body\r\n", b"body")
            + b"\r\n"
        )
        for n in range(1, 6):
            await head_of(reader)
            assert await reader.readexactly(2) == b"/%d" % n
        writer.close()

    run(scenario)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n"),
    ],
)
def test_answers_without_a_body_keep_the_connection(run, method, answer) -> None:
    async def handle(reader, writer) -> None:
        while True:
            await head_of(reader)
            writer.write(answer)

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        reader, writer = await edge.connect()
        for _ in range(2):
            writer.write(GET.replace(b"GET", method))
            assert (await head_of(reader)).startswith(answer[:12])
        writer.close()
        assert edge.connections == 1

    run(scenario)


def test_leave_to_send_a_body_passes_before_the_body(run) -> None:
    async def handle(reader, writer) -> None:
        assert b"expect: 100-continue" in (await head_of(reader)).lower()
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await reader.readexactly(4) == b"body"
        writer.write(OK)
        await reader.read()

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        reader, writer = await edge.connect()
        head, body = POST[:-4], POST[-4:]
        writer.write(head[:-2] + b"Expect: 100-continue\r\n\r\n")
        assert await head_of(reader) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert await head_of(reader) == PASSED + b"\r\n"
        writer.close()

    run(scenario)


def test_a_client_of_http_1_0_gets_no_interim_answer_and_no_chunks(run) -> None:
    handle = answering_with(
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab",
        b"c\r\n2\r\nde\r\n0\r\n\r\n",
    )

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        answer = await edge.ask(b"GET / HTTP/1.0\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"transfer-encoding" not in head
        assert b"connection: close" in head
        assert body == b"abcde"

    run(scenario)


def test_a_client_of_http_1_0_may_keep_its_connection(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering)
        reader, writer = await edge.connect()
        for _ in range(2):
            writer.write(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            assert (await head_of(reader)).endswith(b"\r\nconnection: keep-alive\r\n\r\n")
            assert await reader.readexactly(2) == b"ok"
        edge.pool.containers.clear()
        for _ in range(2):
            writer.write(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            assert (await head_of(reader)).endswith(b"\r\nconnection: keep-alive\r\n\r\n")
        writer.close()

    run(scenario)


def test_a_body_up_to_the_end_of_the_connection_closes_the_clients_too(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering_with(b"HTTP/1.1 200 OK\r\n\r\nall ", b"of it"))
        head, _, body = (await edge.ask(GET)).partition(b"\r\n\r\n")
        assert b"connection: close" in head
        assert body == b"all of it"
        assert edge.codes == {200: 1}

    run(scenario)


def test_a_websocket_passes_both_ways_until_either_side_ends(run) -> None:
    async def handle(reader, writer) -> None:
        head = await head_of(reader)
        assert b"upgrade: websocket\r\n" in head
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\n\r\nhi"
        )
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.write(b"bye")

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        reader, writer = await edge.connect()
        writer.write(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        head = await head_of(reader)
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n")
        assert await reader.readexactly(2) == b"hi"
        writer.write(b"abc")
        assert await reader.readexactly(3) == b"ABC"
        assert edge.pool.containers[0].in_flight == 1
        writer.write_eof()
        assert await reader.read() == b"bye"
        writer.close()
        await until(lambda: edge.codes == {101: 1})
        assert edge.pool.containers[0].in_flight == 0

    run(scenario)


def test_sessions_reach_the_pool_as_they_were_sent(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering)
        reader, writer = await edge.connect()
        for line in (b"Modal-Session-ID: s 1\r\n", b"modal-session-id:\r\n", b""):
            writer.write(GET[:-2] + line + b"\r\n")
            await head_of(reader)
            await reader.readexactly(2)
        writer.close()
        assert edge.pool.sessions == ["s 1", None, None]

    run(scenario)


# Bodies of any size.


def test_large_bodies_pass_both_ways_unchanged(run) -> None:
    size, block = 20_000_000, bytes(range(256)) * 256

    async def handle(reader, writer) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        left = size
        while left:
            data = await reader.read(65536)
            left -= len(data)
            writer.write(data)
            await writer.drain()
        await reader.read()

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        reader, writer = await edge.connect()

        async def send() -> None:
            writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size)
            left = size
            while left:
                writer.write(block[:left])
                left -= len(block[:left])
                await writer.drain()

        sending = asyncio.ensure_future(send())
        await head_of(reader)
        got = 0
        while got < size:
            data = await reader.read(65536)
            assert data[:1] == block[got % 256 : got % 256 + 1]
            assert data[-1:] == block[(got + len(data) - 1) % 256 :][:1]
            got += len(data)
        await sending
        writer.close()

    run(scenario)


def test_a_client_that_does_not_read_stops_the_container_from_sending(run) -> None:
    sent = 0

    async def handle(reader, writer) -> None:
        nonlocal sent
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(bytes(100_000))
            await writer.drain()
            sent += 100_000

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        _, writer = await edge.connect(limit=1000)
        writer.write(GET)
        await until(lambda: sent > 0)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 60_000_000
        assert edge.pool.containers[0].in_flight == 1
        writer.transport.abort()
        await until(lambda: edge.pool.containers[0].in_flight == 0)

    run(scenario)


async def sent_until_stuck(writer: asyncio.StreamWriter) -> int:
    sent = 0
    while True:
        writer.write(bytes(100_000))
        sent += 100_000
        try:
            await asyncio.wait_for(writer.drain(), 0.3)
        except TimeoutError:
            return sent


def gone_after_a_sweep(edge: Edge) -> bool:
    edge.proxy.sweep(perf_counter())
    return edge.pool.containers[0].in_flight == 0


def test_a_container_that_does_not_read_stops_the_client_from_sending(run) -> None:
    done = asyncio.Event()

    async def handle(reader, writer) -> None:
        await head_of(reader)
        await done.wait()

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        _, writer = await edge.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n")
        assert await sent_until_stuck(writer) < 60_000_000
        # An orderly end would wait behind what the edge does not read.
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
        await until(lambda: gone_after_a_sweep(edge))
        done.set()

    run(scenario)


# What ends with what.


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
def test_a_response_that_breaks_off_resets_the_client(run, begun) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering_with(begun))
        reader, writer = await edge.connect()
        writer.write(GET)
        await head_of(reader)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert edge.codes == {200: 1}
        assert edge.pool.containers[0].in_flight == 0
        assert len(edge.pool.misdeeds) == 1

    run(scenario)


def test_a_response_that_turns_malformed_resets_the_client(run) -> None:
    begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"

    async def scenario(edge: Edge) -> None:
        await edge.start(answering_with(begun, b"4\r\nlonger\r\n", close=False))
        reader, writer = await edge.connect()
        writer.write(GET)
        await head_of(reader)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        ((_, what),) = edge.pool.misdeeds
        assert what == ("answered with what is no HTTP response: a chunk is longer than its size")

    run(scenario)


@pytest.mark.parametrize("abort", [True, False])
@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"])
def test_a_client_that_goes_ends_the_request_in_the_container(run, abort, begun) -> None:
    ended = []

    async def handle(reader, writer) -> None:
        await head_of(reader)
        writer.write(begun)
        try:
            ended.append(await reader.read())
        except ConnectionError:
            ended.append(b"reset")

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        reader, writer = await edge.connect()
        writer.write(GET)
        await until(lambda: edge.connections == 1)
        if begun:
            await head_of(reader)
        if abort:
            writer.transport.abort()
        else:
            writer.close()
        await until(lambda: bool(ended))
        assert edge.pool.containers[0].in_flight == 0
        assert edge.codes == {200 if begun else 499: 1}
        assert edge.pool.misdeeds == []

    run(scenario)


def dying_when_reused(requests: list[bytes]) -> Handler:
    """Answers one request of a connection, and ends the connection when the next comes."""

    async def handle(reader, writer) -> None:
        await head_of(reader)
        writer.write(OK)
        requests.append(await head_of(reader))

    return handle


def test_a_request_lost_on_a_reused_connection_is_sent_again_once(run) -> None:
    requests: list[bytes] = []

    async def scenario(edge: Edge) -> None:
        await edge.start(dying_when_reused(requests))
        reader, writer = await edge.connect()
        for _ in range(2):
            writer.write(GET)
            assert (await head_of(reader)).startswith(b"HTTP/1.1 200 ")
            await reader.readexactly(2)
        writer.close()
        assert len(requests) == 1
        assert edge.connections == 2
        assert edge.codes == {200: 2}
        assert edge.pool.misdeeds == []

    run(scenario)


@pytest.mark.parametrize(
    "request_", [POST, POST.replace(b"POST", b"PUT"), GET.replace(b"GET", b"POST")]
)
def test_a_request_that_may_have_had_an_effect_is_not_sent_again(run, request_) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(dying_when_reused([]))
        reader, writer = await edge.connect()
        writer.write(GET)
        await head_of(reader)
        await reader.readexactly(2)
        writer.write(request_)
        answer = await head_of(reader)
        assert answer == (
            b"HTTP/1.1 502 Bad Gateway\r\nx-edge-region: here\r\ncontent-length: 0\r\n\r\n"
        )
        writer.close()
        assert edge.connections == 1

    run(scenario)


def test_a_first_request_that_gets_no_answer_is_not_sent_again(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering_with())
        reader, writer = await edge.connect()
        writer.write(GET)
        assert (await head_of(reader)).startswith(b"HTTP/1.1 502 ")
        writer.close()
        assert edge.connections == 1

    run(scenario)


@pytest.mark.parametrize(
    "bad",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * 40_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nx\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 65 + OK,
        b"HTTP/1.1 100 C\r\n\r\n" * 10_000,
    ],
)
def test_what_is_no_answer_becomes_502(run, bad) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering_with(bad))
        reader, writer = await edge.connect()
        writer.write(GET)
        while (head := await head_of(reader)).startswith(b"HTTP/1.1 1"):
            pass
        assert head.startswith(b"HTTP/1.1 502 ")
        writer.close()
        assert edge.codes == {502: 1}
        ((container, what),) = edge.pool.misdeeds
        assert container is edge.pool.containers[0]
        assert what.startswith(("answered with what is no HTTP response: ", "closed without"))

    run(scenario)


def test_interim_answers_pass_up_to_a_number(run) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n"

    async def scenario(edge: Edge) -> None:
        await edge.start(answering_with(early * 64 + OK))
        reader, writer = await edge.connect()
        writer.write(GET)
        for _ in range(64):
            assert await head_of(reader) == early
        assert await head_of(reader) == PASSED + b"\r\n"
        writer.close()
        assert edge.pool.misdeeds == []

    run(scenario)


@pytest.mark.parametrize(
    ("error", "status", "blamed"),
    [
        (OSError(errno.EMFILE, "Too many open files"), 502, False),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), 502, False),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), 503, True),
    ],
)
def test_a_container_is_not_blamed_for_what_this_machine_lacks(
    run, monkeypatch, error, status, blamed
) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering)
        (container,) = edge.pool.containers
        reader, writer = await edge.connect()

        async def fails(*_args, **_options):
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(type(asyncio.get_running_loop()), "create_connection", fails)
            writer.write(GET)
            assert (await head_of(reader)).startswith(b"HTTP/1.1 %d " % status)
        assert edge.pool.shortages == ([] if blamed else [error])
        assert (container in edge.pool.containers) is not blamed
        assert container.in_flight == 0
        writer.close()

    run(scenario)


def test_one_connection_too_many_is_closed_and_the_others_go_on(run) -> None:
    turned_away = []

    async def scenario(edge: Edge) -> None:
        limit = ConnectionLimit(2, lambda: turned_away.append(1))
        await edge.start(answering, limit=limit)
        first, second = await edge.connect(), await edge.connect()
        await until(lambda: len(edge.proxy.connections) == 2)
        assert await edge.ask(b"") == b""
        assert turned_away == [1]
        for reader, writer in (first, second):
            writer.write(GET)
            assert await head_of(reader) == PASSED + b"\r\n"
        first[1].close()
        await until(lambda: len(edge.proxy.connections) == 1)
        reader, writer = await edge.connect()
        writer.write(GET)
        assert await head_of(reader) == PASSED + b"\r\n"
        assert turned_away == [1]

    run(scenario)


def test_bytes_beyond_a_response_reach_nobody(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering_with(OK + b"HTTP/1.1 200 OK\r\n", close=False))
        reader, writer = await edge.connect()
        for _ in range(2):
            writer.write(GET)
            assert await head_of(reader) == PASSED + b"\r\n"
            assert await reader.readexactly(2) == b"ok"
        writer.close()
        assert edge.connections == 2

    run(scenario)


def test_an_answer_before_the_whole_request_is_passed_on(run) -> None:
    answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig"

    async def scenario(edge: Edge) -> None:
        await edge.start(answering_with(answer))
        reader, writer = await edge.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9000000\r\n\r\n" + bytes(1000))
        head = await head_of(reader)
        assert head.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in head
        writer.write(bytes(1000))
        assert await reader.read() == b"big"
        writer.close()

    run(scenario)


def test_an_unreachable_container_loses_the_request_to_another(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering, answering)
        edge.pool.containers[0].port = unused = 1
        dead = edge.pool.containers[0]
        reader, writer = await edge.connect()
        writer.write(POST)
        assert b"x-edge-container: ta-1\r\n" in await head_of(reader)
        await reader.readexactly(2)
        assert dead.in_flight == 0
        edge.pool.containers[0].idle.clear()
        edge.pool.containers[0].port = unused
        writer.write(POST)
        assert (await head_of(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()
        assert edge.pool.refusals == 1

    run(scenario)


# Answers of the edge itself.


def test_with_no_container_it_is_503_at_once_on_a_connection_that_stays(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(rtt_s=10.0)
        reader, writer = await edge.connect()
        for request in (GET, POST, POST):
            writer.write(request)
            assert await head_of(reader) == (
                b"HTTP/1.1 503 Service Unavailable\r\nx-edge-region: here\r\n"
                b"content-length: 0\r\n\r\n"
            )
        writer.close()
        assert edge.pool.refusals == 3
        assert edge.codes == {503: 3}

    run(scenario)


def test_a_refused_body_passes_by_before_the_next_request(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start()
        reader, writer = await edge.connect()
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nGET \r\n"
        )
        assert (await head_of(reader)).startswith(b"HTTP/1.1 503 ")
        writer.write(b"0\r\n\r\n" + GET)
        assert (await head_of(reader)).startswith(b"HTTP/1.1 503 ")
        writer.close()

    run(scenario)


@pytest.mark.parametrize(
    "request_",
    [
        POST[:-4].replace(b"Content-Length: 4", b"Content-Length: 99999999"),
        POST[:-6] + b"Expect: 100-continue\r\n\r\n",
        GET[:-2] + b"Connection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
    ],
)
def test_a_refusal_closes_where_nothing_else_can_follow(run, request_) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start()
        answer = await edge.ask(request_)
        assert answer.endswith(b"content-length: 0\r\nconnection: close\r\n\r\n")

    run(scenario)


def test_above_the_hard_limit_it_is_429(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering)
        edge.pool.limit = 0
        assert (await edge.ask(GET[:-2] + b"Connection: close\r\n\r\n")).startswith(
            b"HTTP/1.1 429 Too Many Requests\r\n"
        )
        assert edge.connections == 0

    run(scenario)


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"", 401),
        (b"Modal-Key: wk-a\r\n", 401),
        (b"Modal-Key: wk-a\r\nModal-Secret: ws-x\r\n", 401),
        (b"Modal-Key: wk-a\r\nModal-Secret: ws-a\r\n", 200),
        (b"Authorization: Bearer wk-a.ws-a\r\n", 200),
        (b"authorization: bearer  wk-a.ws-a\r\n", 200),
        (b"Authorization: Basic wk-a.ws-a\r\n", 401),
        (b"Modal-Key: wk-b\r\nModal-Secret: ws-b\r\n", 403),
        (b"Modal-Key: wk-a\r\nModal-Key: wk-a\r\nModal-Secret: ws-a\r\n", 401),
    ],
)
def test_tokens_are_asked_for_where_they_are_set(run, lines, status) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering, tokens=(("wk-a", "ws-a"),), foreign_tokens=(("wk-b", "ws-b"),))
        answer = await edge.ask(GET[:-2] + lines + b"Connection: close\r\n\r\n")
        assert answer.split(b" ")[1] == b"%d" % status
        assert edge.pool.sessions == ([None] if status == 200 else [])

    run(scenario)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: h\n\n", 400),
        (b"\x16\x03\x01\x00\xa5\x01", 400),
        (POST.replace(b"4", b"4\r\nTransfer-Encoding: chunked"), 400),
        (GET[:-2] + b"A: " + b"b" * 40_000, 431),
        (GET[:-2] + b"A: " + b"b" * 40_000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_and_closed(run, request_, status) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering)
        answer = await edge.ask(request_ + GET)
        assert answer.count(b"HTTP/1.1") == 1
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close\r\n" in answer
        assert edge.codes == {status: 1}
        assert edge.pool.containers[0].in_flight == 0

    run(scenario)


def test_a_head_that_does_not_come_to_its_end_is_408(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(answering)
        reader, writer = await edge.connect()
        writer.write(GET)
        await head_of(reader)
        await reader.readexactly(2)
        writer.write(GET[:-3])
        await until(lambda: len(edge.proxy.reading_heads) == 1)
        edge.proxy.sweep(perf_counter() + 9)
        edge.proxy.sweep(perf_counter() + 11)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        writer.close()
        assert edge.codes == {200: 1, 408: 1}

    run(scenario)


# The way to the containers and back, and faults.


def test_a_round_trip_is_emulated_half_each_way(run) -> None:
    came = []

    async def handle(reader, writer) -> None:
        await head_of(reader)
        came.append(perf_counter())
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nab")
        await asyncio.sleep(0.05)
        writer.write(b"cd")
        await reader.read()

    async def scenario(edge: Edge) -> None:
        await edge.start(handle, rtt_s=0.2)
        reader, writer = await edge.connect()
        began = perf_counter()
        writer.write(GET)
        await head_of(reader)
        first = perf_counter()
        assert await reader.readexactly(4) == b"abcd"
        last = perf_counter()
        writer.close()
        assert came[0] - began >= 0.0995
        assert first - came[0] >= 0.0995
        assert first - began < 0.35
        assert last - first >= 0.04
        (overhead,) = [n for n, count in enumerate(edge.proxy.counters.overhead.counts) if count]
        assert edge.proxy.counters.overhead.sum < 0.1, overhead

    run(scenario)


def test_a_response_that_breaks_off_does_so_after_its_way_back(run) -> None:
    async def scenario(edge: Edge) -> None:
        await edge.start(
            answering_with(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), rtt_s=0.1
        )
        reader, writer = await edge.connect()
        writer.write(GET)
        await head_of(reader)
        assert await reader.readexactly(4) == b"half"
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()

    run(scenario)


def test_faults_refuse_reset_and_slow_down(run) -> None:
    async def handle(reader, writer) -> None:
        while True:
            await head_of(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n" + bytes(200))

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        edge.proxy.faults = Faults(refuse_next=2)
        reader, writer = await edge.connect()
        for status in (503, 503, 200):
            writer.write(GET)
            assert (await head_of(reader)).startswith(b"HTTP/1.1 %d " % status)
        await reader.readexactly(200)
        assert edge.pool.refusals == 0
        edge.proxy.faults = Faults(body_bytes_per_s=2000)
        began = perf_counter()
        writer.write(GET)
        await head_of(reader)
        await reader.readexactly(200)
        assert perf_counter() - began > 0.1
        edge.proxy.faults = Faults(reset_share=1.0)
        writer.write(GET)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
        assert edge.codes == {503: 2, 200: 2, 0: 1}

    run(scenario)


def test_a_closing_edge_serves_what_is_in_progress_and_no_more(run) -> None:
    go_on = asyncio.Event()

    async def handle(reader, writer) -> None:
        await head_of(reader)
        await go_on.wait()
        writer.write(OK)

    async def scenario(edge: Edge) -> None:
        await edge.start(handle)
        idle_reader, idle_writer = await edge.connect()
        reader, writer = await edge.connect()
        writer.write(GET)
        await until(lambda: edge.connections == 1)
        await until(lambda: len(edge.proxy.connections) == 2)
        for connection in list(edge.proxy.connections):
            connection.close_when_idle()
        assert await idle_reader.read() == b""
        go_on.set()
        assert (await reader.read()) == PASSED + b"connection: close\r\n\r\nok"
        writer.close()
        idle_writer.close()

    run(scenario)
