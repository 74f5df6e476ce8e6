"""gzip and deflate, whole and in pieces, good and broken."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.content_coding import ContentDecoder, decode_content
from loadgen.errors import ContentDecodingError


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
    pieces = [decoder.feed(encoded[at : at + size]) for at in range(0, len(encoded), size)]
    decoder.finish()
    assert b"".join(pieces) == data


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
