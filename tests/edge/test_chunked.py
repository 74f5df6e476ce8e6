"""The chunked coding: whole, byte by byte, and broken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.edge.chunked import ChunkedBody, ChunkedError

GOOD = [
    (b"0\r\n\r\n", b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"5;a=b;c\r\nhello\r\n0\r\n\r\n", b"hello"),
    (b"00005\r\nhello\r\n000\r\n\r\n", b"hello"),
    (b"A\r\n0123456789\r\n1\r\n\n\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", b"0123456789\n"),
]
BAD = [
    b"\r\n",
    b"x\r\n",
    b"-1\r\n",
    b"0x5\r\nhello",
    b"5\nhello\r\n",
    b" 5\r\nhello",
    b"5 \r\nhello",
    b"5\t;a\r\nhello",
    b"5\r\nhelloX",
    b"5\r\nhello\n0\r\n",
    b"5\r\nhello\r0",
    b"5;\x01\r\n",
    b"1234567890abcdef0\r\n",
    b"0\r\nno colon\r\n",
    b"0\r\n folded: x\r\n",
    b"0\r\nX: y\n\r\n",
    b"0\r\nContent-Length: 5\r\n\r\n",
    b"0\r\ntransfer-encoding: chunked\r\n\r\n",
    b"0\r\nX: y\r\nHOST: h\r\n\r\n",
    b"0\r\nModal-Session-ID: s\r\n\r\n",
    b"0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    b"0\r\nX-Edge-Container: ta-1\r\n\r\n",
    b"5" * 5000,
    b"0\r\n" + b"X: " + b"y" * 4000 + b"\r\n" + (b"X: " + b"y" * 4000 + b"\r\n") * 5,
]


@pytest.mark.parametrize(("coded", "content"), GOOD)
@pytest.mark.parametrize("step", [1, 2, 3, 1000])
def test_a_body_is_followed_to_its_end_however_it_is_cut(coded, content, step) -> None:
    body, payload, taken = ChunkedBody(), [], 0
    data = coded + b"GET /next"
    for at in range(0, len(data), step):
        taken += body.feed(data[at : at + step], payload)
        if body.done:
            break
    assert body.done
    assert taken == len(coded)
    assert b"".join(payload) == content


def feed_all(data: bytes, step: int) -> None:
    body = ChunkedBody()
    for at in range(0, len(data), step):
        body.feed(data[at : at + step])


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("step", [1, 10_000_000])
def test_a_broken_body_is_refused_however_it_is_cut(bad, step) -> None:
    with pytest.raises(ChunkedError):
        feed_all(bad, step)


def test_nothing_is_done_before_the_last_line() -> None:
    body = ChunkedBody()
    assert body.feed(b"1\r\nx\r\n0\r\n\r") == 10
    assert not body.done
    assert body.feed(b"\n") == 1
    assert body.done
    assert body.feed(b"more") == 0


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(1, 40))
def test_what_was_coded_is_read_back(chunks, step) -> None:
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    body, payload = ChunkedBody(), []
    for at in range(0, len(coded), step):
        body.feed(coded[at : at + step], payload)
    assert body.done
    assert b"".join(payload) == b"".join(chunks)
