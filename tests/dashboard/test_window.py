import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.errors import BadQueryError
from dashboard.window import MOST_POINTS, STEPS, USUAL_POINTS, Window, window


def test_left_out_the_window_is_the_last_quarter_of_an_hour() -> None:
    assert window(None, None, None, now=10_001.7) == Window(9100, 10_000, 2)


def test_no_window_begins_before_the_beginning_of_time() -> None:
    assert window(None, 5.0, None, now=0) == Window(0, 5, 1)


def test_a_window_is_aligned_outwards_and_tells_its_step() -> None:
    assert window(1003, 1099, 7, now=0) == Window(1000, 1100, 10)


def test_a_step_finer_than_what_is_kept_is_widened() -> None:
    finest = {1: 5000, 10: 0}
    assert window(4000, 4100, 1, now=0, finest=finest).step == 10
    assert window(5000, 5100, 1, now=0, finest=finest).step == 1


@given(st.floats(0, 2**32), st.floats(0.001, 3e7), st.one_of(st.none(), st.floats(0.001, 1e6)))
def test_every_window_holds_what_was_asked_for_and_no_more_than_a_step_besides(
    start: float, length: float, step: float | None
) -> None:
    end = start + length
    if end <= start:
        return
    found = window(start, end, step, now=0)
    assert found.start <= start < found.start + found.step
    assert found.end - found.step < end <= found.end
    assert found.start % found.step == found.end % found.step == 0
    assert found.step in STEPS
    assert found.steps <= (USUAL_POINTS if step is None else MOST_POINTS) + 2


@pytest.mark.parametrize(
    ("start", "end", "step", "where"),
    [
        (10.0, 5.0, None, "end"),
        (10.0, 10.0, None, "end"),
        (-1.0, 10.0, None, "start"),
        (float("nan"), 10.0, None, "start"),
        (0.0, float("inf"), None, "end"),
        (0.0, 10.0, 0.0, "step"),
        (0.0, 10.0, -5.0, "step"),
        (None, 0.0, None, "end"),
        (0.0, 1e10, None, "end"),
        (0.0, 8e9, 1.0, "start"),
    ],
)
def test_what_is_no_window_is_refused_by_name(
    start: float | None, end: float, step: float | None, where: str
) -> None:
    with pytest.raises(BadQueryError) as refused:
        window(start, end, step, now=0)
    assert refused.value.where == where
