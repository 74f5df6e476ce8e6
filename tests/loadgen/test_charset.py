"""Text by the charset that a server names, which may be anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.charset import TextDecoder, decode_text, known_charset


@pytest.mark.parametrize("name", ["utf-8", "latin-1", "UTF-16", "utf-32-be", "shift_jis", "cp1252"])
def test_charsets_are_known(name):
    assert known_charset(name) == name


@pytest.mark.parametrize(
    "name", ["", "no-such", "hex", "zlib", "rot13", "idna", "punycode", "undefined", "a\0b", "../x"]
)
@given(data=st.binary(max_size=20))
def test_what_is_no_charset_is_utf_8(name, data):
    assert decode_text(data, name) == data.decode("utf-8", "replace")
    decoder = TextDecoder(name)
    assert decoder.feed(data) + decoder.feed(b"", final=True) == data.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "charset", ["utf-8", "latin-1", "utf-16", "utf-16-be", "utf-32", "gb18030"]
)
@given(text=st.text(st.characters(codec="latin-1"), max_size=20))
def test_text_comes_back_byte_by_byte(charset, text):
    decoder = TextDecoder(charset)
    pieces = [decoder.feed(bytes([byte])) for byte in text.encode(charset)]
    assert "".join(pieces) + decoder.feed(b"", final=True) == text


@pytest.mark.parametrize("charset", ["utf-16", "utf-32"])
@pytest.mark.parametrize("size", [1, 3, 100])
def test_without_a_byte_order_mark_the_little_end_comes_first(charset, size):
    data = "größer ☃".encode(charset + "-le")
    decoder = TextDecoder(charset)
    pieces = [decoder.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert "".join(pieces) + decoder.feed(b"", final=True) == "größer ☃"


def test_what_does_not_decode_is_replaced():
    assert decode_text(b"a\xffb", "utf-8") == "a\ufffdb"
    decoder = TextDecoder("utf-8")
    assert decoder.feed(b"a\xc3") == "a"
    assert decoder.feed(b"", final=True) == "\ufffd"
