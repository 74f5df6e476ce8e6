import pytest

from loadgen.duration import parse_duration
from loadgen.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("1.5s", 1.5), ("250us", 250e-6), ("50ms", 0.05), ("2m", 120.0), ("1h", 3600.0)],
)
def test_a_duration_is_a_number_and_a_unit(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1", "nan", "inf", "1d", "1 minute", "5e", "1h30m"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(UsageError, match="expected a duration such as 90, 90s or 2m, got"):
        parse_duration(text)


def test_where_there_is_no_usual_unit_it_has_to_be_given():
    assert parse_duration("1s", unit=None) == 1.0
    with pytest.raises(UsageError, match=r"such as 50ms, 1.5s or 2m, got '50'"):
        parse_duration("50", unit=None)
