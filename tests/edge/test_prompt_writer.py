import asyncio
import os
import random
import socket

import pytest
import uvloop

from flash.edge.prompt_writer import prompt_writer

LOOPS = [uvloop.new_event_loop, asyncio.new_event_loop]


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


async def connected() -> tuple[asyncio.Transport, Told, socket.socket]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    transport, told = await asyncio.get_running_loop().connect_accepted_socket(Told, near)
    return transport, told, far


def run(factory, work) -> None:
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work())


@pytest.mark.parametrize("factory", LOOPS)
def test_what_fits_is_there_before_the_loop_goes_on(factory) -> None:
    async def work() -> None:
        transport, _, far = await connected()
        write = prompt_writer(transport)
        write(b"one ")
        write(b"two")
        assert far.recv(100) == b"one two"
        transport.abort()
        far.close()

    run(factory, work)


@pytest.mark.parametrize("factory", LOOPS)
def test_everything_comes_once_and_in_order_whoever_writes_it(factory) -> None:
    async def work() -> None:
        transport, told, far = await connected()
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
            if len(came) > len(sent) // 2:
                await asyncio.sleep(0)
        assert came == sent
        assert not told.paused
        transport.abort()
        far.close()

    run(factory, work)


@pytest.mark.parametrize("factory", LOOPS)
def test_of_an_end_the_transport_tells(factory) -> None:
    async def work() -> None:
        transport, told, far = await connected()
        write = prompt_writer(transport)
        far.close()
        write(b"nobody reads this")
        await asyncio.wait_for(told.lost, 10)

    run(factory, work)


@pytest.mark.parametrize("factory", LOOPS)
def test_a_descriptor_that_is_another_s_by_now_gets_nothing(factory) -> None:
    async def work() -> None:
        transport, told, far = await connected()
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
        for one in (mine, other, far):
            one.close()

    run(factory, work)
