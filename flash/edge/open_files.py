"""How many files, that is above all connections, this process may have open."""

import errno
from collections.abc import Callable
from typing import Final

__all__ = ["OWN_SHORTAGES", "ConnectionLimit", "most_connections"]

OWN_SHORTAGES: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
)
"""Errors of connecting that are this machine's fault, not that of whom it connects to."""

# Listeners, pipes of containers, port checks, the admin interface, and connections turned away.
_RESERVED: Final = 128


def most_connections(files: int) -> int:
    """How many clients' connections so many files are enough for.

    Each needs a container's as well while it has a request, which few have at the same time.
    """
    return max(1, (files - _RESERVED) * 3 // 4)


class ConnectionLimit:
    """Counts the clients' connections of all regions; ``turned_away`` is told of one too many."""

    __slots__ = ("_most", "_open", "_turned_away")

    def __init__(self, most: float, turned_away: Callable[[], object]) -> None:
        self._most = most
        self._open = 0
        self._turned_away = turned_away

    def __repr__(self) -> str:
        return f"ConnectionLimit({self._open} of {self._most})"

    def enter(self) -> bool:
        """Whether one more may stay."""
        if self._open >= self._most:
            self._turned_away()
            return False
        self._open += 1
        return True

    def leave(self) -> None:
        """One that stayed is gone."""
        self._open -= 1
