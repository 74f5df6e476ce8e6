import signal
from collections.abc import Iterator

import gevent
import pytest
from gevent.event import Event

from loadgen.interrupts import take_between_turns


@pytest.fixture(autouse=True)
def own_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_work_in_hand_is_done_and_its_greenlet_goes_on() -> None:
    take_between_turns()
    done = []

    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append("in hand")
        gevent.sleep(0)
        done.append("after it")

    worker = gevent.spawn(work)
    with pytest.raises(KeyboardInterrupt):
        Event().wait(10)
    assert done == ["in hand"]
    worker.join(10)
    assert done == ["in hand", "after it"]


def test_a_callback_of_the_hub_is_done_too() -> None:
    take_between_turns()
    done = []

    def callback() -> None:
        signal.raise_signal(signal.SIGINT)
        done.append(True)

    gevent.get_hub().loop.run_callback(callback)
    with pytest.raises(KeyboardInterrupt):
        Event().wait(10)
    assert done == [True]


def test_every_one_is_taken() -> None:
    take_between_turns()
    for _ in range(3):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            Event().wait(10)


def test_what_never_gives_way_is_stopped_by_the_second() -> None:
    take_between_turns()
    signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    gevent.sleep(0)  # the first was taken with it


def test_another_handler_is_left_alone() -> None:
    heard = []
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    take_between_turns()
    signal.raise_signal(signal.SIGINT)
    gevent.sleep(0)
    assert heard == [signal.SIGINT]
