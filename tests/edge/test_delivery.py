"""What is handed on when, with a clock that only the test turns."""

import tracemalloc
from collections.abc import Callable

import pytest

from flash.edge import delivery
from flash.edge.delivery import Delivery


class World:
    """Time, timers, and a transport that notes what it is given and when."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, Callable[[], None]]] = []
        self.written: list[tuple[float, bytes]] = []
        self.closing = False
        self.drained = 0

    def call_after(self, delay_s: float, callback: Callable[[], None]) -> None:
        self.calls.append((self.now + delay_s, callback))

    def close(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written.append((round(self.now, 6), data))

    def is_closing(self) -> bool:
        return self.closing

    def has_drained(self) -> None:
        self.drained += 1

    def turn_to(self, now: float, *, late_s: float = 0.0) -> None:
        while due := [call for call in self.calls if call[0] <= now]:
            call = min(due, key=lambda one: one[0])
            self.calls.remove(call)
            self.now = max(self.now, call[0] + late_s)
            call[1]()
        self.now = max(self.now, now)


@pytest.fixture
def world(monkeypatch) -> World:
    made = World()
    monkeypatch.setattr(delivery, "perf_counter", lambda: made.now)
    return made


def deliver(world: World, **options: float) -> Delivery:
    return Delivery(world, world, world.has_drained, **options)


def test_everything_is_as_late_as_it_should_be_and_in_order(world) -> None:
    line = deliver(world, delay_s=0.1)
    ended = []
    line.write(b"a")
    world.turn_to(0.05)
    line.write(b"b")
    line.finish(lambda: ended.append(world.now))
    assert world.written == []
    world.turn_to(1.0)
    assert world.written == [(0.1, b"a"), (0.15, b"b")]
    assert ended == [pytest.approx(0.15)]


def test_it_tells_how_late_the_first_byte_went(world) -> None:
    line = deliver(world, delay_s=0.1)
    assert (line.started, line.late_s) == (False, 0.0)
    line.write(b"a")
    world.turn_to(0.2, late_s=0.003)
    assert line.started
    assert line.late_s == pytest.approx(0.003)


def test_a_rate_is_kept(world) -> None:
    line = deliver(world, delay_s=0.0, bytes_per_s=1000.0)
    ended = []
    line.write(bytes(100))
    line.write(bytes(50))
    line.finish(lambda: ended.append(world.now))
    world.turn_to(10.0)
    assert sum(len(data) for _, data in world.written) == 150
    assert max(len(data) for _, data in world.written) == 20
    assert ended == [pytest.approx(0.15)]
    for at, _ in world.written:
        sent = sum(len(data) for when, data in world.written if when < at)
        assert sent <= at * 1000 + 1e-3


def test_a_rate_below_a_byte_per_piece_still_ends(world) -> None:
    line = deliver(world, delay_s=0.0, bytes_per_s=10.0)
    line.write(bytes(3))
    world.turn_to(10.0)
    assert [at for at, _ in world.written] == [0.0, 0.1, 0.2]


def test_what_waits_at_a_slow_pace_takes_no_more_room_than_its_bytes(world) -> None:
    line = deliver(world, delay_s=0.0, bytes_per_s=1.0)
    data = bytes(range(256)) * 4096
    tracemalloc.start()
    try:
        line.write(data)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()
    world.turn_to(99.5)
    assert [at for at, _ in world.written] == [float(second) for second in range(100)]
    assert b"".join(piece for _, piece in world.written) == data[:100]


def test_it_says_when_it_is_full_and_when_no_more(world) -> None:
    line = deliver(world, delay_s=1.0)
    line.write(bytes(4 << 20))
    assert not line.full
    line.write(b"x")
    assert line.full
    world.turn_to(2.0)
    assert not line.full
    assert world.drained == 1


def test_nothing_is_handed_to_a_connection_that_closes(world) -> None:
    line = deliver(world, delay_s=0.1)
    ended = []
    line.write(b"a")
    line.finish(lambda: ended.append(1))
    world.closing = True
    world.turn_to(1.0)
    assert (world.written, ended) == ([], [])
