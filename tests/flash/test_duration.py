import pytest

from flash.duration import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90.0), ("1.5s", 1.5), ("250us", 250e-6), ("50ms", 0.05), ("2m", 120.0), ("1h", 3600.0)],
)
def test_a_duration_is_a_number_and_a_unit(text, seconds):
    assert seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1", "nan", "inf", "1d", "1 minute", "5e", "1h30m"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="expected a duration such as 90, 90s or 2m, got"):
        seconds_of(text)


def test_where_there_is_no_usual_unit_it_has_to_be_given():
    assert seconds_of("1s", unit=None) == 1.0
    with pytest.raises(ValueError, match=r"such as 50ms, 1.5s or 2m, got '50'"):
        seconds_of("50", unit=None)
