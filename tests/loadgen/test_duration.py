import pytest

from loadgen.duration import parse_duration
from loadgen.errors import UsageError


def test_a_duration_of_an_option_is_read():
    assert parse_duration("2m") == 120.0
    assert parse_duration("250us", unit=None) == pytest.approx(250e-6)


def test_what_is_no_duration_is_a_mistake_of_usage():
    with pytest.raises(UsageError, match="expected a duration such as 90, 90s or 2m, got 'nan'"):
        parse_duration("nan")
    with pytest.raises(UsageError, match=r"such as 50ms, 1.5s or 2m, got '50'"):
        parse_duration("50", unit=None)
