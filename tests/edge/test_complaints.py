"""Which lines the log gets of what goes wrong again and again, with a clock the test turns."""

from collections.abc import Callable

import pytest

from flash.edge.complaints import Complaints


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[tuple[float, str]] = []
        self.calls: list[tuple[float, Callable[[], None]]] = []
        self.complaints = Complaints(
            lambda line: self.lines.append((self.now, line)),
            lambda after_s, call: self.calls.append((self.now + after_s, call)),
        )

    def turn_to(self, now: float) -> None:
        while due := [call for call in self.calls if call[0] <= now]:
            call = min(due, key=lambda one: one[0])
            self.calls.remove(call)
            self.now = call[0]
            call[1]()
        self.now = now


@pytest.fixture
def world() -> World:
    return World()


def test_a_complaint_is_told_soon_and_once(world) -> None:
    world.complaints.add("container a", "broke off")
    assert world.lines == []
    world.turn_to(60)
    assert world.lines == [(0.25, "container a broke off")]
    assert world.calls == []


def test_a_flood_of_them_is_a_line_every_ten_seconds(world) -> None:
    for tenth in range(250):
        world.turn_to(tenth / 10)
        world.complaints.add("container a", "broke off")
    world.turn_to(60)
    assert [at for at, _ in world.lines] == [0.25, 10.25, 20.25, 30.25]
    told = [line.removeprefix("container a broke off") for _, line in world.lines]
    assert told == [" (3 times)", " (100 times)", " (100 times)", " (47 times)"]


def test_kinds_are_told_apart_and_so_are_those_they_are_about(world) -> None:
    for subject, what in [("a", "stops"), ("a", "lies"), ("b", "stops"), ("a", "stops")]:
        world.complaints.add(subject, what)
    world.turn_to(1)
    assert [line for _, line in world.lines] == ["a stops (2 times)", "a lies", "b stops"]


def test_nobody_who_is_gone_is_complained_of(world) -> None:
    world.complaints.add("a", "stops")
    world.complaints.add("b", "stops")
    world.complaints.forget("a")
    world.turn_to(60)
    assert world.lines == [(0.25, "b stops")]


def test_one_who_comes_back_is_told_of_anew(world) -> None:
    world.complaints.add("a", "stops")
    world.complaints.forget("a")
    world.complaints.add("a", "stops")
    world.turn_to(60)
    assert world.lines == [(0.25, "a stops")]


def test_kinds_are_bounded(world) -> None:
    for number in range(5000):
        world.complaints.add(f"container {number}", "stops")
    world.turn_to(1)
    assert len(world.lines) == 1024
    world.turn_to(60)
    world.complaints.add("another", "stops")
    world.turn_to(70)
    assert world.lines[-1][1] == "another stops"
