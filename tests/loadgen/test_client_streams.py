"""Streamed responses: pieces, lines and events as they come, and what waits unread."""

import gc
from time import perf_counter

import gevent
import pytest
from gevent.event import Event

from loadgen.client import HttpClient
from loadgen.client_config import ClientConfig
from loadgen.errors import ConnectionLost, UsageError

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_pieces_are_there_as_soon_as_they_come(scripted):
    gate = Event()

    def script(peer, _n):
        peer.request()
        peer.send(CHUNKED)
        for piece in (b"one", b"two", b"three"):
            peer.send(chunk(piece))
            gate.wait()
            gate.clear()
        peer.send(b"0\r\n\r\n")
        peer.request()
        peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        response = client.send("GET", "/", stream=True)
        pieces = []
        for piece in response.iter_content():
            assert response.total_s is None
            pieces.append(piece)
            gate.set()
        assert pieces == [b"one", b"two", b"three"]
        assert len(response.event_times) == 3
        assert response.ttfb_s <= response.event_times[0] < response.event_times[1]
        assert response.total_s >= response.event_times[2] > response.event_times[1]
        assert client.send("GET", "/").from_reused_connection


def test_events_carry_the_time_they_came(scripted):
    sent = []
    gate = Event()

    def script(peer, _n):
        peer.request()
        peer.send(CHUNKED)
        for n in range(3):
            sent.append(perf_counter())
            event = b"event: tick\nid: %d\ndata: a\ndata: b\n\n" % n
            peer.send(chunk(event[:9]))
            peer.send(chunk(event[9:]))
            gate.wait()
            gate.clear()
        peer.send(b"0\r\n\r\n")

    with HttpClient(scripted(script).url).send("GET", "/", stream=True) as response:
        seen = []
        for event in response.iter_events():
            seen.append((event, perf_counter()))
            gate.set()
    assert [(e.event, e.data, e.id) for e, _ in seen] == [
        ("tick", "a\nb", str(n)) for n in range(3)
    ]
    for (event, at), sent_at, relative in zip(seen, sent, response.event_times, strict=True):
        assert sent_at < event.received < at
        assert relative == event.received - response.started


def test_lines_are_text_in_the_response_s_charset(scripted):
    def script(peer, _n):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-16-le\r\n\r\n")
        peer.send_bytewise("a\r\nbé\rc\n\nd".encode("utf-16-le"))

    response = HttpClient(scripted(script).url).send("GET", "/", stream=True)
    assert list(response.iter_lines()) == ["a", "bé", "c", "", "d"]


@pytest.mark.parametrize("charset", ["idna", "hex", "undefined", "no-such", "utf-16"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_charset_that_is_none_does_not_end_the_user(scripted, charset, stream):
    text = "a\nb" if charset != "utf-16" else "a\nb".encode("utf-16-le").decode()

    def script(peer, _n):
        head = f"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset={charset}\r\n\r\n"
        peer.request()
        peer.send(head.encode() + text.encode())

    with HttpClient(scripted(script).url) as client:
        assert client.send("GET", "/", stream=stream).text == "a\nb"
        assert list(client.send("GET", "/", stream=stream).iter_lines()) == ["a", "b"]


def test_pieces_can_have_a_given_size(scripted):
    def script(peer, _n):
        for _ in range(2):
            peer.request()
            peer.send(CHUNKED + chunk(b"abc") + chunk(b"defgh") + b"0\r\n\r\n")

    with HttpClient(scripted(script).url) as client:
        for stream in (True, False):
            response = client.send("GET", "/", stream=stream)
            assert list(response.iter_content(3)) == [b"abc", b"def", b"gh"]
        with pytest.raises(UsageError, match="chunk_size"):
            list(response.iter_content(0))


def test_small_pieces_of_a_large_body_take_no_time(scripted):
    body = bytes(range(256)) * (4 << 12)

    def script(peer, _n):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    with HttpClient(scripted(script).url).send("GET", "/") as response:
        # Four megabytes, copied anew for each of these pieces, would be half a million megabytes.
        assert sum(map(len, response.iter_content(16))) == len(body)
        assert b"".join(response.iter_content(100_000)) == body


def test_a_body_that_was_iterated_cannot_be_read_again(scripted):
    def script(peer, _n):
        while peer.request():
            peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        response = client.send("GET", "/", stream=True)
        assert list(response.iter_content()) == [b"ok"]
        with pytest.raises(UsageError, match="already read"):
            response.content  # noqa: B018 # reads on access
        response = client.send("GET", "/", stream=True)
        assert (response.content, response.content) == (b"ok", b"ok")


@pytest.mark.parametrize("way", ["close", "drop"])
def test_a_stream_given_up_closes_its_connection(scripted, way):
    closed = Event()

    def script(peer, n):
        peer.request()
        if n == 0:
            peer.send(CHUNKED + chunk(b"endless"))
            peer.wait_closed()
            closed.set()
        else:
            peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        response = client.send("GET", "/", stream=True)
        if way == "close":
            response.close()
        del response
        gc.collect()
        assert closed.wait(5)
        assert client.send("GET", "/").text == "ok"


def test_a_stream_closed_when_all_of_it_has_come_keeps_its_connection(scripted):
    def script(peer, _n):
        while peer.request():
            peer.send(OK)

    with HttpClient(scripted(script).url) as client:
        for _ in range(3):
            client.send("GET", "/", stream=True).close()
        assert client.send("GET", "/").text == "ok"
        assert client.connects == 1


def test_other_requests_are_possible_while_a_stream_is_open(scripted):
    def script(peer, n):
        peer.request()
        peer.send(CHUNKED + chunk(b"first") if n == 0 else OK)
        gate.wait()
        peer.send(chunk(b"last") + b"0\r\n\r\n" if n == 0 else b"")
        peer.wait_closed()

    gate = Event()
    with HttpClient(scripted(script).url) as client:
        stream = client.send("GET", "/", stream=True)
        assert client.send("GET", "/").text == "ok"
        gate.set()
        assert stream.content == b"firstlast"
        assert client.connects == 2
        assert client.connected


def test_what_came_before_a_failure_is_handed_out_first(scripted):
    def script(peer, _n):
        peer.request()
        peer.send(CHUNKED + chunk(b"half"))

    response = HttpClient(scripted(script).url).send("GET", "/", stream=True)
    pieces = response.iter_content()
    assert next(pieces) == b"half"
    with pytest.raises(ConnectionLost) as caught:
        next(pieces)
    assert caught.value.started == response.started
    assert caught.value.elapsed_s >= response.ttfb_s
    assert response.total_s is None


@pytest.mark.parametrize("chunked", [True, False])
def test_a_reader_that_falls_behind_holds_up_the_server_not_the_memory(scripted, chunked):
    sent = 0
    piece = bytes(range(256)) * 256

    def script(peer, _n):
        nonlocal sent
        peer.request()
        peer.send(CHUNKED if chunked else b"HTTP/1.1 200 OK\r\ncontent-length: 33554432\r\n\r\n")
        for _ in range(512):
            peer.send(chunk(piece) if chunked else piece)
            sent += 1
        peer.send(b"0\r\n\r\n" if chunked else b"")
        peer.request()
        peer.send(OK)

    config = ClientConfig(stream_buffer_bytes=64 * 1024)
    with HttpClient(scripted(script).url, config=config) as client:
        response = client.send("GET", "/", stream=True)
        last = -1
        while sent != last:  # until the server is stuck
            last = sent
            for _ in range(20):
                gevent.idle()
        assert sent < 400
        size = 0
        for part in response.iter_content(len(piece)):
            assert part == piece
            size += len(part)
        assert (size, sent) == (512 * len(piece), 512)
        assert client.send("GET", "/").text == "ok"
        assert client.connects == 1


def test_a_stream_can_be_killed_while_it_waits(scripted):
    closed = Event()

    def script(peer, _n):
        peer.request()
        peer.send(CHUNKED + chunk(b"one"))
        peer.wait_closed()
        closed.set()

    client = HttpClient(scripted(script).url)
    first = Event()

    def user():
        with client.send("GET", "/", stream=True) as response:
            for _ in response.iter_content():
                first.set()

    greenlet = gevent.spawn(user)
    assert first.wait(5)
    greenlet.kill()
    assert isinstance(greenlet.value, gevent.GreenletExit)
    assert closed.wait(5)
    assert not client.connected


def test_a_stream_that_was_interrupted_does_not_hang_when_read_on(scripted):
    def script(peer, _n):
        peer.request()
        peer.send(CHUNKED + chunk(b"one"))
        peer.wait_closed()

    response = HttpClient(scripted(script).url).send("GET", "/", stream=True)
    pieces = response._pieces([])
    assert next(pieces)[0] == b"one"
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
        next(pieces)
    with pytest.raises(ConnectionLost, match="closed before the response's end"):
        response.rare.stream.next_piece()


def test_closing_a_stream_from_elsewhere_wakes_its_reader(scripted):
    def script(peer, _n):
        peer.request()
        peer.send(CHUNKED)
        peer.wait_closed()

    response = HttpClient(scripted(script).url).send("GET", "/", stream=True)
    reader = gevent.spawn(lambda: response.content)
    gevent.idle()
    response.close()
    reader.join(5)
    assert isinstance(reader.exception, ConnectionLost)
