"""Which sessions' prefixes a container still holds, as an LLM server's KV cache does."""

from collections import OrderedDict

__all__ = ["PrefixCache"]


class PrefixCache:
    """The longest prefix, in tokens, computed per session; the least recently used goes first."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a cache holds at least one session, got {capacity}")
        self._capacity = capacity
        self._lengths: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lengths)

    def __repr__(self) -> str:
        return f"PrefixCache({len(self)} of {self._capacity} sessions)"

    def cached_tokens(self, session: str) -> int | None:
        """How many tokens of the session's prefix are here; ``None`` if nothing of it is.

        This is a use of the session: it becomes the last to go.
        """
        if session not in self._lengths:
            return None
        self._lengths.move_to_end(session)
        return self._lengths[session]

    def keep(self, session: str, tokens: int) -> None:
        """Remember a prefix once it has been computed; a longer one that is here stays."""
        self._lengths[session] = max(self._lengths.get(session, 0), tokens)
        self._lengths.move_to_end(session)
        if len(self._lengths) > self._capacity:
            self._lengths.popitem(last=False)
