"""Ends what an edge leaves behind when it is killed: a process of its own, listening to a pipe.

The edge writes ``+GROUP`` when it starts a process group and ``-GROUP`` when that is gone. The end
of the pipe is the end of the edge, however it came; what is left is then terminated, and killed.
Run as a file by the interpreter, with nothing imported beyond the standard library.
"""

import os
import signal
import sys
import time

PATIENCE_S = 3.0


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line.startswith("+"):
            groups.add(group)
        else:
            groups.discard(group)
    remaining = [group for group in groups if told(group, signal.SIGTERM)]
    give_up = time.monotonic() + PATIENCE_S
    while remaining and time.monotonic() < give_up:
        time.sleep(0.05)
        remaining = [group for group in remaining if told(group, 0)]
    for group in remaining:
        told(group, signal.SIGKILL)


def told(group: int, number: int) -> bool:
    """Send a signal to a group; whether there was anybody."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    main()
