"""One connection by itself: what happens to it while somebody waits."""

from time import perf_counter

import gevent
import pytest
from gevent.event import Event

from loadgen.client_config import Timeouts
from loadgen.connection import open_connection
from loadgen.dialer import Dialer
from loadgen.errors import ConnectionLost, FirstByteTimeout
from loadgen.origin import split_url
from loadgen.sweeper import sweeper_of
from loadgen.whole_response import WholeResponseParser

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
REQUEST = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n"


@pytest.fixture
def connect(scripted):
    made = []

    def connect(script):
        dialer = Dialer(split_url(scripted(script).url)[0], None, None)
        connection = open_connection(
            dialer.dial(5),
            parser=WholeResponseParser(),
            max_head_bytes=4096,
            max_body_bytes=4096,
            stream_buffer_bytes=4096,
        )
        made.append(connection)
        return connection

    yield connect
    for connection in made:
        connection.close()


def test_an_exchange_tells_when_and_how_much(connect):
    def script(peer, _n):
        while peer.request():
            peer.send(OK)

    connection = connect(script)
    for _ in range(3):  # parsed by the reader, by llhttp, and recognized
        connection.exchange(REQUEST)
        assert connection.head.status == 200
        assert connection.raw[connection.offset :] == b"ok"
        assert (connection.bytes_sent, connection.bytes_received) == (len(REQUEST), len(OK))
        assert connection.started < connection.first_at == connection.last_at
    assert not connection.closed


@pytest.mark.parametrize("before", [0, 1])
def test_closing_it_from_elsewhere_wakes_who_waits_with_an_error(connect, before):
    def script(peer, _n):
        for _ in range(before):
            peer.request()
            peer.send(OK)
        peer.request()
        asked.set()
        peer.wait_closed()

    asked = Event()
    connection = connect(script)
    for _ in range(before):
        connection.exchange(REQUEST)
    waiting = gevent.spawn(connection.exchange, REQUEST)
    assert asked.wait(5)
    assert "busy" in repr(connection)
    connection.close()
    assert waiting.join(5) is None
    assert isinstance(waiting.exception, ConnectionLost)
    assert "closed by its own client" in str(waiting.exception)
    assert "closed" in repr(connection)


@pytest.mark.parametrize("kill_first", [True, False])
def test_killing_and_closing_at_once_is_safe(connect, kill_first):
    connection = connect(lambda peer, _n: peer.wait_closed())
    waiting = gevent.spawn(connection.exchange, REQUEST)
    gevent.idle()
    # Both only note for the hub what is to be done; the second meets a greenlet that is dead.
    if kill_first:
        waiting.kill(block=False)
        connection.close()
    else:
        connection.close()
        waiting.kill(block=False)
    gevent.idle()
    ended_by = waiting.value if kill_first else waiting.exception
    assert isinstance(ended_by, gevent.GreenletExit if kill_first else ConnectionLost)


def test_a_deadline_of_the_past_does_not_touch_the_idle(connect):
    def script(peer, _n):
        while peer.request():
            peer.send(OK)

    connection = connect(script)
    connection.use_timeouts(Timeouts(first_byte_s=0.001))
    connection.exchange(REQUEST)
    connection.expire(connection.deadline + 1)
    assert not connection.closed
    connection.use_timeouts(Timeouts())
    connection.exchange(REQUEST)
    assert connection.head.status == 200


def test_expiring_ends_the_exchange(connect):
    connection = connect(lambda peer, _n: peer.wait_closed())
    connection.use_timeouts(Timeouts(first_byte_s=100, total_s=200))
    waiting = gevent.spawn(connection.exchange, REQUEST)
    gevent.idle()
    assert connection.deadline == connection.started + 100
    gevent.get_hub().loop.run_callback(connection.expire, connection.deadline)
    waiting.join(5)
    assert isinstance(waiting.exception, FirstByteTimeout)
    assert connection.closed


def test_a_closed_connection_is_not_swept(connect):
    sweeper = sweeper_of(gevent.get_hub())
    before = len(sweeper)
    connection = connect(lambda peer, _n: peer.wait_closed())
    assert len(sweeper) == before + 1
    connection.close()
    connection.close()
    assert len(sweeper) == before


def test_what_has_come_is_read_before_timers_that_are_due(connect):
    order = []
    timers = []

    def script(peer, _n):
        for _ in range(2):
            peer.request()
            timers.append(gevent.get_hub().loop.timer(0.001))
            timers[-1].start(order.append, "timer")
            peer.send(OK)
            due = perf_counter() + 0.005
            while perf_counter() < due:
                pass  # the loop learns of both in one turn
        peer.wait_closed()

    connection = connect(script)
    for _ in range(2):
        connection.exchange(REQUEST)
        order.append("response")
        while len(order) % 2:
            gevent.idle()
    assert order == ["response", "timer"] * 2
