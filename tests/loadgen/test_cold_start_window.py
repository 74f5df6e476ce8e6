from hypothesis import given
from hypothesis import strategies as st

from loadgen.cold_start_window import ColdStartWindow, Turn


class Windows:
    """A window and the durations that it recorded."""

    def __init__(self) -> None:
        self.ended: list[float] = []
        self.window = ColdStartWindow(self.ended.append)


def test_it_is_from_the_first_503_to_the_first_answer():
    windows = Windows()
    window = windows.window
    for at in (10.0, 10.5, 11.0):
        window.refused(at - 0.25, at)
    assert (window.opened, windows.ended) == (10.0, [])
    window.answered(12.5, 13.0)
    window.answered(12.0, 12.75)
    window.answered(13.0, 13.25)
    window.settle()
    assert (window.opened, windows.ended) == (None, [2.75])
    window.settle()
    assert windows.ended == [2.75]


def test_an_answer_to_what_was_sent_before_the_503_does_not_end_it():
    windows = Windows()
    windows.window.refused(1.0, 1.5)
    windows.window.answered(1.25, 2.0)
    windows.window.settle()
    assert (windows.window.opened, windows.ended) == (1.5, [])


def test_a_503_to_what_was_sent_before_the_answer_opens_none():
    windows = Windows()
    window = windows.window
    window.refused(1.0, 1.5)
    window.answered(2.0, 2.5)
    window.settle()
    window.refused(2.25, 2.75)
    assert window.opened is None
    window.refused(2.5, 3.0)
    assert window.opened == 3.0


def test_a_503_to_what_was_sent_after_an_answer_ends_one_and_opens_the_next():
    windows = Windows()
    window = windows.window
    window.refused(1.0, 1.5)
    window.answered(2.0, 2.5)
    window.refused(2.75, 3.0)
    assert (window.opened, windows.ended) == (3.0, [1.0])


def test_an_answer_without_a_503_is_nothing():
    windows = Windows()
    windows.window.answered(1.0, 2.0)
    windows.window.settle()
    assert (windows.window.opened, windows.ended, windows.window.take()) == (None, [], [])


def test_one_that_nobody_asks_about_any_more_is_not_recorded():
    windows = Windows()
    windows.window.refused(1.0, 1.5)
    windows.window.abandon()
    windows.window.answered(100.0, 101.0)
    windows.window.settle()
    assert (windows.window.opened, windows.ended) == (None, [])


def test_one_that_was_answered_at_the_very_end_is_recorded():
    windows = Windows()
    windows.window.refused(1.0, 1.5)
    windows.window.answered(2.0, 2.5)
    windows.window.abandon()
    assert windows.ended == [1.0]


def test_its_turns_are_taken_once():
    window = Windows().window
    window.refused(1.0, 1.5)
    window.answered(2.0, 2.5)
    window.settle()
    assert window.take() == [Turn(True, 1.0, 1.5), Turn(False, 2.0, 2.5)]
    assert window.take() == []


ATTEMPTS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 50), st.integers(0, 20), st.booleans()), max_size=40
)


def _windows_of(attempts) -> list[int]:
    """The same by its definition, when it is settled after every attempt."""
    opened, closed, found = None, -1, []
    for refused, sent, at in attempts:
        if refused and opened is None and sent >= closed:
            opened = at
        elif not refused and opened is not None and sent >= opened:
            found.append(at - opened)
            opened, closed = None, at
    return found


@given(ATTEMPTS)
def test_it_is_as_defined_whatever_the_attempts(drawn):
    attempts = [(refused, sent, sent + took) for refused, sent, took, _ in drawn]
    attempts.sort(key=lambda one: one[2])
    windows = Windows()
    for refused, sent, at in attempts:
        (windows.window.refused if refused else windows.window.answered)(sent, at)
        windows.window.settle()
    assert windows.ended == _windows_of(attempts)


@given(ATTEMPTS)
def test_whenever_it_is_settled_windows_follow_each_other_and_last_as_recorded(drawn):
    windows = Windows()
    for refused, sent, took, settled in sorted(drawn, key=lambda one: one[1] + one[2]):
        (windows.window.refused if refused else windows.window.answered)(sent, sent + took)
        if settled:
            windows.window.settle()
    windows.window.settle()
    turns = windows.window.take()
    assert [turn.opened for turn in turns] == [n % 2 == 0 for n in range(len(turns))]
    assert [turn.at for turn in turns] == sorted(turn.at for turn in turns)
    pairs = zip(turns[::2], turns[1::2], strict=False)
    assert windows.ended == [closed.at - opened.at for opened, closed in pairs]
