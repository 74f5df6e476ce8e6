"""Takes Ctrl-C between two pieces of work, never in the midst of one."""

import signal
from types import FrameType
from typing import Any

import gevent

__all__ = ["take_between_turns"]


def take_between_turns() -> None:
    """Have SIGINT raise ``KeyboardInterrupt`` in the main greenlet, once the running one gives way.

    Python raises it wherever it is at that moment: half of a request is recorded then, and the
    greenlet that it hits is gone, with whatever it still had to do. One that comes before the last
    was taken is raised there after all, so that what never gives way can be stopped. Another
    handler of SIGINT than Python's is left alone.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    hub = gevent.get_hub()
    pending: list[Any] = []

    def take() -> None:
        pending.clear()
        hub.handle_system_error(KeyboardInterrupt, KeyboardInterrupt())

    def interrupted(number: int, frame: FrameType | None) -> None:
        if pending:
            pending.pop().stop()
            signal.default_int_handler(number, frame)
        pending.append(hub.loop.run_callback_threadsafe(take))

    signal.signal(signal.SIGINT, interrupted)
