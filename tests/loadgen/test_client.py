"""The client against scripted servers: what a peer may do, and what it must not."""

import gc
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from time import perf_counter
from types import FrameType

import gevent
import pytest
from gevent.event import Event

import loadgen.client
from loadgen.client import HttpClient
from loadgen.client_config import ClientConfig, Timeouts
from loadgen.errors import (
    BodyTooLarge,
    ClientError,
    ConnectError,
    ConnectionLost,
    ContentDecodingError,
    FirstByteTimeout,
    HeadTooLarge,
    HttpStatusError,
    MalformedResponse,
    NameLookupError,
    TotalTimeout,
    UsageError,
)
from loadgen.request_head import encode_headers

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def answer_all(peer, _n):
    while peer.request():
        peer.send(OK)


def until(condition):
    """Let the event loop run until ``condition()``."""
    while not condition():
        gevent.idle()


# What the request looks like.


def test_a_request_has_the_expected_bytes(scripted):
    seen = []

    def script(peer, _n):
        while request := peer.request():
            seen.append(request)
            peer.send(OK)

    server = scripted(script)
    config = ClientConfig(headers={"User-Agent": "test", "x-a": "1"})
    with HttpClient(server.url + "/base/", config=config) as client:
        response = client.send("GET", "/p?q=1", headers={"X-A": "2", "user-agent": None})
        client.send("POST", "/p")
        client.send("PUT", f"http://127.0.0.1:{server.port}/q", json=[1])
    host = b"host: 127.0.0.1:%d\r\n" % server.port
    assert seen == [
        b"GET /base/p?q=1 HTTP/1.1\r\n" + host + b"x-a: 2\r\n\r\n",
        b"POST /base/p HTTP/1.1\r\n"
        + host
        + b"user-agent: test\r\nx-a: 1\r\ncontent-length: 0\r\n\r\n",
        b"PUT /q HTTP/1.1\r\n"
        + host
        + b"user-agent: test\r\nx-a: 1\r\ncontent-type: application/json\r\n"
        + b"content-length: 3\r\n\r\n[1]",
    ]
    assert (response.bytes_sent, response.bytes_received) == (len(seen[0]), len(OK))
    assert response.url == f"{server.url}/base/p?q=1"


def test_a_prepared_request_takes_more_headers_each_time(scripted):
    seen = []

    def script(peer, _n):
        while request := peer.request():
            seen.append(request)
            peer.send(OK)

    with HttpClient(scripted(script).url, config=ClientConfig(headers={})) as client:
        prepared = client.prepare("POST", "/p", data=b"body")
        response = client.send_prepared(prepared, encode_headers({"Modal-Session-ID": "s1"}))
        again = client.send_prepared(prepared, encode_headers({"Modal-Session-ID": "s2"}))
        client.send_prepared(prepared)
    assert [b"Modal-Session-ID: s1\r\n" in s for s in seen] == [True, False, False]
    assert [b"Modal-Session-ID: s2\r\n" in s for s in seen] == [False, True, False]
    assert all(s.endswith(b"\r\n\r\nbody") for s in seen)
    assert (response.bytes_sent, again.bytes_sent) == (len(seen[0]), len(seen[1]))


def test_plain_requests_are_prepared_once():
    client = HttpClient("http://127.0.0.1:1")
    assert client.prepare("GET", "/a") is client.prepare("GET", "/a")
    assert client.prepare("GET", "/a") is not client.prepare("HEAD", "/a")
    assert client.prepare("GET", "/a", headers={"a": "b"}).head.endswith(b"a: b\r\n")
    for n in range(3000):  # paths that all differ do not pile up
        client.prepare("GET", f"/{n}")
    assert len(client.prepared) <= 1024


def test_prepared_requests_are_kept_by_anything_unless_they_are_long():
    client = HttpClient("http://127.0.0.1:1")
    short = client.prepare("POST", "/", data=b"x" * 30_000)
    client.keep_prepared("short", short)
    client.keep_prepared("long", client.prepare("POST", "/", data=b"x" * 40_000))
    assert client.prepared["short"] is short
    assert "long" not in client.prepared


@pytest.mark.parametrize(
    "arguments",
    [
        {"headers": {"a": "b\r\nevil: 1"}},
        {"headers": {"a\r\nevil": "1"}},
        {"headers": {"a": "b\0"}},
        {"headers": {"a:": "b"}},
        {"headers": {"": "b"}},
        {"headers": {"a": "☃"}},
        {"headers": {"a": 1}},
        {"headers": {"content-length": "5"}, "data": b"1"},
        {"headers": {"transfer-encoding": "chunked"}},
        {"data": b"1", "json": {}},
        {"data": 5},
        {"json": object()},
    ],
)
def test_arguments_that_cannot_be_sent_are_refused_before_anything_is(arguments):
    client = HttpClient("http://127.0.0.1:1")
    with pytest.raises(UsageError):
        client.send("POST", "/", **arguments)
    assert client.connects == 0


@pytest.mark.parametrize("path", ["x", "", "ftp://a/", "http://", "http://a b/", "//x"])
def test_paths_that_are_none_are_refused(path):
    with pytest.raises((UsageError, ConnectError, NameLookupError)):
        HttpClient("http://127.0.0.1:1").send("GET", path)


def test_a_path_cannot_break_out_of_the_request_line():
    client = HttpClient("http://127.0.0.1:1", config=ClientConfig(headers={}))
    prepared = client.prepare("GET", "/a b\r\nevil: 1\r\n#frag")
    assert prepared.head.startswith(b"GET /a%20b%0D%0Aevil:%201%0D%0A HTTP/1.1\r\nhost: ")
    with pytest.raises(UsageError):
        client.prepare("GET / HTTP/1.1\r\nevil: 1\r\n", "/")


# What the response may look like.


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("wire", "body"),
    [
        (OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b""),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n"
            b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\na: b\r\n\r\n" + OK, b"ok"),
    ],
)
def test_responses_are_the_same_whole_and_byte_by_byte(scripted, wire, body, stream):
    def script(peer, _n):
        peer.request()
        peer.send(wire)
        peer.request()
        peer.send_bytewise(wire)
        peer.request()
        peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        for _ in range(2):
            with client.send("GET", "/", stream=stream) as response:
                assert response.content == body
            assert response.bytes_received == len(wire)
            assert response.trailers.get("x-sum") == ("5" if b"x-sum" in wire else None)
        assert client.send("GET", "/").text == "ok"
        assert client.connects == 1


def test_a_body_without_length_ends_with_the_connection(scripted):
    def script(peer, _n):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        peer.send(b"all of it")

    with HttpClient(scripted(script).url) as client:
        assert client.send("GET", "/").text == "all of it"
        assert client.send("GET", "/", stream=True).text == "all of it"
        assert client.connects == 2


def test_an_http_1_0_peer_is_understood(scripted):
    def script(peer, _n):
        while peer.request():
            peer.send(b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\n1")
            peer.request()
            peer.send(b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\n2")
            peer.close()
            return

    with HttpClient(scripted(script).url) as client:
        assert [client.send("GET", "/").text for _ in range(4)] == ["1", "2", "1", "2"]
        assert client.connects == 2


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        b"HTTP/1.1 200 OK\r\na: b\n\r\n",
        b"HTTP/1.1 200 OK\r\na: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\na: \0\r\n\r\n",
        b"HTTP/1.1 200 O\x01K\r\ncontent-length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\na: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n1",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    ],
)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reused", [False, True])
def test_malformed_responses_are_errors_of_their_request_alone(scripted, wire, stream, reused):
    def script(peer, n):
        if reused and n == 0:
            peer.request()
            peer.send(OK)
        peer.request()
        peer.send(OK if n else wire)
        peer.wait_closed()

    with HttpClient(scripted(script).url) as client:
        if reused:
            client.send("GET", "/")
        with pytest.raises(MalformedResponse) as caught:
            client.send("GET", "/", stream=stream).content  # noqa: B018 # reads the stream
        assert caught.value.kind == "connection_error"
        assert caught.value.elapsed_s >= 0
        assert str(caught.value)
        assert client.send("GET", "/").text == "ok"


@pytest.mark.parametrize("reused", [False, True])
def test_a_peer_that_switches_protocols_is_answered_and_left(scripted, reused):
    def script(peer, n):
        if reused and n == 0:
            peer.request()
            peer.send(OK)
        peer.request()
        if n == 0:
            peer.send(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nx!")
            peer.wait_closed()
        else:
            peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        if reused:
            client.send("GET", "/")
        response = client.send("GET", "/")
        assert (response.status_code, response.content) == (101, b"")
        assert client.send("GET", "/").text == "ok"
        assert client.connects == 2


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 3000,
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 3000 + b"\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: " + b"b" * 3000,
    ],
)
def test_a_head_over_the_limit_is_refused(scripted, wire, reused):
    def script(peer, _n):
        if reused:
            peer.request()
            peer.send(OK)
        peer.request()
        peer.send(wire)
        peer.wait_closed()

    client = HttpClient(scripted(script).url, config=ClientConfig(max_head_bytes=2048))
    if reused:
        client.send("GET", "/")
    with pytest.raises(HeadTooLarge, match="2048"):
        client.send("GET", "/")


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize(
    "wire",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
)
def test_a_body_over_the_limit_is_refused_before_it_fills_the_memory(scripted, wire, reused):
    sent = 0

    def script(peer, _n):
        nonlocal sent
        if reused:
            peer.request()
            peer.send(OK)
        peer.request()
        peer.send(wire)
        piece = bytes(16384)
        while True:  # until the client has closed
            peer.send(b"4000\r\n%b\r\n" % piece if b"chunked" in wire else piece)
            sent += len(piece)

    limit = 4_000_000
    client = HttpClient(scripted(script).url, config=ClientConfig(max_body_bytes=limit))
    if reused:
        client.send("GET", "/")
    with pytest.raises(BodyTooLarge, match="longer than 4,000,000 bytes; read it with stream=True"):
        client.send("GET", "/")
    gevent.idle()
    assert sent < limit + 20_000_000  # what the system's buffers hold
    assert not client.connected


def test_a_streamed_body_may_be_of_any_length_but_not_kept_whole(scripted):
    pieces = 100

    def script(peer, _n):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (pieces * 16384))
        for _ in range(pieces):
            peer.send(bytes(16384))

    client = HttpClient(scripted(script).url, config=ClientConfig(max_body_bytes=16384))
    with client.send("GET", "/", stream=True) as response:
        assert sum(map(len, response.iter_content())) == pieces * 16384


@pytest.mark.parametrize(
    ("wire", "says"),
    [
        (b"", "without a response"),
        (b"HTTP/1.1 200", "within the response head"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", "6 of 9 bytes are missing"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc", "chunked body"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", "chunked"),
    ],
)
def test_a_response_cut_off_is_an_error(scripted, wire, says):
    def script(peer, _n):
        peer.request()
        peer.send(wire)

    client = HttpClient(scripted(script).url)
    with pytest.raises(ConnectionLost, match=says) as caught:
        client.send("GET", "/")
    assert caught.value.bytes_received == len(wire)
    assert caught.value.bytes_sent > 0


def test_bytes_beyond_the_response_end_the_connection(scripted):
    def script(peer, _n):
        peer.request()
        peer.send(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        peer.wait_closed()

    with HttpClient(scripted(script).url) as client:
        assert [client.send("GET", "/").text for _ in range(3)] == ["ok"] * 3
        assert client.connects == 3


def test_line_ends_beyond_the_response_do_not_move_its_body(scripted):
    wire = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\r\n\r\n"

    def script(peer, _n):
        peer.request()
        peer.send(wire)
        peer.request()
        peer.send(wire + b"\r\n")
        peer.wait_closed()

    with HttpClient(scripted(script).url) as client:
        assert [client.send("GET", "/").content for _ in range(3)] == [b"\r\n\r\n"] * 3
        assert client.connects == 2


def test_bytes_nobody_asked_for_end_an_idle_connection(scripted):
    answered = Event()

    def script(peer, n):
        peer.request()
        peer.send(OK)
        if n == 0:
            answered.wait()
            peer.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
        peer.request()
        peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        client.send("GET", "/")
        answered.set()
        until(lambda: not client.connected)
        response = client.send("GET", "/")
        assert (response.status_code, response.from_reused_connection) == (200, False)


def test_a_body_that_does_not_decode_is_an_error_when_read(scripted):
    wire = b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: 4\r\n\r\nnope"

    def script(peer, _n):
        for coding in (b"gzip", b"deflate", b"br"):
            peer.request()
            peer.send(wire % coding)

    with HttpClient(scripted(script).url) as client:
        for _ in range(3):
            response = client.send("GET", "/")
            assert response.status_code == 200
            with pytest.raises(ContentDecodingError) as caught:
                response.content  # noqa: B018 # decodes on access
            assert caught.value.started == response.started


def test_what_a_response_tells(scripted):
    wire = (
        b"HTTP/1.1 404 Not  There\r\nSet-Cookie: a=1\r\nX: 1\r\nset-cookie: b=2\r\n"
        b"Content-Type: text/plain; charset=latin-1\r\ncontent-length: 4\r\n\r\ncaf\xe9"
    )

    def script(peer, _n):
        peer.request()
        peer.send(wire)

    response = HttpClient(scripted(script).url).send("GET", "/a?b")
    assert (response.status_code, response.reason, response.ok) == (404, "Not  There", False)
    assert response.header("X") == response.headers["x"] == "1"
    assert response.header("missing") is None
    assert response.headers.get_all("SET-COOKIE") == ["a=1", "b=2"]
    assert response.headers["set-cookie"] == "a=1, b=2"
    assert (response.encoding, response.text) == ("latin-1", "café")
    assert response.elapsed.total_seconds() == pytest.approx(response.ttfb_s, abs=1e-6)
    with pytest.raises(HttpStatusError, match="404 Not  There for GET http"):
        response.raise_for_status()
    with pytest.raises(ValueError, match=r"Expecting value|utf-8"):
        response.json()


def test_the_first_byte_is_that_of_the_final_response(scripted):
    times = []

    def script(peer, _n):
        for interim in (b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 100 Con"):
            peer.request()
            peer.send(interim)
            gevent.idle()
            times.append(perf_counter())
            peer.send(b"tinue\r\n\r\n" + OK if interim.endswith(b"Con") else OK)

    with HttpClient(scripted(script).url) as client:
        for n in range(2):
            response = client.send("GET", "/")
            assert times[n] < response.started + response.ttfb_s
            assert response.total_s == response.ttfb_s


# When the connection goes.


def test_a_peer_that_closed_an_idle_connection_causes_no_error(scripted):
    def script(peer, _n):
        peer.request()
        peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        for _ in range(3):
            assert client.send("POST", "/").text == "ok"
            until(lambda: not client.connected)
        assert (client.connects, client.resends) == (3, 0)


@pytest.mark.parametrize("way", ["close", "reset"])
def test_an_idempotent_request_is_sent_again_once(scripted, way):
    requests = []

    def script(peer, n):
        requests.append(peer.request())
        peer.send(OK)
        requests.append(peer.request())
        if n == 0:
            getattr(peer, way)()
        else:
            peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        first = client.send("GET", "/a")
        second = client.send("GET", "/b")
        third = client.send("GET", "/c")
        assert [first.resent, second.resent, third.resent] == [False, True, False]
        assert second.connect_s is not None
        assert not second.from_reused_connection
        assert (client.connects, client.resends) == (2, 1)
    assert [request.split()[1] for request in requests] == [b"/a", b"/b", b"/b", b"/c"]


@pytest.mark.parametrize(
    ("method", "arguments"),
    [("POST", {}), ("PATCH", {"data": b"1"}), ("PUT", {"data": iter([b"1"])})],
)
def test_what_cannot_be_repeated_is_not_sent_again(scripted, method, arguments):
    def script(peer, n):
        peer.request()
        peer.send(OK)
        peer.request()

    with HttpClient(scripted(script).url) as client:
        client.send("GET", "/")
        with pytest.raises(ConnectionLost) as caught:
            client.send(method, "/", **arguments)
        assert not caught.value.resent
        assert (client.connects, client.resends) == (1, 0)


def test_a_request_is_not_sent_again_after_a_byte_of_the_response(scripted):
    def script(peer, n):
        peer.request()
        peer.send(OK)
        peer.request()
        peer.send(b"H")

    with HttpClient(scripted(script).url) as client:
        client.send("GET", "/")
        with pytest.raises(ConnectionLost, match="within the response head"):
            client.send("GET", "/")
        assert client.resends == 0


def test_a_request_is_sent_again_only_once(scripted):
    def script(peer, n):
        peer.request()
        if n == 0:
            peer.send(OK)
            peer.request()

    with HttpClient(scripted(script).url) as client:
        client.send("GET", "/")
        with pytest.raises(ConnectionLost) as caught:
            client.send("GET", "/")
        assert caught.value.resent
        assert caught.value.connect_s > 0
        assert (client.connects, client.resends) == (2, 1)
        with pytest.raises(ConnectionLost):  # a new connection: not at all
            client.send("GET", "/")
        assert (client.connects, client.resends) == (3, 1)


def test_nobody_listening_is_a_clear_error():
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1:1: Connection refused") as caught:
        HttpClient("http://127.0.0.1:1").send("GET", "/")
    assert caught.value.kind == "connection_error"
    assert caught.value.started <= perf_counter()


def test_an_unknown_name_is_a_clear_error():
    with pytest.raises(NameLookupError, match=r"no-such-host\.invalid"):
        HttpClient("http://no-such-host.invalid").send("GET", "/")


def test_names_are_looked_up_and_connecting_is_reported(scripted):
    server = scripted(answer_all)
    connects = []
    client = HttpClient(f"http://localhost:{server.port}", on_connect=connects.append)
    first, second = client.send("GET", "/"), client.send("GET", "/")
    assert connects == [first.connect_s]
    assert 0 < first.connect_s < 5
    assert second.connect_s is None


def test_ipv6_works(scripted):
    try:
        server = scripted(answer_all, ("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with HttpClient(f"http://[::1]:{server.port}") as client:
        response = client.send("GET", "/")
        assert response.text == "ok"
        assert b"host: [::1]:%d\r\n" % server.port in response.request.head


# Time-outs.


def test_a_first_byte_that_does_not_come_is_a_time_out(scripted):
    server = scripted(lambda peer, _n: peer.request() and peer.wait_closed())
    client = HttpClient(server.url, config=ClientConfig(timeouts=Timeouts(first_byte_s=0.05)))
    with pytest.raises(FirstByteTimeout, match=r"0\.05 s") as caught:
        client.send("GET", "/")
    assert caught.value.kind == "timeout"
    assert 0.05 <= caught.value.elapsed_s < 1
    assert not client.connected


@pytest.mark.parametrize("reused", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_a_response_that_does_not_end_is_a_time_out(scripted, reused, stream):
    def script(peer, _n):
        if reused:
            peer.request()
            peer.send(OK)
        peer.request()
        peer.send(OK[:-1])
        peer.wait_closed()

    timeouts = Timeouts(first_byte_s=0.25, total_s=0.5)
    with HttpClient(scripted(script).url) as client:
        if reused:
            client.send("GET", "/")
        with pytest.raises(TotalTimeout, match=r"0\.5 s") as caught:
            client.send("GET", "/", stream=stream, timeout=timeouts).content  # noqa: B018 # reads
        assert 0.5 <= caught.value.elapsed_s + 0.02 < 2
        assert caught.value.bytes_received == len(OK) - 1


def test_a_request_s_own_time_outs_are_its_own(scripted):
    def script(peer, n):
        peer.request()
        if n:
            peer.send(OK)
            peer.request()
            gevent.sleep(0.15)  # longer than the other request's time-out
            peer.send(OK)
        peer.wait_closed()

    with HttpClient(scripted(script).url) as client:
        with pytest.raises(FirstByteTimeout):
            client.send("GET", "/", timeout=Timeouts(first_byte_s=0.02))
        client.send("GET", "/", timeout=Timeouts(first_byte_s=0.05))
        assert client.send("GET", "/").text == "ok"
        assert client.connects == 2


def test_a_peer_that_takes_no_more_of_a_body_is_a_time_out(scripted):
    gate = Event()
    server = scripted(lambda _peer, _n: gate.wait())
    client = HttpClient(server.url, config=ClientConfig(timeouts=Timeouts(first_byte_s=0.05)))
    with pytest.raises(FirstByteTimeout):
        client.send("POST", "/", data=bytes(64 << 20))
    gate.set()


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_time_outs_that_make_no_sense_are_refused(value):
    with pytest.raises(UsageError, match="first_byte_s"):
        Timeouts(first_byte_s=value)


# Killing, closing, sharing.


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reused", [False, True])
def test_killing_a_waiting_user_closes_its_connection(scripted, reused, stream):
    closed, asked = Event(), Event()

    def script(peer, n):
        if reused and n == 0:
            peer.request()
            peer.send(OK)
        peer.request()
        if n == 0:
            asked.set()
            peer.wait_closed()
            closed.set()
        else:
            peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        if reused:
            client.send("GET", "/")
        user = gevent.spawn(client.send, "GET", "/", stream=stream)
        asked.wait()
        user.kill()
        assert isinstance(user.value, gevent.GreenletExit)
        assert closed.wait(5)
        assert not client.connected
        assert client.send("GET", "/").text == "ok"


def test_killing_at_any_moment_leaves_the_client_usable_and_nothing_open(scripted):
    server = scripted(answer_all)
    before = len(os.listdir("/dev/fd"))

    def user():
        with HttpClient(server.url) as client:
            while True:
                assert client.send("GET", "/").text == "ok"
                with client.send("GET", "/", stream=True) as response:
                    assert response.text == "ok"

    for rounds in range(40):
        users = [gevent.spawn(user) for _ in range(5)]
        for _ in range(rounds):
            gevent.sleep(0)
        gevent.killall(users)
        assert all(isinstance(one.value, gevent.GreenletExit) for one in users)
    until(lambda: len(os.listdir("/dev/fd")) <= before)


def test_a_gevent_timeout_around_a_request_works(scripted):
    server = scripted(lambda peer, _n: peer.request() and peer.wait_closed())
    client = HttpClient(server.url)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
        client.send("GET", "/")
    assert not client.connected


def test_dropping_a_client_closes_its_connection(scripted):
    closed = Event()

    def script(peer, _n):
        peer.request()
        peer.send(OK)
        peer.wait_closed()
        closed.set()

    client = HttpClient(scripted(script).url)
    client.send("GET", "/")
    assert not closed.is_set()
    del client
    gc.collect()
    assert closed.wait(5)


def test_a_client_can_be_used_after_close(scripted):
    client = HttpClient(scripted(answer_all).url)
    client.send("GET", "/")
    client.close()
    client.close()
    assert client.send("GET", "/").text == "ok"
    assert client.connects == 2
    client.close()


def test_greenlets_that_share_a_client_get_their_own_responses(scripted):
    def script(peer, _n):
        while request := peer.request():
            path = request.split()[1]
            gevent.sleep(0)
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(path), path))

    server = scripted(script)
    with HttpClient(server.url) as client:

        def user(n):
            return [client.send("GET", f"/{n}-{i}").text for i in range(20)]

        users = [gevent.spawn(user, n) for n in range(5)]
        gevent.joinall(users, raise_error=True)
        for n, one in enumerate(users):
            assert one.value == [f"/{n}-{i}" for i in range(20)]
        until(lambda: server.open == 1)  # what more greenlets needed is closed again
    until(lambda: server.open == 0)


def test_no_request_leaves_work_for_the_garbage_collector(scripted):
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"

    def script(peer, _n):
        for wire in (OK, chunked, OK, chunked, b"nonsense\r\n\r\n"):
            peer.request()
            peer.send(wire)

    def errors(client, n):
        count = 0
        for _ in range(n):
            for stream in (False, True):
                try:
                    assert client.send("GET", "/", stream=stream).content
                except MalformedResponse:
                    count += 1
        return count

    def is_ours(one):
        # Of some types of C's the module is a descriptor.
        code = one.f_code.co_filename if isinstance(one, FrameType) else str(type(one).__module__)
        return "loadgen" in code and "tests" not in code

    with HttpClient(scripted(script).url) as client:
        errors(client, 5)
        gc.collect()
        gc.disable()
        # What others in this process leave behind, servers and earlier tests, is not counted: what
        # they still have of ours is kept until after the count.
        kept = [one for one in gc.get_objects() if is_ours(one)]
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            assert errors(client, 10) == 4
            client.close()
            gc.collect()
            unreachable = [repr(one) for one in gc.garbage if is_ours(one)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert kept
    assert unreachable == []


# Bodies in pieces.


def test_an_iterator_that_fails_closes_the_connection_and_says_why(scripted):
    closed = Event()

    def script(peer, n):
        if n == 0:
            peer.wait_closed()
            closed.set()
        else:
            answer_all(peer, n)

    def pieces():
        yield b"one"
        raise RuntimeError("no more")

    with HttpClient(scripted(script).url) as client:
        with pytest.raises(RuntimeError, match="no more"):
            client.send("POST", "/", data=pieces())
        assert closed.wait(5)
        assert client.send("GET", "/").text == "ok"


def test_a_slow_iterator_is_sent_as_it_yields(scripted):
    seen = []
    first_piece_came = Event()

    def script(peer, _n):
        data = b""
        for end in (b"one\r\n", b"0\r\n\r\n"):
            while not data.endswith(end):
                data += peer.sock.recv(65536)
            seen.append(data.partition(b"\r\n\r\n")[2])
            first_piece_came.set()
        peer.send(OK)

    def pieces():
        yield b"one"
        first_piece_came.wait()
        yield ""
        yield "zwölf"

    with HttpClient(scripted(script).url) as client:
        assert client.send("POST", "/", data=pieces()).text == "ok"
    assert seen == [b"3\r\none\r\n", b"3\r\none\r\n6\r\nzw\xc3\xb6lf\r\n0\r\n\r\n"]


@pytest.mark.parametrize("reused", [False, True])
def test_an_answer_before_the_body_is_sent_is_taken(scripted, reused):
    refusal = b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"

    def script(peer, n):
        if n == 0:
            if reused:
                peer.request()
                peer.send(OK)
            peer.sock.recv(1000)
            peer.send(refusal)
            peer.wait_closed()
        else:
            answer_all(peer, n)

    with HttpClient(scripted(script).url) as client:
        if reused:
            client.send("GET", "/")
        response = client.send("POST", "/", data=bytes(64 << 20))
        assert response.status_code == 413
        assert 0 < response.bytes_sent < 64 << 20
        assert client.send("GET", "/").text == "ok"
        assert client.connects == 2


# The rest.


@pytest.mark.parametrize(
    "name",
    "charset client client_config connection content_coding cookie_store dialer errors "
    "event_stream origin proxies redirects request_body request_head response response_head "
    "response_reader sweeper tls whole_response".split(),
)
def test_a_module_of_the_client_can_be_loaded_twice_as_locust_does(name):
    path = Path(loadgen.client.__file__).with_name(f"{name}.py")
    loader = importlib.machinery.SourceFileLoader(name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    assert module.__all__
    assert name not in sys.stdlib_module_names


def test_errors_tell_their_kind():
    kinds = {error.__name__: error.kind for error in _subclasses(ClientError)}
    timeouts = {name for name, kind in kinds.items() if kind == "timeout"}
    assert timeouts == {"RequestTimeout", "ConnectTimeout", "FirstByteTimeout", "TotalTimeout"}
    assert set(kinds.values()) == {"timeout", "connection_error"}


def _subclasses(kind):
    for sub in kind.__subclasses__():
        yield sub
        yield from _subclasses(sub)
