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

    def missing_tokens(self, session: str | None, prompt_tokens: int) -> int:
        """How many of a prompt's tokens are yet to be computed; remembers them as computed.

        A request without a session (``None``) has nothing cached and leaves nothing behind.
        """
        if session is None:
            return prompt_tokens
        cached = self._lengths.get(session, 0)
        self._lengths[session] = max(cached, prompt_tokens)
        self._lengths.move_to_end(session)
        if len(self._lengths) > self._capacity:
            self._lengths.popitem(last=False)
        return max(0, prompt_tokens - cached)

    def holds(self, session: str | None) -> bool:
        """Whether something of the session is cached."""
        return session is not None and session in self._lengths
