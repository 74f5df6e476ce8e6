from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.judgement import Finding, Judgement, Status, Verdict, judged
from dashboard.run_figures import Counts, Distributions, Figure, RunFigures
from flash.buckets import BOUNDS_S, BUCKETS, quantile
from flash.objective import Measure, Objective

MET = Finding(Objective.parse("p99 < 1s"), Figure(0.5, 10))
MISSED = Finding(Objective.parse("p99 < 1s"), Figure(1.0, 10))
NO_DATA = Finding(Objective.parse("p99 < 1s"), Figure(None, 0))


@pytest.mark.parametrize(
    ("findings", "problems", "status"),
    [
        ((MET, MET), (), Status.MET),
        ((MET, MISSED), (), Status.MISSED),
        ((MET, NO_DATA), (), Status.UNUSABLE),
        ((MISSED, NO_DATA), (), Status.UNUSABLE),
        ((), (), Status.UNUSABLE),
        ((MET,), ("lost",), Status.BAD_MEASUREMENT),
        ((MISSED,), ("lost",), Status.BAD_MEASUREMENT),
        ((NO_DATA,), ("lost",), Status.BAD_MEASUREMENT),
    ],
)
def test_a_bad_measurement_goes_before_no_data_and_that_before_a_miss(
    findings: tuple[Finding, ...], problems: tuple[str, ...], status: Status
) -> None:
    assert Judgement(findings, problems).status is status


def test_what_is_beyond_all_bounds_is_below_none() -> None:
    beyond = Finding(Objective.parse("p99 < 1h"), Figure(inf, 10))
    assert beyond.verdict is Verdict.MISSED


HISTOGRAMS = st.lists(st.integers(0, 50), min_size=BUCKETS - 1, max_size=BUCKETS - 1)


@given(HISTOGRAMS, HISTOGRAMS, st.sampled_from(["p50", "p90", "p99", "p99.9", "p100"]))
def test_a_percentile_of_both_routings_is_that_of_the_merged_histogram(
    sticky: list[int], non_sticky: list[int], name: str
) -> None:
    figures = RunFigures(
        seconds=10.0,
        attempts=Counts({("us-east", "sticky"): {"ok": 1.0}}),
        distributions={
            Measure.LATENCY: Distributions(
                (*BOUNDS_S, inf),
                {
                    ("us-east", "sticky"): np.array([*sticky, 0.0]),
                    ("us-east", "non_sticky"): np.array([*non_sticky, 0.0]),
                    ("eu-west", "sticky"): np.full(BUCKETS, 7.0),
                },
            )
        },
        shares={},
    )
    (finding,) = judged([Objective.parse(f"{name}(us-east) < 1s")], figures, []).findings
    merged = [a + b for a, b in zip([*sticky, 0], [*non_sticky, 0], strict=True)]
    assert finding.figure.samples == sum(merged)
    if not sum(merged):
        assert finding.verdict is Verdict.NO_DATA
        return
    expected = quantile(merged, float(name[1:]) / 100)
    # The first bucket below the last bound may hold a duration of just that bound.
    assert finding.figure.value == (inf if expected >= BOUNDS_S[-1] else pytest.approx(expected))
