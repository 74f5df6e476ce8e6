"""Whether the generator was the limit: how busy its processes were for a while."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.summary import highest_mean

NAN = float("nan")


@pytest.mark.parametrize(
    ("rows", "steps", "expected"),
    [
        ([], 10, NAN),
        ([[NAN, NAN]], 10, NAN),
        ([[1.0, 0.0, 0.0, 0.0]], 4, 0.25),
        # The start of a process is busy, and says nothing of the load.
        ([[NAN, 1.0, 1.0] + [0.1] * 20], 10, 0.28),
        # It was at its limit for a while, though not over all of the window.
        ([[0.1] * 30 + [0.95] * 10 + [0.1] * 30], 10, 0.95),
        # Of a process that lived shortly there is no more than that.
        ([[NAN, 0.5, 0.7, NAN]], 10, 0.6),
        ([[0.2] * 12, [0.4] * 12], 10, 0.4),
        ([[0.2, 0.9, 0.3]], 1, 0.9),
    ],
)
def test_the_highest_mean_is_that_of_the_busiest_span(rows, steps, expected):
    values = np.array(rows, dtype=float).reshape(len(rows), len(rows[0]) if rows else 0)
    assert highest_mean(values, steps) == pytest.approx(expected, nan_ok=True)


@given(
    st.lists(st.floats(0, 1) | st.just(NAN), min_size=1, max_size=40),
    st.integers(1, 12),
)
def test_it_is_that_of_the_spans_one_by_one(row, steps):
    known = [value for value in row if value == value]
    spans = [known[at : at + steps] for at in range(max(1, len(known) - steps + 1))]
    expected = max((sum(span) / len(span) for span in spans if span), default=NAN)
    assert highest_mean(np.array([row]), steps) == pytest.approx(expected, abs=1e-12, nan_ok=True)
