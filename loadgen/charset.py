"""Text out of a body's bytes by the charset that its server names, whatever it names. Pure."""

import codecs
from typing import Final

__all__ = ["TextDecoder", "decode_text", "known_charset"]

_OF_HOST_NAMES: Final = frozenset({"idna", "punycode"})


def known_charset(name: str) -> str:
    """``name`` if it is one that any bytes decode by, else UTF-8.

    Python knows codecs that are no charsets (``hex``, ``zlib``), and some for the names of hosts
    alone, which may refuse what they cannot decode whatever one says.
    """
    try:
        b"\xff".decode(name, "replace")
        is_charset = codecs.lookup(name).name not in _OF_HOST_NAMES
    except (LookupError, ValueError):
        is_charset = False
    return name if is_charset else "utf-8"


def decode_text(data: bytes, charset: str) -> str:
    """``data`` as text; what does not decode becomes U+FFFD."""
    return data.decode(known_charset(charset), "replace")


class TextDecoder:
    """As ``decode_text``, piece by piece."""

    def __init__(self, charset: str) -> None:
        self._charset = codecs.lookup(known_charset(charset)).name
        self._decoder = codecs.getincrementaldecoder(self._charset)("replace")

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """What ``data`` completes; ``final`` tells that nothing follows it."""
        waiting, _ = self._decoder.getstate()
        try:
            return self._decoder.decode(data, final)
        except UnicodeError:
            # UTF-16 or UTF-32 without the mark that tells the order of its bytes.
            self._decoder = codecs.getincrementaldecoder(self._charset + "-le")("replace")
            return self._decoder.decode(waiting + data, final)
