import pytest

from loadgen.server_timing import server_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("app;dur=12.5", 0.0125),
        ("app;dur=0", 0.0),
        ("app; dur=12", 0.012),
        ("app ; dur = 12", 0.012),
        ('app;dur="12.5"', 0.0125),
        ("db;dur=3, app;dur=12.5", 0.0125),
        ("app;dur=12.5, db;dur=3", 0.0125),
        ('app;desc="main";dur=12.5', 0.0125),
        ('app;dur=12.5;desc="main"', 0.0125),
    ],
)
def test_the_duration_of_the_metric_app_is_read(header, seconds):
    assert server_s(header) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "app",
        "db;dur=3",
        "application;dur=3",
        "myapp;dur=3",
        "app;dur=x",
        "app;dur=-1",
        "app;dur=1.2.3",
        "app, db;dur=3",
        "app;dur=",
        "app;dur=" + "9" * 400,
        "app;dur=1." + "9" * 400,
    ],
)
def test_a_header_without_the_metric_or_its_duration_tells_nothing(header):
    assert server_s(header) is None
