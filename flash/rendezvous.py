"""Rendezvous (highest random weight) hashing: which container serves a session.

Every container gets a weight for the session, a hash of both names; the largest wins. When a
container goes, only its own sessions move; when one comes, it takes an equal share from all others.

Source: Thaler and Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM
Transactions on Networking 6(1), 1998.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from hashlib import blake2b

__all__ = ["moving_share", "weight", "winner"]


def weight(session: str, container: str) -> int:
    """The 64-bit weight of ``container`` for ``session``; the same in every process."""
    # The length keeps ("ab", "c") and ("a", "bc") apart without reserving a separator.
    key = session.encode("utf-8", "surrogateescape")
    message = len(key).to_bytes(4, "big") + key + container.encode("utf-8", "surrogateescape")
    return int.from_bytes(blake2b(message, digest_size=8).digest(), "big")


def winner(session: str, containers: Iterable[str]) -> str | None:
    """The container that serves ``session``, or ``None`` when there is no container.

    The order of ``containers`` does not matter; of equal weights the greater name wins.
    """
    return max(containers, key=lambda name: (weight(session, name), name), default=None)


def moving_share(before: AbstractSet[str], after: AbstractSet[str]) -> float:
    """The share of all sessions (0 to 1) that have another container ``after`` than ``before``.

    A session stays where the largest weight among all containers of both sets belongs to one that
    is in both, and each of them has it equally often. Neither set may be empty.
    """
    return 1.0 - len(before & after) / len(before | after)
