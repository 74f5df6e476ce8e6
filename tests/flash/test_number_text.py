import pytest

from flash.number_text import milliseconds, percent, rate_text, seconds_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.001234, "1.23"),
        (0.00999, "9.99"),
        (0.009996, "10.0"),
        (0.0776, "77.6"),
        (0.0996, "99.6"),
        (0.09996, "100"),
        (2.5, "2500"),
        (128.0, ">128000"),
    ],
)
def test_milliseconds_have_three_figures(seconds, text):
    assert milliseconds(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (1.239, "1.24"), (12.34, "12.3"), (128.0, ">128")]
)
def test_seconds_above_the_last_bound_say_so(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "-"), (0.0, "0.0%"), (0.5, "50.0%"), (0.9999, "99.9%"), (1, "100.0%")],
)
def test_only_all_is_a_hundred_per_cent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("per_s", "text"), [(None, "-"), (0.04, "0.0"), (999.9, "999.9"), (1e4, "10000")]
)
def test_rates_have_a_tenth_below_a_thousand(per_s, text):
    assert rate_text(per_s) == text
