import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.objective import BoundError, Measure, Objective, ObjectiveError, Relation, Unit


@pytest.mark.parametrize(
    ("text", "measure", "quantile", "region", "routing", "relation", "bound"),
    [
        ("p99(us-east) < 50ms", "latency", 0.99, "us-east", None, "<", 0.05),
        ("p50 <= 250us", "latency", 0.5, None, None, "<=", 250e-6),
        ("p99.9 < 2s", "latency", 0.999, None, None, "<", 2.0),
        ("p100 < 1m", "latency", 1.0, None, None, "<", 60.0),
        ("response_time.p95 < 1.5s", "response_time", 0.95, None, None, "<", 1.5),
        ("time_to_first_byte.p90(eu-west,sticky) < 1s", "time_to_first_byte", 0.9, "eu-west",
         "sticky", "<", 1.0),
        ("edge_overhead.p99 < 9ms", "edge_overhead", 0.99, None, None, "<", 0.009),
        ("cold_start_wait.max < 15s", "cold_start_wait", 1.0, None, None, "<", 15.0),
        ("cold_start_wait.p50 < 15s", "cold_start_wait", 0.5, None, None, "<", 15.0),
        ("share_503 < 1%", "share_503", None, None, None, "<", 0.01),
        ("errors <= 0%", "errors", None, None, None, "<=", 0.0),
        ("affinity(us-east,sticky) >= 99.5%", "affinity", None, "us-east", "sticky", ">=", 0.995),
        ("cache_hits > 80%", "cache_hits", None, None, None, ">", 0.8),
        ("throughput(us-east,non_sticky) > 100/s", "throughput", None, "us-east", "non_sticky",
         ">", 100.0),
        ("requests >= 1000", "requests", None, None, None, ">=", 1000.0),
    ],
)  # fmt: skip
def test_an_objective_is_a_figure_its_place_and_its_bound(
    text, measure, quantile, region, routing, relation, bound
):
    objective = Objective.parse(text)
    assert (objective.measure, objective.region, objective.routing) == (measure, region, routing)
    assert objective.quantile == (None if quantile is None else pytest.approx(quantile))
    assert objective.relation == relation
    assert objective.bound == pytest.approx(bound)
    assert str(objective) == text


def test_spaces_are_of_no_matter():
    plain = Objective.parse("p99(us-east,sticky) < 50ms")
    for text in ("p99(us-east,sticky)<50ms", "  p99 ( us-east , sticky )  <  50ms "):
        assert Objective.parse(text) == plain


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected an objective such as 'p99(us-east) < 50ms'"),
        ("p99", "expected an objective such as"),
        ("p99 = 50ms", "expected an objective such as"),
        ("p99 << 50ms", "expected an objective such as"),
        ("p99 < 50 ms", "expected an objective such as"),
        ("p99() < 50ms", "expected an objective such as"),
        ("p99(a,sticky,b) < 50ms", "expected an objective such as"),
        ("p99(us-east < 50ms", "expected an objective such as"),
        ("mean < 1s", "there is no metric 'mean'; there are p50, p99 and so on"),
        ("latency < 1s", "there is no metric 'latency'"),
        ("latency.p99 < 1s", "there is no metric 'latency.p99'"),
        ("max < 1s", "there is no metric 'max'"),
        ("errors.p99 < 1s", "there is no metric 'errors.p99'"),
        ("response_time < 1s", "there is no metric 'response_time'"),
        ("p0 < 1s", "expected a percentile above 0 up to 100, got 'p0'"),
        ("response_time.p101 < 1s", "expected a percentile above 0 up to 100"),
        ("p99(us-east,both) < 1s", "expected sticky or non_sticky as routing, got 'both'"),
        ("cache_hits(us-east,sticky) > 1%", "cache_hits are not told apart by routing"),
    ],
)
def test_what_is_no_objective_is_told_why(text, told):
    with pytest.raises(ObjectiveError) as refused:
        Objective.parse(text)
    assert str(refused.value).startswith(told)
    assert not isinstance(refused.value, BoundError)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("p99 < 50", "expected a duration such as 50ms, 1.5s or 2m, got '50'"),
        ("p99 < 1%", "expected a duration such as 50ms"),
        ("p99 < nans", "expected a duration such as 50ms"),
        ("errors < 0.1", "expected a share from 0% to 100%, such as 0.1%, got '0.1'"),
        ("errors < 101%", "expected a share from 0% to 100%"),
        ("errors < -1%", "expected a share from 0% to 100%"),
        ("throughput > 100", "expected a rate such as 100/s, got '100'"),
        ("requests > 100/s", "expected a number without a unit, got '100/s'"),
        ("requests > inf", "expected a number without a unit"),
    ],
)
def test_a_bound_needs_the_unit_of_what_is_measured(text, told):
    with pytest.raises(BoundError) as refused:
        Objective.parse(text)
    assert str(refused.value).startswith(told)


@pytest.mark.parametrize(
    ("relation", "below", "equal", "above"),
    [
        ("<", True, False, False),
        ("<=", True, True, False),
        (">", False, False, True),
        (">=", False, True, True),
    ],
)
def test_a_relation_holds_as_its_sign_says(relation, below, equal, above):
    assert [Relation(relation).holds(value, 2.0) for value in (1.0, 2.0, 3.0)] == [
        *(below, equal, above)
    ]
    assert Relation(relation).holds(float("inf"), 2.0) is above


NAMES = st.one_of(
    st.floats(0.001, 100).map(lambda p: f"p{p:.3f}"),
    st.builds(
        lambda measure, statistic: f"{measure}.{statistic}",
        st.sampled_from([m for m in Measure if m.unit is Unit.SECONDS and m != "latency"]),
        st.sampled_from(["p50", "p99", "p99.9", "max"]),
    ),
    st.sampled_from([str(m) for m in Measure if m.unit is not Unit.SECONDS]),
)
BOUNDS = {
    Unit.SECONDS: st.sampled_from(["us", "ms", "s", "m"]),
    Unit.SHARE: st.just("%"),
    Unit.PER_SECOND: st.just("/s"),
    Unit.COUNT: st.just(""),
}


@st.composite
def written(draw):
    """An objective's text in its usual form."""
    name = draw(NAMES)
    unit = Measure(name).unit if name in list(Measure) else Unit.SECONDS
    kinds = [None] if name == "cache_hits" else [None, "sticky", "non_sticky"]
    region = draw(st.none() | st.from_regex(r"[a-z][a-z0-9-]*", fullmatch=True))
    scope = "" if region is None else ",".join(filter(None, (region, draw(st.sampled_from(kinds)))))
    number = draw(st.floats(0, 100).map(lambda value: f"{value:.3f}") | st.integers(0, 100))
    relation = draw(st.sampled_from(list(Relation)))
    where = f"({scope})" if scope else ""
    return f"{name}{where} {relation} {number}{draw(BOUNDS[unit])}"


@given(written())
def test_what_is_written_again_is_what_was_read(text):
    assert str(Objective.parse(text)) == text


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text):
    try:
        objective = Objective.parse(text)
    except ObjectiveError:
        return
    assert Objective.parse(str(objective)) == objective


@given(st.floats(0, 100), st.floats(0, 100), st.sampled_from(list(Relation)))
def test_a_figure_meets_an_objective_or_its_opposite(value, bound, relation):
    opposite = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}[relation]
    assert relation.holds(value, bound) != Relation(opposite).holds(value, bound)
