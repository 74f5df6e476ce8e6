"""Response heads of containers: what is taken, how it goes on, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.edge.response_head import ResponseError, parse_response, recall_response


def head(*lines: str, start: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join((start, *lines, "", "")).encode("latin-1")


def test_a_plain_response_goes_on_as_it_came() -> None:
    response = parse_response(head("Date: now", "Content-Length: 5", "Server: s"))
    assert response.head == b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Length: 5\r\nServer: s\r\n"
    assert (response.status, response.length) == (200, 5)
    assert (response.chunked, response.keep_alive) == (False, True)


def test_a_response_of_http_1_0_goes_on_as_1_1() -> None:
    response = parse_response(head("A: b", start="HTTP/1.0 200 OK"))
    assert response.head == b"HTTP/1.1 200 OK\r\nA: b\r\n"
    assert not response.keep_alive


@pytest.mark.parametrize(
    ("start", "lines", "expected"),
    [
        ("HTTP/1.1 200 OK", ["Content-Length: 7"], (7, False)),
        ("HTTP/1.1 200 OK", [], (None, False)),
        ("HTTP/1.1 200 OK", ["Transfer-Encoding: chunked"], (None, True)),
        ("HTTP/1.1 204 No Content", [], (0, False)),
        ("HTTP/1.1 304 Not Modified", ["Content-Length: 7"], (0, False)),
        ("HTTP/1.1 100 Continue", [], (0, False)),
        ("HTTP/1.1 500", ["Content-Length: 0"], (0, False)),
    ],
)
def test_where_the_body_ends(start, lines, expected) -> None:
    response = parse_response(head(*lines, start=start))
    assert (response.length, response.chunked) == expected


def test_an_answer_to_head_has_no_body_but_keeps_its_length() -> None:
    response = parse_response(head("Content-Length: 7"), no_body=True)
    assert response.length == 0
    assert b"Content-Length: 7\r\n" in response.head
    chunked = parse_response(head("Transfer-Encoding: chunked"), no_body=True)
    assert (chunked.length, chunked.chunked) == (0, False)


@pytest.mark.parametrize("start", ["HTTP/1.1 204 No Content", "HTTP/1.1 103 Early Hints"])
def test_what_has_no_body_announces_none(start) -> None:
    response = parse_response(head("A: b", "Content-Length: 7", "C: d", start=start))
    assert response.head == f"{start}\r\nA: b\r\nC: d\r\n".encode()
    assert response.length == 0


def test_chunks_of_http_1_0_end_the_connection_to_the_container() -> None:
    fields = ("Connection: keep-alive", "Transfer-Encoding: chunked")
    assert not parse_response(head(*fields, start="HTTP/1.0 200 OK")).keep_alive
    assert parse_response(head(*fields)).keep_alive


def test_fields_of_one_hop_and_of_the_edge_itself_are_left_out() -> None:
    response = parse_response(
        head(
            "Connection: close, X-Mine, Content-Length",
            "Keep-Alive: timeout=5",
            "x-mine: 1",
            "X-Edge-Container: forged",
            "X-Other: 2",
            "Content-Length: 0",
        )
    )
    assert response.head == b"HTTP/1.1 200 OK\r\nX-Other: 2\r\nContent-Length: 0\r\n"
    assert not response.keep_alive


def test_a_switch_of_protocols_keeps_its_upgrade() -> None:
    response = parse_response(
        head("Upgrade: websocket", "Connection: Upgrade", start="HTTP/1.1 101 Switching Protocols")
    )
    assert response.head.endswith(b"\r\nconnection: upgrade\r\nupgrade: websocket\r\n")


@pytest.mark.parametrize(
    "bad",
    [
        b"garbage\r\n\r\n",
        head(start="HTTP/2 200 OK"),
        head(start="HTTP/1.1 20 OK"),
        head(start="HTTP/1.1 099 Low"),
        head(start="HTTP/1.1  200 OK"),
        head("A : b"),
        head("A: b", " folded"),
        head("A: b\nC: d"),
        head("A: \0"),
        head("Content-Length: x"),
        head("Content-Length: -1"),
        head("Content-Length: 1", "Content-Length: 2"),
        head("Content-Length: 1", "Content-Length: 1"),
        head("Content-Length: 1", "Transfer-Encoding: chunked"),
        head("Transfer-Encoding: gzip"),
        head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        head("Content-Length: " + "1" * 19),
    ],
)
def test_what_leaves_doubt_is_refused(bad) -> None:
    with pytest.raises(ResponseError):
        parse_response(bad)


@pytest.mark.parametrize("start", ["HTTP/1.1 200 OK", "HTTP/1.1 204 N", "HTTP/1.1 304 N"])
def test_a_length_is_given_once_also_where_there_is_no_body(start) -> None:
    with pytest.raises(ResponseError):
        parse_response(head("Content-Length: 1", "Content-Length: 1", start=start), no_body=True)


def test_a_remembered_head_reads_the_same() -> None:
    plain = head("Content-Length: 5", "X-Once: remembered")
    assert recall_response(plain, no_body=False) == parse_response(plain)
    assert recall_response(plain, no_body=False) == parse_response(plain)
    assert recall_response(plain, no_body=True).length == 0


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail_otherwise(data) -> None:
    try:
        response = parse_response(b"HTTP/1.1 200 OK\r\n" + data + b"\r\n\r\n")
    except ResponseError:
        return
    assert b"\r\n\r\n" not in response.head
