import asyncio
import os
import random
import socket

import pytest

from flash.edge.prompt_writer import prompt_writer


class Told(asyncio.Protocol):
    """What the loop tells of the near end."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()
        self.paused = False

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.fixture
def run(loop_factory):
    """Run a scenario with a connection's near end, what is told of it, and its far end."""

    async def whole(scenario) -> None:
        near, far = socket.socketpair()
        with far:
            near.setblocking(False)
            far.setblocking(False)
            loop = asyncio.get_running_loop()
            transport, told = await loop.connect_accepted_socket(Told, near)
            await scenario(transport, told, far)
            transport.abort()

    def go(scenario) -> None:
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(whole(scenario))

    return go


def test_what_fits_is_there_before_the_loop_goes_on(run) -> None:
    async def scenario(transport, told, far) -> None:
        write = prompt_writer(transport)
        write(b"one ")
        write(b"two")
        assert far.recv(100) == b"one two"

    run(scenario)


def test_everything_comes_once_and_in_order_whoever_writes_it(run) -> None:
    async def scenario(transport, told, far) -> None:
        write = prompt_writer(transport)
        rng = random.Random(1)
        sent = b""
        for turn in range(200):
            data = rng.randbytes(rng.choice([1, 100, 30_000]))
            (transport.write if turn % 7 == 6 else write)(data)
            sent += data
        assert told.paused  # far more than a socket takes
        transport.write_eof()
        came = b""
        while part := await asyncio.get_running_loop().sock_recv(far, 1 << 20):
            came += part
        assert came == sent
        assert not told.paused

    run(scenario)


def test_of_an_end_the_transport_tells(run) -> None:
    async def scenario(transport, told, far) -> None:
        write = prompt_writer(transport)
        far.close()
        write(b"nobody reads this")
        await asyncio.wait_for(told.lost, 10)

    run(scenario)


def test_a_descriptor_that_is_another_s_by_now_gets_nothing(run) -> None:
    async def scenario(transport, told, far) -> None:
        write = prompt_writer(transport)
        number = transport.get_extra_info("socket").fileno()
        transport.abort()
        # Whoever closes it, and whenever: here the number is another connection's at once.
        mine, other = socket.socketpair()
        kept = os.dup(number)
        os.dup2(mine.fileno(), number)
        write(b"late")
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(100)
        await told.lost
        os.close(kept)
        for one in (mine, other):
            one.close()

    run(scenario)
