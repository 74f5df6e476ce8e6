"""Request heads: what is refused, what goes on, and what is told of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.edge.request_head import RequestError, is_hopeless, parse_request


def head(*lines: str, start: str = "GET / HTTP/1.1", host: str | None = "Host: x") -> bytes:
    fields = [*([host] if host else []), *lines]
    return "\r\n".join([start, *fields, "", ""]).encode("latin-1")


def lines_of(forward: bytes) -> list[bytes]:
    """The forwarded lines, without the unfinished last one."""
    *lines, last = forward.split(b"\r\n")
    assert last.startswith(b"x-forwarded-for: ")
    return lines


def test_a_plain_head_goes_on_as_it_came() -> None:
    request = parse_request(head("Accept: */*", "X-Odd:  value "))
    assert lines_of(request.forward) == [
        b"GET / HTTP/1.1",
        b"Host: x",
        b"Accept: */*",
        b"X-Odd:  value ",
    ]
    assert request.method == b"GET"
    assert request.length == 0
    assert request.session is None
    assert request.keep_alive
    assert request.idempotent
    assert not request.upgrade
    assert not request.old
    assert not request.expects


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("bare line feeds", b"GET / HTTP/1.1\nHost: x\n\r\n\r\n"),
        ("a bare line feed inside", b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n"),
        ("a bare carriage return", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n"),
        ("a folded line", b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"),
        ("a folded first line", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n"),
        ("a blank before the colon", head("Content-Length : 5")),
        ("a tab before the colon", head("Content-Length\t: 5")),
        ("a line without a colon", head("Accept")),
        ("an empty name", head(": x")),
        ("a NUL in a value", head("A: b\0c")),
        ("a control character in a value", head("A: b\x0bc")),
        ("a DEL in a value", head("A: b\x7fc")),
        ("a bracket in a name", head("A[1]: b")),
        ("two blanks in the request line", head(start="GET  / HTTP/1.1")),
        ("a tab in the request line", head(start="GET\t/ HTTP/1.1")),
        ("a leading blank", head(start=" GET / HTTP/1.1")),
        ("a trailing blank", head(start="GET / HTTP/1.1 ")),
        ("no version", head(start="GET /")),
        ("a version in small letters", head(start="GET / http/1.1")),
        ("a version with another digit", head(start="GET / HTTP/1.10")),
        ("a method with a bracket", head(start="GE(T / HTTP/1.1")),
        ("a relative target", head(start="GET index HTTP/1.1")),
        ("a target with a fragment", head(start="GET /#a HTTP/1.1")),
        ("a control character in the target", head(start="GET /a\x01 HTTP/1.1")),
        ("a target that is not ASCII", head(start="GET /\xe9 HTTP/1.1")),
        ("a star for another method", head(start="GET * HTTP/1.1")),
        ("another scheme", head(start="GET ftp://x/ HTTP/1.1")),
        ("a target with a user", head(start="GET http://a@x/ HTTP/1.1")),
        ("a tunnel to anywhere", head(start="CONNECT x:80 HTTP/1.1")),
        ("no host", head(host=None)),
        ("two hosts", head("Host: y")),
        ("an empty host", head(host="Host:")),
        ("a host with a blank", head(host="Host: a b")),
        ("a host with a path", head(host="Host: a/b")),
        ("a list of hosts", head(host="Host: a, b")),
        ("two equal lengths", head("Content-Length: 5", "Content-Length: 5")),
        ("two unlike lengths", head("Content-Length: 5", "Content-Length: 6")),
        ("a list of lengths", head("Content-Length: 5, 5")),
        ("a negative length", head("Content-Length: -1")),
        ("a signed length", head("Content-Length: +5")),
        ("a hexadecimal length", head("Content-Length: 0x5")),
        ("a length with a blank inside", head("Content-Length: 1 0")),
        ("a length with an underscore", head("Content-Length: 1_0")),
        ("an empty length", head("Content-Length:")),
        ("a length beyond all bounds", head("Content-Length: " + "9" * 19)),
        ("a length beside a coding", head("Content-Length: 5", "Transfer-Encoding: chunked")),
        ("a coding beside a length", head("Transfer-Encoding: chunked", "Content-Length: 5")),
        (
            "a coding from HTTP/1.0",
            head("Transfer-Encoding: chunked", start="POST / HTTP/1.0"),
        ),
    ],
)
def test_what_leaves_readers_in_doubt_is_refused(name: str, raw: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        parse_request(raw)
    assert refused.value.status == 400, name


@pytest.mark.parametrize(
    "codings",
    [
        ("gzip, chunked",),
        ("chunked, gzip",),
        ("chunked, chunked",),
        ("chunked", "chunked"),
        ("identity",),
        ("xchunked",),
        ('"chunked"',),
        ("chunked;q=1",),
        ("",),
    ],
)
def test_no_coding_is_known_but_chunked(codings: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as refused:
        parse_request(head(*(f"Transfer-Encoding: {coding}" for coding in codings)))
    assert refused.value.status == 501


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0"])
def test_other_versions_are_refused_as_such(version: str) -> None:
    with pytest.raises(RequestError) as refused:
        parse_request(head(start=f"GET / {version}"))
    assert refused.value.status == 505


@pytest.mark.parametrize(
    ("field", "length"),
    [
        ("Content-Length: 0", 0),
        ("content-length:12", 12),
        ("CONTENT-LENGTH: \t12 \t", 12),
        ("Transfer-Encoding: Chunked", None),
    ],
)
def test_the_length_of_the_body_is_read(field: str, length: int | None) -> None:
    assert parse_request(head(field)).length == length


def test_fields_of_one_connection_stay_on_it() -> None:
    request = parse_request(
        head(
            "Connection: keep-alive, X-Mine",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "TE: trailers",
            "X-Mine: secret",
            "X-Other: kept",
        )
    )
    assert lines_of(request.forward) == [b"GET / HTTP/1.1", b"Host: x", b"X-Other: kept"]


@pytest.mark.parametrize("named", ["Content-Length", "content-length", "Host"])
def test_connection_cannot_take_away_what_frames_or_addresses(named: str) -> None:
    request = parse_request(head(f"Connection: {named}", "Content-Length: 5"))
    assert lines_of(request.forward) == [b"GET / HTTP/1.1", b"Host: x", b"Content-Length: 5"]
    assert request.length == 5


def test_a_chunked_request_stays_chunked_whatever_connection_names() -> None:
    request = parse_request(head("Connection: transfer-encoding", "Transfer-Encoding: CHUNKED"))
    assert lines_of(request.forward)[2:] == [b"transfer-encoding: chunked"]


def test_addresses_before_ours_are_kept_and_the_scheme_is_told_by_us_alone() -> None:
    request = parse_request(
        head("X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 10.0.0.2", "X-Forwarded-Proto: https")
    )
    assert request.forward.endswith(b"\r\nx-forwarded-for: 10.0.0.1, 10.0.0.2, ")
    assert b"https" not in request.forward


def test_an_absolute_target_becomes_a_path_and_its_host_wins() -> None:
    request = parse_request(head(start="GET http://x:81/a?b HTTP/1.1", host="Host: X:81"))
    assert lines_of(request.forward) == [b"GET /a?b HTTP/1.1", b"host: x:81"]
    bare = parse_request(head(start="GET HTTP://x HTTP/1.1"))
    assert lines_of(bare.forward) == [b"GET / HTTP/1.1", b"host: x"]
    query = parse_request(head(start="GET http://x?b HTTP/1.1"))
    assert lines_of(query.forward)[0] == b"GET /?b HTTP/1.1"


def test_an_absolute_target_of_another_host_is_refused() -> None:
    with pytest.raises(RequestError, match="another host"):
        parse_request(head(start="GET http://other/ HTTP/1.1"))


@pytest.mark.parametrize(
    "written", ["Content-Length:\t5", "content-length:5", "Content-Length: 05"]
)
def test_a_length_goes_on_in_its_plain_form(written: str) -> None:
    request = parse_request(head(written, "A: b", start="POST / HTTP/1.1"))
    assert request.length == 5
    assert lines_of(request.forward) == [
        *(b"POST / HTTP/1.1", b"Host: x", b"A: b", b"content-length: 5")
    ]
    plain = parse_request(head("Content-Length: 5", "A: b", start="POST / HTTP/1.1"))
    assert b"Content-Length: 5\r\nA: b\r\n" in plain.forward


def test_http_1_0_goes_on_as_1_1_and_closes_unless_it_asks_not_to() -> None:
    request = parse_request(head(start="GET / HTTP/1.0", host=None))
    assert lines_of(request.forward) == [b"GET / HTTP/1.1", b"host: localhost"]
    assert request.old
    assert not request.keep_alive
    assert parse_request(head("Connection: Keep-Alive", start="GET / HTTP/1.0")).keep_alive


def test_a_later_minor_version_goes_on_as_1_1() -> None:
    assert lines_of(parse_request(head(start="GET / HTTP/1.2")).forward)[0] == b"GET / HTTP/1.1"


@pytest.mark.parametrize("close", ["close", "Close", "keep-alive, close", "x ,close"])
def test_close_ends_the_connection_after_the_request(close: str) -> None:
    assert not parse_request(head(f"Connection: {close}")).keep_alive


def test_the_session_is_the_first_value_of_its_field() -> None:
    assert parse_request(head("modal-session-ID:  a b\xe9 ")).session == "a b\xe9"
    assert parse_request(head("Modal-Session-ID: one", "Modal-Session-ID: two")).session == "one"
    assert parse_request(head("Modal-Session-ID:")).session is None


def test_an_upgrade_is_asked_for_by_both_fields() -> None:
    request = parse_request(head("Connection: keep-alive, Upgrade", "Upgrade: websocket"))
    assert request.upgrade
    assert lines_of(request.forward)[2:] == [b"connection: upgrade", b"upgrade: websocket"]
    assert not parse_request(head("Upgrade: websocket")).upgrade
    assert not parse_request(head("Connection: upgrade")).upgrade


@pytest.mark.parametrize(
    "fields",
    [
        ("Connection: upgrade, http2-settings", "Upgrade: h2c", "HTTP2-Settings: AAA"),
        ("Connection: upgrade", "Upgrade: H2C"),
        ("Connection: upgrade", "Upgrade: websocket", "Upgrade: h2c"),
        ("Connection: upgrade", "Upgrade: websocket", "Content-Length: 5"),
    ],
)
def test_what_could_smuggle_requests_past_the_edge_is_no_upgrade(fields: tuple[str, ...]) -> None:
    request = parse_request(head(*fields))
    assert not request.upgrade
    assert b"upgrade" not in request.forward.lower()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_idempotent_methods_are_known(method: str) -> None:
    assert parse_request(head(start=f"{method} / HTTP/1.1")).idempotent


@pytest.mark.parametrize("method", ["POST", "PATCH", "get", "PURGE"])
def test_no_other_method_is_taken_for_idempotent(method: str) -> None:
    assert not parse_request(head(start=f"{method} / HTTP/1.1")).idempotent


@pytest.mark.parametrize(
    ("beginning", "hopeless"),
    [
        (b"GET / HT", False),
        (b"GET / HTTP/1.1\r", False),
        (b"GET / HTTP/1.1\r\nA: b\tc\xe9\r\n\r", False),
        (b"GET / HTTP/1.1\n", True),
        (b"\n", True),
        (b"GET / HTTP/1.1\r\nA: b\rC", True),
        (b"\x16\x03\x01", True),
        (b"GET /\0", True),
    ],
)
def test_a_beginning_that_cannot_become_a_head_is_known_at_once(beginning, hopeless) -> None:
    assert is_hopeless(beginning) is hopeless


NAMES = st.from_regex(r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}\Z").filter(
    lambda name: (
        name.lower()
        not in {
            *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te"),
            *("upgrade", "proxy-connection", "x-forwarded-for", "x-forwarded-proto"),
        }
    )
)
VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"))


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_all_other_fields_go_on_byte_by_byte(fields: list[tuple[str, str]]) -> None:
    fields = [(n, "".join(c for c in v if not 0x7F <= ord(c) < 0x80)) for n, v in fields]
    raw = head(*(f"{name}:{value}" for name, value in fields))
    assert parse_request(raw).forward == raw[:-2] + b"x-forwarded-for: "


@given(st.binary(max_size=200))
def test_any_bytes_are_a_head_or_refused(raw: bytes) -> None:
    try:
        request = parse_request(b"GET / HTTP/1.1\r\nHost: x\r\n" + raw + b"\r\n\r\n")
    except RequestError:
        return
    assert b"\n" not in request.forward.replace(b"\r\n", b"")
    assert b"\r" not in request.forward.replace(b"\r\n", b"")
    assert b"\0" not in request.forward


def test_connection_cannot_take_away_the_session() -> None:
    request = parse_request(head("Connection: modal-session-id", "Modal-Session-ID: s"))
    assert b"Modal-Session-ID: s" in lines_of(request.forward)


@pytest.mark.parametrize(
    ("authorization", "stays"),
    [("Bearer wk-a.ws-b", False), ("Bearer own-token", True), ("Basic d2st", True)],
)
def test_a_proxy_token_does_not_go_on_where_the_edge_asks_for_it(authorization, stays) -> None:
    whole = head("Modal-Key: wk-a", "Modal-Secret: ws-b", f"Authorization: {authorization}")
    forward = parse_request(whole, guarded=True).forward
    assert b"Modal" not in forward
    assert (b"Authorization" in forward) is stays
    assert b"ws-b" in parse_request(whole).forward
