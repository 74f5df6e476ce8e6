"""How long to wait before trying a refused request again.

The wait doubles with every attempt up to a cap, and the upper half of it is random ("equal
jitter"): refused clients spread out, and none of them comes back at once. Source: Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

import re
from calendar import timegm
from email.utils import parsedate_to_datetime
from typing import Final, Protocol

__all__ = ["BASE_S", "CAP_S", "Uniform", "delay_s", "parse_retry_after"]

BASE_S: Final = 0.1
"""Longest first wait in seconds."""

CAP_S: Final = 2.0
"""Longest wait in seconds: a container that has come up should not wait long for its clients."""

_LONGEST_NUMBER: Final = 10
_MOST_DOUBLINGS: Final = 60

# The three forms of an HTTP date, RFC 9110 section 5.6.7; only the first may still be sent.
_HTTP_DATE: Final = re.compile(
    r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT"
    r"|[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT"
    r"|[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}",
    re.ASCII,
)


class Uniform(Protocol):
    """The one method of ``random.Random`` that is needed."""

    def random(self) -> float: ...


def delay_s(attempt: int, *, rng: Uniform, base_s: float = BASE_S, cap_s: float = CAP_S) -> float:
    """Seconds to wait after refusal number ``attempt``, counted from 0.

    Between half of and the whole of ``min(cap_s, base_s * 2**attempt)``.

    Raises:
        ValueError: a negative attempt, or a base that is not above zero and at most the cap.
    """
    if attempt < 0:
        raise ValueError(f"attempts count from 0, got {attempt}")
    if not 0 < base_s <= cap_s:
        raise ValueError(f"expected 0 < base_s <= cap_s, got {base_s} and {cap_s}")
    longest = min(cap_s, base_s * 2.0 ** min(attempt, _MOST_DOUBLINGS))
    return longest / 2 + rng.random() * (longest / 2)


def parse_retry_after(value: str, *, now_unix: float) -> float | None:
    """Seconds that a ``Retry-After`` header asks to wait, never negative; ``None`` if malformed.

    Either a number of seconds or an HTTP date (RFC 9110 section 10.2.3), which is compared with
    ``now_unix``, the client's own clock.
    """
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:_LONGEST_NUMBER]) if len(text) <= _LONGEST_NUMBER else float("1e10")
    if not _HTTP_DATE.fullmatch(text):
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:  # a form without a meaning, such as the 99th of a month
        return None
    # Each of the forms is in GMT, also the last, which does not say so.
    return max(0.0, timegm(moment.utctimetuple()) - now_unix)
