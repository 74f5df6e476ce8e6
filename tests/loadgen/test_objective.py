import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.buckets import BUCKETS, bucket_of, quantile
from loadgen.errors import UsageError
from loadgen.objective import Objective, parse_objectives
from loadgen.region_figures import RegionFigures


def figures(*, latencies=(), response_times=(), requests=0, ok=0, attempts=0, responses_503=0):
    def counted(seconds):
        counts = [0] * BUCKETS
        for second in seconds:
            counts[bucket_of(second)] += 1
        return tuple(counts)

    return RegionFigures(
        requests=requests,
        ok=ok,
        attempts=attempts,
        responses_503=responses_503,
        latency=counted(latencies),
        response_time=counted(response_times),
        schedule_lag=counted(()),
    )


@pytest.mark.parametrize(
    ("text", "figure", "quantile", "bound", "inclusive"),
    [
        ("p99<50ms", "latency", 0.99, 0.05, False),
        ("p99.9<=2s", "latency", 0.999, 2.0, True),
        (" p50 < 250us ", "latency", 0.5, 250e-6, False),
        ("p90<1m", "latency", 0.9, 60.0, False),
        ("response_time.p95<=1.5s", "response_time", 0.95, 1.5, True),
        ("errors<0.1%", "errors", None, 0.001, False),
        ("errors<=0%", "errors", None, 0.0, True),
        ("share_503<1%", "share_503", None, 0.01, False),
    ],
)
def test_an_objective_is_a_figure_and_its_bound(text, figure, quantile, bound, inclusive):
    objective = Objective.parse(text)
    assert (objective.figure, objective.inclusive) == (figure, inclusive)
    assert objective.quantile == (None if quantile is None else pytest.approx(quantile))
    assert objective.bound == pytest.approx(bound)
    assert str(objective) == text.strip()
    assert Objective.parse(str(objective)) == objective


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected objectives such as p99<50ms"),
        ("p99", "expected objectives such as p99<50ms"),
        ("p99>50ms", "expected objectives such as p99<50ms"),
        ("p0<1s", "expected objectives such as"),
        ("p101<1s", "expected objectives such as"),
        ("mean<1s", "expected objectives such as"),
        ("p99<50", "expected a duration such as 50ms, 1.5s or 2m, got '50'"),
        ("p99<0.1%", "expected a duration such as 50ms"),
        ("errors<0.1", "expected a share from 0% to 100%, such as 0.1%, got '0.1'"),
        ("errors<5ms", "expected a share from 0% to 100%"),
        ("errors<101%", "expected a share from 0% to 100%"),
        ("p99<50ms,,errors<1%", "expected objectives such as"),
        ("p99<50ms,p99<=60ms", "expected one bound for each figure, got several for p99"),
    ],
)
def test_what_is_no_objective_is_refused(text, told):
    with pytest.raises(UsageError) as refused:
        parse_objectives(text)
    assert str(refused.value).startswith(told)


def test_several_stand_between_commas():
    names = [objective.name for objective in parse_objectives("p99<50ms, errors<0.1%,p50<=9ms")]
    assert names == ["p99", "errors", "p50"]


def test_figures_are_those_of_the_histograms_and_counts():
    made = figures(
        latencies=[n / 1000 for n in range(1, 101)],
        response_times=[n / 100 for n in range(1, 101)],
        requests=200,
        ok=197,
        attempts=250,
        responses_503=50,
    )
    for text, value in (
        ("p90<1s", quantile(made.latency, 0.9)),
        ("response_time.p99<1s", quantile(made.response_time, 0.99)),
        ("errors<1%", 0.015),
        ("share_503<1%", 0.2),
    ):
        assert Objective.parse(text).measure(made) == pytest.approx(value)
    assert Objective.parse("p90<1s").measure(made) == pytest.approx(0.09, rel=0.045)


@pytest.mark.parametrize("text", ["p99<1s", "response_time.p50<1s", "errors<=100%", "share_503<1%"])
def test_no_data_is_no_figure_and_holds_nothing(text):
    objective = Objective.parse(text)
    assert objective.measure(figures()) is None
    assert not objective.is_held_by(None)


def test_what_is_beyond_the_last_bucket_holds_no_bound():
    objective = Objective.parse("p50<1h")
    assert not objective.is_held_by(objective.measure(figures(latencies=[500.0])))
    assert objective.is_held_by(objective.measure(figures(latencies=[100.0])))


@given(st.floats(0, 10), st.floats(0.001, 10), st.booleans())
def test_a_figure_is_held_below_its_bound_and_at_it_if_that_is_included(value, bound, inclusive):
    objective = Objective("p99", "latency", 0.99, bound, inclusive, "")
    assert objective.is_held_by(value) == (value <= bound if inclusive else value < bound)


def test_figures_of_a_time_are_what_has_grown_in_it():
    before = figures(latencies=[0.1], requests=1, ok=1, attempts=3, responses_503=2)
    after = figures(latencies=[0.1, 0.5], requests=3, ok=2, attempts=5, responses_503=2)
    assert after.since(before) == figures(latencies=[0.5], requests=2, ok=1, attempts=2)
