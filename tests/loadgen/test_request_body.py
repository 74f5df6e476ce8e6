"""Every kind of request body, and what is none."""

import io

import pytest

from loadgen.errors import UsageError
from loadgen.request_body import NO_BODY, Body, chunk_frames, encode_body

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("data", "content", "content_type"),
    [
        (b"\x00", b"\x00", None),
        (bytearray(b"ab"), b"ab", None),
        (memoryview(b"ab"), b"ab", None),
        ("é", b"\xc3\xa9", None),
        ({"a": "1 2", "b": ["x", "y"]}, b"a=1+2&b=x&b=y", FORM),
        ([("a", "1"), ("a", "2")], b"a=1&a=2", FORM),
        ({}, b"", FORM),
    ],
)
def test_bodies_of_known_length(data, content, content_type):
    body = encode_body(data)
    assert (body.content, body.pieces, body.content_type) == (content, None, content_type)


@pytest.mark.parametrize(
    "data",
    [
        [b"ab", "é"],
        (piece for piece in (b"ab", "é")),
        io.BytesIO("abé".encode()),
        io.StringIO("abé"),
        (bytearray(b"ab"), "é"),
    ],
)
def test_bodies_in_pieces(data):
    body = encode_body(data)
    assert body.content is None
    assert b"".join(body.pieces) == "abé".encode()


def test_a_body_is_one_already():
    body = Body(b"ab", content_type="text/x")
    assert encode_body(body) is body


def test_json_is_compact_utf_8():
    body = encode_body(None, {"a": [1, "é"], "b": None})
    assert body.content == '{"a":[1,"é"],"b":null}'.encode()
    assert body.content_type == "application/json"
    assert encode_body(None, 0).content == b"0"


@pytest.mark.parametrize("json", [float("nan"), {1, 2}, object()])
def test_what_json_cannot_say_is_refused(json):
    with pytest.raises(UsageError, match="cannot be encoded"):
        encode_body(None, json)


def test_nothing_is_no_body():
    assert encode_body(None) is NO_BODY


def test_pieces_that_are_no_bytes_are_refused_when_they_come():
    body = encode_body(iter([b"a", 1]))
    assert next(body.pieces) == b"a"
    with pytest.raises(UsageError, match="not int"):
        next(body.pieces)


def test_chunks_are_framed_and_empty_ones_left_out():
    frames = list(chunk_frames(iter([b"abc", b"", b"x" * 16])))
    assert frames == [b"3\r\nabc\r\n", b"10\r\n" + b"x" * 16 + b"\r\n", b"0\r\n\r\n"]
