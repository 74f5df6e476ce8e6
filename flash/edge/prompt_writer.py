"""Writing to a connection without waiting for the event loop's turn."""

import asyncio
import os
from collections.abc import Callable

__all__ = ["prompt_writer"]


def prompt_writer(transport: asyncio.Transport) -> Callable[[bytes], None]:
    """A ``write`` for a plain TCP transport: what its socket takes goes at once, the rest after it.

    uvloop keeps whatever is written until it has handed out everybody's input. For a proxy with
    many connections that is a delay, and the keeping costs as much as a tenth of its time.
    """
    descriptor: int = transport.get_extra_info("socket").fileno()

    def write(data: bytes) -> None:
        # The descriptor of one that is closing may be another connection's by now.
        if not transport.is_closing() and not transport.get_write_buffer_size():
            try:
                sent = os.write(descriptor, data)
            except OSError:
                sent = 0  # the transport meets the same, and knows what to do then
            if sent == len(data):
                return
            data = data[sent:]
        transport.write(data)

    return write
