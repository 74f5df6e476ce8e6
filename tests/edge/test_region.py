"""What is common to a region's connections: remembered heads, credentials, faults."""

import random

import pytest

from flash.edge.faults import Faults
from flash.edge.region import RegionalProxy
from flash.edge.request_head import RequestError, parse_request


class NoTimers:
    def call_after(self, delay_s, callback) -> None:
        raise AssertionError("no timer is needed here")

    def close(self) -> None:
        pass


def region(**options) -> RegionalProxy:
    return RegionalProxy("here", None, NoTimers(), **options)


def head(*lines: str) -> bytes:
    return "\r\n".join(("GET / HTTP/1.1", "Host: h", *lines, "", "")).encode("latin-1")


def whole(proxy: RegionalProxy, data: bytes) -> tuple[str | None, set[bytes]]:
    """The session, and the lines that go on."""
    request, session, line = proxy.parse(data)
    return session, set((request.forward + b"1.2.3.4\r\n" + line).split(b"\r\n"))


HEADS = [
    [],
    ["Modal-Session-ID: one"],
    ["A: b", "modal-session-id: one-and-two", "C: d"],
    ["MODAL-session-id:   spaced  "],
    ["Modal-Session-ID: with blank"],
    ["Modal-Session-ID: trailing "],
    ["Modal-Session-ID: \xe9"],
    ["Modal-Session-ID: "],
    ["Modal-Session-ID: one", "Modal-Session-ID: two"],
    ["modal-session-id: one", "Modal-Session-ID: two"],
    ["X: Modal-Session-ID: no"],
    ["Modal-Session-ID: two"],
    ["A: b", "modal-session-id: 3", "C: d"],
    ["A: b", "modal-session-id: 4"],
]
BAD = [["Modal-Session-ID: t\x7fo"], ["Modal-Session-ID: one", "A : b"]]


@pytest.mark.parametrize("lines", HEADS)
def test_a_remembered_head_is_taken_as_one_taken_apart(lines) -> None:
    request = parse_request(head(*lines))
    expected = set((request.forward + b"1.2.3.4\r\n").split(b"\r\n"))
    proxy = region()
    for _ in range(2):
        session, forwarded = whole(proxy, head(*lines))
        assert session == request.session
        assert forwarded == expected


def taken(proxy: RegionalProxy, data: bytes) -> object:
    try:
        return whole(proxy, data)
    except RequestError as error:
        return error.status


@pytest.mark.parametrize("first", HEADS + BAD)
def test_no_head_is_taken_for_another_one_before_it(first) -> None:
    for then in HEADS + BAD:
        proxy = region()
        taken(proxy, head(*first))
        assert taken(proxy, head(*then)) == taken(region(), head(*then))


def test_a_bad_head_is_refused_each_time() -> None:
    proxy = region()
    for _ in range(2):
        with pytest.raises(RequestError):
            proxy.parse(head("Modal-Session-ID: one", "A : b"))
        with pytest.raises(RequestError):
            proxy.parse(head("Modal-Session-ID: a\x01b"))


def test_many_different_heads_are_all_taken_right() -> None:
    proxy = region()
    for n in range(5000):
        request, _, _ = proxy.parse(head(f"X-N: {n}"))
        assert b"X-N: %d\r\n" % n in request.forward


def test_without_tokens_nobody_is_refused() -> None:
    assert not region().guarded
    assert region().refusal(parse_request(head())) == 0


def test_latency_as_a_fault_adds_to_the_round_trip() -> None:
    proxy = region(rtt_s=0.1)
    assert proxy.half_trip_s == 0.05
    proxy.faults = Faults(latency_s=0.2)
    assert proxy.half_trip_s == pytest.approx(0.15)
    proxy.faults = Faults()
    assert proxy.half_trip_s == 0.05
    assert not proxy.faulty


def test_so_many_requests_are_refused_and_no_more() -> None:
    proxy = region()
    proxy.faults = Faults(refuse_next=2)
    assert proxy.faulty
    assert [proxy.fault(), proxy.fault()] == [503, 503]
    assert not proxy.faulty


@pytest.mark.parametrize(("name", "code"), [("refuse_share", 503), ("reset_share", 0)])
def test_a_share_of_requests_meets_its_fault(name, code) -> None:
    proxy = region(rng=random.Random(7))
    proxy.faults = Faults(**{name: 0.25})
    met = [proxy.fault() for _ in range(4000)]
    assert set(met) == {None, code}
    assert 900 < met.count(code) < 1100
