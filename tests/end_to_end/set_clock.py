"""Runs a Python module while its wall clock is set: ``python set_clock.py FILE MODULE ARGUMENTS``.

``time.time()`` is ahead by as many seconds as FILE holds at the time, a double of the machine's
byte order. The machine's own clock is everybody's; it is left alone.
"""

import mmap
import runpy
import sys
import time
from pathlib import Path
from struct import unpack_from

_machine_s = time.time


def main(file: str, module: str) -> None:
    with Path(file).open("rb") as opened:
        ahead = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    time.time = lambda: _machine_s() + unpack_from("d", ahead)[0]
    time.time_ns = lambda: int(time.time() * 1e9)
    del sys.argv[:2]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
