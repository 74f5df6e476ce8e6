"""How many files and connections a server may have open at once."""

import contextlib
import sys
from typing import Final

__all__ = ["raise_file_limit"]

# What a process gets that asks for more than Linux' usual hard limit, and than macOS may give.
_WANTED: Final = (65536, 10240)


def raise_file_limit() -> int:
    """As many open files as the system lets an ordinary process have; how many these are."""
    if sys.platform == "win32":
        return _WANTED[0]
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in _WANTED:
        most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        if soft == resource.RLIM_INFINITY or soft >= most:
            return wanted if soft == resource.RLIM_INFINITY else soft
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
    return soft
