"""The reader and the quick parser: whatever the splits, the same response; never a crash."""

import contextlib
import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import ClientError, HeadTooLarge, MalformedResponse
from loadgen.response_head import parse_head
from loadgen.response_reader import ResponseReader
from loadgen.whole_response import WholeResponseParser

names = st.text("abcXYZ-", min_size=1, max_size=8).map(lambda name: "x" + name)
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"))
headers = st.lists(st.tuples(names, values.filter(lambda v: not 0x80 <= min(map(ord, v + "~")))))


@dataclass
class Made:
    """A response as made: what is sent, and what should be read."""

    wire: bytes
    status: int
    body: bytes
    trailers: list[tuple[str, str]]
    interim: int


@st.composite
def responses(draw) -> Made:
    status = draw(st.sampled_from([200, 201, 204, 304, 404, 503]))
    lines = [f"{name}: {value.strip(' ')}" for name, value in draw(headers)]
    body = b"" if status in (204, 304) else draw(st.binary(max_size=300))
    trailers: list[tuple[str, str]] = []
    interim = draw(st.integers(0, 2))
    if draw(st.booleans()) and status not in (204, 304):
        lines.insert(draw(st.integers(0, len(lines))), "Transfer-Encoding: chunked")
        cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=5))})
        pieces = [body[a:b] for a, b in itertools.pairwise(cuts)]
        framed = b"".join(b"%X\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        trailers = draw(st.lists(st.tuples(names, st.just("v")), max_size=2))
        after = "".join(f"{name}: {value}\r\n" for name, value in trailers)
        framed += b"0\r\n" + after.encode() + b"\r\n"
    else:
        lines.insert(draw(st.integers(0, len(lines))), f"content-LENGTH:  {len(body)} ")
        framed = body
    head = "\r\n".join([f"HTTP/1.1 {status} Reason", *lines]) + "\r\n\r\n"
    before = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * interim
    wire = before + head.encode("latin-1") + framed
    return Made(wire, status, body, trailers, interim)


def read(pieces, *, is_head=False):
    reader = ResponseReader(1 << 16)
    reader.start(is_head=is_head)
    for piece in pieces:
        reader.feed(piece)
    return reader


def split(wire, cuts):
    cuts = sorted({0, len(wire), *(cut % len(wire) for cut in cuts)})
    return [wire[a:b] for a, b in itertools.pairwise(cuts)]


@given(responses(), st.lists(st.integers(0, 10_000), max_size=20))
def test_a_response_reads_the_same_however_it_is_split(made, cuts):
    for pieces in (split(made.wire, cuts), [bytes([byte]) for byte in made.wire]):
        reader = read(pieces)
        assert reader.complete
        assert not reader.excess
        assert reader.reusable
        assert reader.head.status == made.status
        assert b"".join(reader.take()) == made.body
        assert reader.trailers.raw_items() == made.trailers
        assert reader.interim == made.interim


@given(responses(), st.data())
def test_a_part_of_a_response_is_not_complete(made, data):
    end = data.draw(st.integers(0, len(made.wire) - 1))
    reader = read([made.wire[:end]] if end else [])
    assert not reader.complete
    with pytest.raises(ClientError):
        reader.feed_eof()


@given(responses(), st.binary(min_size=1, max_size=50))
def test_bytes_after_a_response_are_noticed(made, more):
    for pieces in ([made.wire + more], [made.wire, more]):
        reader = read(pieces)
        assert reader.complete
        assert reader.excess
        assert not reader.reusable
        assert b"".join(reader.take()) == made.body


@pytest.mark.parametrize("more", [b"\n", b"\r", b"\r\n", b"\r\n\r\n", b"\n\r\n", b"0\r\n\r\n"])
@pytest.mark.parametrize("trailer", [b"", b"a: b\r\n"])
def test_line_ends_after_the_last_chunk_are_noticed_too(more, trailer):
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    end = b"0;ext\r\n" + trailer + b"\r\n"
    assert read([head + end]).reusable
    assert read([head, *(bytes([byte]) for byte in end)]).reusable
    for pieces in ([head + end + more], [head, end[:-1], end[-1:] + more], [head + end, more]):
        reader = read(pieces)
        assert reader.complete
        assert reader.excess


@given(responses())
def test_the_quick_parser_agrees_with_the_reader(made):
    reader = read([made.wire])
    parser = WholeResponseParser()
    for _ in range(2):  # it is still good after what it does not take, and remembers what it did
        head = parser.parse(made.wire)
        simple = reader.head.length is not None and not made.interim
        if made.status in (204, 304):
            assert head is None
        else:
            assert (head is not None) == simple
        if head is not None:
            assert (head.raw, head.status) == (reader.head.raw, reader.head.status)
            assert (head.length, head.chunked, head.keep_alive) == (len(made.body), False, True)
            assert made.wire[len(head.raw) :] == made.body


@given(responses(), st.data())
def test_the_quick_parser_takes_nothing_that_the_reader_refuses(made, data):
    wire = bytearray(made.wire)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(wire)))
        match data.draw(st.sampled_from(["replace", "insert", "delete"])):
            case "replace":
                wire[at : at + 1] = data.draw(st.binary(min_size=1, max_size=1))
            case "insert":
                wire[at:at] = data.draw(
                    st.sampled_from(
                        [b" ", b"\r", b"\n", b"\r\n", b"\0", b":", b"\t", b"1", b"\x80"]
                    )
                )
            case _:
                del wire[at : at + 1]
    parser = WholeResponseParser()
    head = parser.parse(bytes(wire)) if wire else None
    if head is not None:
        strict = parse_head(head.raw)
        assert (strict.status, strict.length) == (head.status, len(wire) - len(head.raw))
        assert strict.keep_alive
        assert not strict.chunked
    # And whatever happened, the next response is read.
    assert parser.parse(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").status == 200


ODD_LINES = [
    *(
        b"content-length:" + value
        for value in (b" 2", b"2 ", b" +2", b" 2, 2", b" 02", b" 0x2", b"")
    ),
    *(b"content-length : 2", b" content-length: 2", b"content-length: 2\x0b", b"content-length: 0"),
    *(b"transfer-encoding:" + value for value in (b" chunked", b" identity", b" x, chunked", b"")),
    *(b"transfer-encoding : chunked", b"transfer_encoding: chunked", b"upgrade: h2c"),
    *(b"connection:" + value for value in (b" close", b"close\t", b" keep-alive", b" upgrade")),
    *(b"connection: keep-alive, close", b"Connection: CLOSE", b'connection: "close"'),
    *(
        b"a: b",
        b"a: b\r\n c",
        b": x",
        b"a",
        b"a b: c",
        b"a: \0",
        b"a: b\rc",
        b"\xff: a",
        b"a: \xff",
    ),
]
ODD_STARTS = [
    *(
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 204 No",
        b"HTTP/1.1 101 S",
    ),
    *(
        b"HTTP/1.1 100 C",
        b"HTTP/1.1 304 N",
        b"HTTP/1.1 999 X",
        b"HTTP/1.1 0200 O",
        b"http/1.1 200 O",
    ),
    *(b"HTTP/1.1 200\tOK", b"HTTP/1.1 200 O\xffK", b"HTTP/1.1 200 O\x01K", b"HTTP/1.10 200 OK"),
]
ODD_BODIES = [
    b"ok",
    b"ok",
    b"ok",
    b"",
    b"o",
    b"okk",
    b"2\r\nok\r\n0\r\n\r\n",
    b"\r\n",
    b"ok\r\n",
    b"\n\n",
]


@given(
    st.sampled_from(ODD_STARTS),
    st.lists(st.sampled_from(ODD_LINES), max_size=4),
    st.sampled_from([b"\r\n\r\n", b"\r\n\r\n", b"\n\n", b"\r\n\n", b"\r\r\n\r\n"]),
    st.sampled_from(ODD_BODIES),
)
def test_of_odd_heads_the_quick_parser_takes_only_what_the_reader_reads_alike(
    start, lines, end, body
):
    wire = b"\r\n".join([start, *lines]) + end + body
    head = WholeResponseParser().parse(wire)
    if head is not None:
        reader = read([wire])
        assert reader.reusable
        assert (reader.head.raw, reader.head.status) == (head.raw, head.status)
        assert b"".join(reader.take()) == wire[len(head.raw) :]


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_crash_the_reader(data, after_head):
    start = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" if after_head else b"HTTP/1."
    reader = ResponseReader(1024)
    with contextlib.suppress(ClientError):
        for byte in start + data:
            reader.feed(bytes([byte]))
        reader.feed_eof()
        assert reader.complete


SIMPLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    "wire",
    [
        SIMPLE[:-1],
        SIMPLE[:20],
        SIMPLE + b"H",
        SIMPLE + b"HTTP/1.1 2",
        SIMPLE + b"\r",
        SIMPLE + b"\r\n\r\n",
        SIMPLE + SIMPLE,
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + SIMPLE,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/0.9 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        b"RTSP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok",
        b"ICE/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive, close\r\n\r\nok",
        b"HTTP/1.1 200 O\x01K\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nspoken now",
    ],
)
def test_the_quick_parser_leaves_all_else_to_the_reader(wire):
    parser = WholeResponseParser()
    assert parser.parse(wire) is None
    assert parser.parse(SIMPLE).length == 2


def test_interim_heads_are_passed_over_and_101_is_final():
    reader = read([b"HTTP/1.1 100 Continue\r\n\r\n"])
    assert (reader.interim, reader.between_responses) == (1, True)
    reader.feed(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n")
    assert reader.complete
    assert not reader.reusable


def test_a_head_request_has_no_body_whatever_its_length():
    reader = read([b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"], is_head=True)
    assert reader.reusable
    reader = read([b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"], is_head=True)
    assert reader.reusable
    reader = read([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno"], is_head=True)
    assert reader.excess


@pytest.mark.parametrize(
    ("connection", "kept"),
    [
        (b"", True),
        (b"Connection: close\r\n", False),
        (b"connection: Keep-Alive, Close\r\n", False),
        (b"connection: x\r\nconnection: close\r\n", False),
        (b"connection: closed\r\n", True),
    ],
)
def test_a_connection_is_kept_unless_it_says_close(connection, kept):
    wire = b"HTTP/1.1 200 OK\r\n" + connection + b"content-length: 0\r\n\r\n"
    assert read([wire]).reusable == kept
    assert (WholeResponseParser().parse(wire) is not None) == kept


def test_heads_up_to_the_limit_pass_and_beyond_it_do_not():
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\na: %b\r\n\r\n"
    fitting = head % (b"x" * (1024 - len(head) + 2))
    for pieces in ([fitting], split(fitting, range(0, 1024, 100))):
        reader = ResponseReader(1024)
        for piece in pieces:
            reader.feed(piece)
        assert reader.complete
    longer = head % (b"x" * (1024 - len(head) + 3))
    for pieces in ([longer], split(longer, range(0, 1024, 100))):
        reader = ResponseReader(1024)
        for piece in pieces[:-1]:
            reader.feed(piece)
        with pytest.raises(HeadTooLarge):
            reader.feed(pieces[-1])


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (b"SSH-2.0-x\r\n\r\n", "status line like .* got 'SSH-2.0-x"),
        (b"HTTP/1.1 200 OK\r\nbad line\r\n\r\n", "header line like .* got 'bad line'"),
        (b"HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n", "got ' c'"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "content-length is 'x'"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: br\r\n\r\n", "transfer-encoding is 'br'"),
    ],
)
def test_complaints_show_what_came(wire, says):
    with pytest.raises(MalformedResponse, match=says):
        read([wire])
