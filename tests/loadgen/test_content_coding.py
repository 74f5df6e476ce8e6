"""gzip and deflate, whole and in pieces, good and broken."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.content_coding import ContentDecoder, decode_content, join_pieces
from loadgen.errors import BodyTooLarge, ContentDecodingError


def bare_deflate(data):
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZip": gzip.compress,
    "deflate": zlib.compress,
    " deflate": bare_deflate,
    "identity": bytes,
    "": bytes,
    "deflate, gzip": lambda data: gzip.compress(zlib.compress(data)),
}


@pytest.mark.parametrize("coding", ENCODERS)
@given(data=st.binary(max_size=500), size=st.integers(1, 50))
def test_what_was_encoded_comes_back(coding, data, size):
    encoded = ENCODERS[coding](data)
    assert decode_content(encoded, coding) == data
    decoder = ContentDecoder(coding)
    pieces = []
    for at in range(0, len(encoded), size):
        pieces += decoder.feed(encoded[at : at + size])
    decoder.finish()
    assert b"".join(pieces) == data
    assert all(pieces)


def test_a_gzip_body_may_have_several_members():
    assert decode_content(gzip.compress(b"one") + gzip.compress(b"two"), "gzip") == b"onetwo"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_cut_off_or_damaged_is_an_error(coding):
    encoded = ENCODERS[coding](b"some text" * 50)
    with pytest.raises(ContentDecodingError, match="too early"):
        decode_content(encoded[:-3], coding)
    with pytest.raises(ContentDecodingError):
        decode_content(encoded[:10] + b"\xff\xff\xff" + encoded[13:], coding)


def test_an_empty_body_decodes_to_nothing():
    assert [decode_content(b"", coding) for coding in ENCODERS] == [b""] * len(ENCODERS)


def test_a_coding_that_was_not_asked_for_is_an_error():
    with pytest.raises(ContentDecodingError, match="'br'"):
        decode_content(b"x", "gzip, br")


@pytest.mark.parametrize("coding", ["gzip", "deflate", " deflate", "deflate, gzip"])
@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (2 << 20) + 1])
def test_much_out_of_little_comes_in_pieces_of_a_mebibyte(coding, size):
    encoded = ENCODERS[coding](bytes(size))
    decoder = ContentDecoder(coding)
    pieces = list(decoder.feed(encoded))
    decoder.finish()
    assert max(map(len, pieces)) <= 1 << 20
    assert sum(map(len, pieces)) == size


def test_what_nobody_asks_for_is_not_decoded():
    bomb = gzip.compress(gzip.compress(bytes(200 << 20)))
    tracemalloc.start()
    try:
        pieces = ContentDecoder("gzip, gzip").feed(bomb)
        assert next(pieces) == bytes(1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_a_whole_body_is_not_decoded_beyond_the_memory():
    bomb = gzip.compress(gzip.compress(bytes(200 << 20)))
    decoder = ContentDecoder("gzip, gzip")
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge, match="longer than 8,000,000 bytes; read it piece"):
            join_pieces(decoder.feed(bomb), most_bytes=8_000_000)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_pieces_are_joined_up_to_a_size():
    assert join_pieces([b"ab", b"", b"c"], most_bytes=3) == b"abc"
    left = iter([b"ab", b"cd", b"never taken"])
    with pytest.raises(BodyTooLarge, match="longer than 3 bytes"):
        join_pieces(left, most_bytes=3)
    assert next(left) == b"never taken"


def test_a_body_has_a_few_codings_at_most():
    data = b"text"
    for _ in range(5):
        data = gzip.compress(data)
    assert decode_content(data, ", ".join(["gzip"] * 5)) == b"text"
    with pytest.raises(ContentDecodingError, match="6 content codings, at most 5"):
        decode_content(gzip.compress(data), ", ".join(["gzip"] * 6))
