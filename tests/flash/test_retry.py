"""Waits after refusals: bounded, spread out, and as the server asks."""

from email.utils import formatdate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.retry import delay_s, parse_retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


class Always:
    def __init__(self, value: float) -> None:
        self.value = value

    def random(self) -> float:
        return self.value


@pytest.mark.parametrize(
    ("attempt", "longest"), [(0, 0.1), (1, 0.2), (2, 0.4), (4, 1.6), (5, 2.0), (1000, 2.0)]
)
def test_the_longest_wait_doubles_up_to_the_cap(attempt: int, longest: float) -> None:
    assert delay_s(attempt, rng=Always(0.0)) == pytest.approx(longest / 2)
    assert delay_s(attempt, rng=Always(1.0)) == pytest.approx(longest)


@given(st.integers(0, 10_000), st.integers(0, 2**32), st.floats(0.001, 10), st.floats(1, 100))
def test_a_wait_is_never_zero_and_never_above_the_cap(attempt, seed, base, factor) -> None:
    wait = delay_s(attempt, rng=Random(seed), base_s=base, cap_s=base * factor)
    assert base / 2 <= wait <= base * factor


def test_waits_of_many_clients_are_spread_over_the_upper_half() -> None:
    rng = Random(1)
    waits = [delay_s(5, rng=rng) for _ in range(2000)]
    assert sum(waits) / len(waits) == pytest.approx(1.5, rel=0.02)
    assert min(waits) < 1.01
    assert max(waits) > 1.99


@pytest.mark.parametrize(
    ("attempt", "base", "cap"), [(-1, 0.1, 2.0), (0, 0.0, 2.0), (0, -1.0, 2.0), (0, 3.0, 2.0)]
)
def test_settings_without_a_meaning_are_refused(attempt, base, cap) -> None:
    with pytest.raises(ValueError, match=r"expected 0 < base_s|count from 0"):
        delay_s(attempt, rng=Always(0.5), base_s=base, cap_s=cap)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 40, 1e10),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),
        ("Sun, 06 Nov 1994 08:48:37 GMT", 0.0),
        ("Sunday, 06-Nov-94 08:49:57 GMT", 20.0),
        ("Sun Nov  6 08:49:47 1994", 10.0),
    ],
)
def test_both_forms_of_retry_after_are_understood(value: str, seconds: float) -> None:
    assert parse_retry_after(value, now_unix=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-1",
        "1.5",
        "+1",
        "٣",
        "1 2",
        "Sun, 99 Nov 1994",
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Xyz 1994 08:49:37 GMT",
        "Nov 6 1994 10:00 x",
        "1994-11-06T08:49:37Z",
    ],
)
def test_what_is_malformed_asks_for_nothing(value: str) -> None:
    assert parse_retry_after(value, now_unix=NOW) is None


@given(st.text())
def test_no_header_value_is_an_error(value: str) -> None:
    seconds = parse_retry_after(value, now_unix=NOW)
    assert seconds is None or seconds >= 0


@given(st.from_regex(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT"))
def test_no_date_is_an_error_whatever_its_numbers(value: str) -> None:
    seconds = parse_retry_after(value, now_unix=NOW)
    assert seconds is None or seconds >= 0


@given(st.integers(0, 2**33))
def test_a_date_asks_for_the_time_that_is_left_until_then(moment: int) -> None:
    date = formatdate(moment, usegmt=True)
    assert parse_retry_after(date, now_unix=NOW) == max(0.0, moment - NOW)
