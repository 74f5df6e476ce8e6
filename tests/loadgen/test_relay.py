"""Both ends of the relay on this machine, with a server behind it that sends back what it gets."""

import asyncio
import gc
import logging
import ssl

import pytest

from loadgen.relay import Connector, Listener

SECRET, WRONG = b"the secret of this run, 32 bytes", b"what somebody else may have heard"


class Echo:
    """Counts its connections; closes one when it is told "bye"."""

    def __init__(self) -> None:
        self.connections = self.open = 0

    async def __aenter__(self) -> "Echo":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader, writer) -> None:
        self.connections += 1
        self.open += 1
        try:
            while (data := await reader.read(65536)) and data != b"bye":
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()


async def connected(port: int):
    return await asyncio.open_connection("127.0.0.1", port)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 # what is waited for tells nobody
            await asyncio.sleep(0.005)


async def closed(reader) -> bytes:
    """What comes until the other side closes."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


def test_bytes_go_both_ways_whole():
    async def run():
        async with (
            Echo() as echo,
            Listener(SECRET, echo.address) as listener,
            Connector(SECRET, ("127.0.0.1", listener.port)) as connector,
        ):
            reader, writer = await connected(connector.port)
            sent = bytes(range(256)) * 16_384  # four megabytes
            writer.write(sent)
            async with asyncio.timeout(20):
                assert await reader.readexactly(len(sent)) == sent
            writer.close()
            await until(lambda: echo.open == 0)
            assert (listener.admitted, listener.refused) == (1, 0)

    asyncio.run(run())


def test_when_the_far_side_closes_so_does_the_near_one_and_may_come_again():
    async def run():
        async with (
            Echo() as echo,
            Listener(SECRET, echo.address) as listener,
            Connector(SECRET, ("127.0.0.1", listener.port)) as connector,
        ):
            for _ in range(2):
                reader, writer = await connected(connector.port)
                writer.write(b"bye")
                assert await closed(reader) == b""
                writer.close()
            assert echo.connections == listener.admitted == 2

    asyncio.run(run())


@pytest.mark.parametrize(("ours", "theirs"), [(WRONG, SECRET), (SECRET, WRONG)])
def test_who_does_not_know_the_secret_gets_nowhere(caplog, ours, theirs):
    async def run():
        async with (
            Echo() as echo,
            Listener(theirs, echo.address) as listener,
            Connector(ours, ("127.0.0.1", listener.port)) as connector,
        ):
            reader, writer = await connected(connector.port)
            writer.write(b"hello")
            assert await closed(reader) == b""
            writer.close()
            assert (echo.connections, listener.admitted, listener.refused) == (0, 0, 1)

    with caplog.at_level(logging.INFO, logger="loadgen"):
        asyncio.run(run())
    assert "does not know the secret" in caplog.text
    assert "does not accept the secret" in caplog.text
    assert SECRET.decode() not in caplog.text


def test_a_connector_sends_nothing_of_its_worker_to_who_is_no_listener():
    async def run():
        got = []

        async def stranger(reader, writer):
            writer.write(b"SSH-2.0-nobody in particular, and long enough to be a challenge....\r\n")
            got.append(await closed(reader))
            writer.close()

        server = await asyncio.start_server(stranger, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, Connector(SECRET, ("127.0.0.1", port)) as connector:
            reader, writer = await connected(connector.port)
            writer.write(b"hello")
            assert await closed(reader) == b""
            writer.close()
            await until(lambda: got)
            assert got == [b""]

    asyncio.run(run())


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\0",
        b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n" * 10,
        b"\xff\0\0\0\0\0\0\0\x01\x7f" + b"\0" * 200,  # what ZeroMQ itself would begin with
        bytes(range(256)) * 400,
    ],
    ids=["nothing", "one byte", "http", "zeromq", "a lot"],
)
def test_garbage_does_no_harm(garbage):
    async def run():
        async with (
            Echo() as echo,
            Listener(SECRET, echo.address) as listener,
            Connector(SECRET, ("127.0.0.1", listener.port)) as connector,
        ):
            for _ in range(5):
                reader, writer = await connected(listener.port)
                writer.write(garbage)
                writer.write_eof()
                await closed(reader)
                writer.close()
            await until(lambda: listener.refused == 5)
            assert echo.connections == 0
            reader, writer = await connected(connector.port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
            writer.close()

    asyncio.run(run())


def test_who_says_nothing_is_cut_off():
    async def run():
        async with (
            Echo() as echo,
            Listener(SECRET, echo.address, prove_within_s=0.05) as listener,
        ):
            reader, writer = await connected(listener.port)
            assert len(await closed(reader)) == 51  # the challenge, and no more
            writer.close()
            assert (echo.connections, listener.refused) == (0, 1)

    asyncio.run(run())


def test_many_who_say_nothing_are_few_at_a_time():
    async def run():
        async with Echo() as echo, Listener(SECRET, echo.address) as listener:
            waiting = [await connected(listener.port) for _ in range(32)]
            for reader, _ in waiting:
                await reader.readexactly(51)
            reader, writer = await connected(listener.port)
            assert await closed(reader) == b""
            assert listener.refused == 1
            # One goes, and there is room for another.
            waiting[0][1].close()
            await until(lambda: listener.refused == 2)
            again, other = await connected(listener.port)
            assert len(await again.readexactly(51)) == 51
            for one in (writer, other, *(writer for _, writer in waiting)):
                one.close()

    asyncio.run(run())


def test_a_master_that_is_not_there_yet_may_be_tried_again():
    async def run():
        async with Echo() as gone:
            pass
        async with (
            Listener(SECRET, gone.address) as listener,
            Connector(SECRET, ("127.0.0.1", listener.port)) as connector,
        ):
            reader, writer = await connected(connector.port)
            assert await closed(reader) == b""
            writer.close()
            assert listener.admitted == 1

    asyncio.run(run())


def test_the_end_of_a_relay_ends_its_connections():
    async def run():
        async with Echo() as echo:
            async with Listener(SECRET, echo.address) as listener:
                async with Connector(SECRET, ("127.0.0.1", listener.port)) as connector:
                    reader, writer = await connected(connector.port)
                    writer.write(b"hello")
                    await reader.readexactly(5)
                assert await closed(reader) == b""
                writer.close()
                await until(lambda: echo.open == 0)

    asyncio.run(run())


class Tls:
    """What Modal's tunnel does: speaks TLS, and passes on what is inside."""

    def __init__(self, authority, to) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(authority / "server.pem", authority / "server.key")
        self._to = to

    async def __aenter__(self) -> "Tls":
        self._server = await asyncio.start_server(self._serve, "localhost", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()

    async def _serve(self, reader, writer) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._to)

        async def copy(source, sink):
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))


def test_the_way_may_be_encrypted_by_somebody_between(authority):
    async def run():
        trusting = ssl.create_default_context(cafile=authority / "ca.pem")
        async with (
            Echo() as echo,
            Listener(SECRET, echo.address) as listener,
            Tls(authority, ("127.0.0.1", listener.port)) as tls,
            Connector(SECRET, ("localhost", tls.port), tls=trusting) as connector,
        ):
            reader, writer = await connected(connector.port)
            writer.write(b"hello")
            async with asyncio.timeout(10):
                assert await reader.readexactly(5) == b"hello"
            writer.close()
            await until(lambda: echo.open == 0)
            await asyncio.sleep(0)

    asyncio.run(run())


def test_whose_certificate_is_not_trusted_is_sent_no_proof(authority, caplog):
    async def run():
        async with (
            Echo() as echo,
            Listener(SECRET, echo.address) as listener,
            Tls(authority, ("127.0.0.1", listener.port)) as tls,
            Connector(
                SECRET, ("localhost", tls.port), tls=ssl.create_default_context()
            ) as connector,
        ):
            reader, writer = await connected(connector.port)
            assert await closed(reader) == b""
            writer.close()
            assert listener.admitted == 0

    with caplog.at_level(logging.INFO, logger="loadgen"):
        asyncio.run(run())
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


@pytest.mark.parametrize("steps", range(8))
def test_a_relay_that_ends_just_when_a_connection_does_closes_both_sides(steps):
    """Whichever of its steps it has come to: one that is unclosed is a warning, and so an error."""

    async def run():
        async with Echo() as echo:
            async with (
                Listener(SECRET, echo.address) as listener,
                Connector(SECRET, ("127.0.0.1", listener.port)) as connector,
            ):
                reader, writer = await connected(connector.port)
                writer.write(b"hello")
                await reader.readexactly(5)
                writer.close()
                for _ in range(steps):
                    await asyncio.sleep(0)
            await until(lambda: echo.open == 0)

    asyncio.run(run())
    gc.collect()
