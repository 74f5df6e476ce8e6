import pytest

from dashboard.objectives import Objective, objectives_of


def test_objectives_of_a_run_are_lines_of_their_panels() -> None:
    text = "p99<50ms, response_time.p95 <= 1.5s,p99.9<800us"
    assert objectives_of({"objective": text, "target": "x"}) == [
        Objective(panel="latency", quantile=0.99, limit_s=pytest.approx(0.05), text="p99<50ms"),
        Objective(
            panel="response_time", quantile=0.95, limit_s=1.5, text="response_time.p95<=1.5s"
        ),
        Objective(panel="latency", quantile=0.999, limit_s=pytest.approx(8e-4), text="p99.9<800us"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "errors<0.1%",
        "share_503<1%",
        "p99>50ms",
        "p99<50",
        "mars.p99<1s",
        "time_to_first_byte.p99<1s",
        "p101<1s",
        "p99<<1s",
    ],
)
def test_what_no_chart_shows_has_no_line(text: str) -> None:
    assert objectives_of({"objective": text}) == []
    assert objectives_of({}) == []
