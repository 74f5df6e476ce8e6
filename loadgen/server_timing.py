"""How long a server says that it took: the ``Server-Timing`` header's ``app`` metric."""

import re
from functools import lru_cache
from typing import Final

__all__ = ["server_s"]

_APP: Final = re.compile(
    r'(?:^|,)\s*app\s*;(?:[^,]*;)?\s*dur\s*=\s*"?(\d{1,9}(?:\.\d{1,9})?)"?\s*(?:[;,]|$)'
)


@lru_cache(maxsize=4096)
def server_s(header: str) -> float | None:
    """Seconds of the metric ``app`` of a ``Server-Timing`` value, ``None`` where it has none."""
    match = _APP.search(header)
    return None if match is None else float(match[1]) / 1e3
