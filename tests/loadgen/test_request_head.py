"""Request heads: what may stand in them, and what the client says itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.request_body import encode_body
from loadgen.request_head import encode_headers, prepare_request


def prepared(method="GET", *, body=None, headers=None, defaults=None):
    return prepare_request(
        method,
        url="http://h/p",
        target="/p",
        host="h",
        defaults=defaults or {},
        headers=headers,
        body=encode_body(body),
    )


def test_the_parts_add_up():
    request = prepared("POST", body=b"abc", headers={"X": "1"})
    assert request.head == b"POST /p HTTP/1.1\r\nhost: h\r\nx: 1\r\ncontent-length: 3\r\n"
    assert request.tail == b"\r\nabc"
    assert request.wire == request.head + request.tail


@pytest.mark.parametrize(
    ("method", "body", "is_plain", "idempotent"),
    [
        ("GET", None, True, True),
        ("HEAD", None, False, True),
        ("POST", b"", True, False),
        ("PUT", iter([]), False, True),
        ("PATCH", None, True, False),
        ("DELETE", None, True, True),
    ],
)
def test_a_request_knows_what_it_is(method, body, is_plain, idempotent):
    request = prepared(method, body=body)
    assert (request.is_plain, request.idempotent) == (is_plain, idempotent)
    assert (request.frames is not None) == (method == "PUT")


def test_methods_with_a_body_say_its_length_even_if_there_is_none():
    assert b"content-length: 0\r\n" in prepared("POST").head
    assert b"content-length" not in prepared("GET").head
    assert b"content-length: 0\r\n" in prepared("GET", body=b"").head


def test_a_request_s_headers_go_before_the_defaults_whatever_their_case():
    request = prepared(
        headers={"User-AGENT": "mine", "HOST": "other", "B": None},
        defaults={"user-agent": "default", "a": "1", "b": "2"},
    )
    assert request.head == (b"GET /p HTTP/1.1\r\nhost: other\r\nuser-agent: mine\r\na: 1\r\n")


def test_a_content_type_of_one_s_own_stays():
    request = prepare_request(
        "POST",
        url="u",
        target="/",
        host="h",
        defaults={},
        headers={"Content-Type": "application/vnd.x+json"},
        body=encode_body(None, {"a": 1}),
    )
    assert request.head.count(b"content-type") == 1
    assert b"content-type: application/vnd.x+json\r\n" in request.head


def test_a_length_that_is_right_may_be_given():
    assert b"content-length: 2\r\n" in prepared(headers={"Content-Length": "2"}, body=b"ab").head
    with pytest.raises(UsageError, match="the body has 2 bytes"):
        prepared(headers={"Content-Length": "3"}, body=b"ab")
    with pytest.raises(UsageError, match="iterator"):
        prepared(headers={"Content-Length": "3"}, body=iter([b"abc"]))


@given(st.text(), st.text())
def test_no_header_can_break_out_of_its_line(name, value):
    try:
        lines = encode_headers({name: value})
    except UsageError:
        return
    assert lines == f"{name}: {value}\r\n".encode("latin-1")
    assert lines.count(b"\r") == lines.count(b"\n") == 1
    assert b"\0" not in lines
    assert name
    assert ":" not in name
    assert " " not in name


def test_headers_of_none_are_left_out():
    assert encode_headers({"a": None, "b": "", "c": "x y"}) == b"b: \r\nc: x y\r\n"
