import json

import pytest

from loadgen.capacity_judgement import CapacityStep, Measured
from loadgen.capacity_report import capacity_json, capacity_lines, exit_status, step_text
from loadgen.capacity_run import CapacityPlan, RegionCapacity
from loadgen.capacity_search import RateRange, Verdict
from loadgen.objective import parse_objectives

OBJECTIVES = parse_objectives("p99<50ms,errors<0.1%")
PLAN = CapacityPlan(
    objectives=OBJECTIVES,
    rates=RateRange(50, 400),
    resolution=0.05,
    hold_s=10.0,
    settle_s=5.0,
    warmup_s=60.0,
)


def step(rate, verdict=Verdict.HELD, reason="", p99=0.0123, errors=0.0, samples=500):
    return CapacityStep(
        rate=rate,
        seconds=10.0,
        offered_per_s=rate,
        answered_per_s=rate - 0.2,
        samples=samples,
        measured=(Measured(OBJECTIVES[0], p99), Measured(OBJECTIVES[1], errors)),
        verdict=verdict,
        reason=reason,
        cpu_ratio={"local": 0.25},
    )


MISSED = step(100, Verdict.MISSED, "p99<50ms", p99=0.0712, errors=0.00125)
LIMITED = step(100, Verdict.LIMITED, "lost worker-0", p99=None, errors=None, samples=0)


def capacity(*steps, complete=True, region="us-east"):
    return RegionCapacity(region, list(steps), complete)


@pytest.mark.parametrize(
    ("found", "sentence", "status"),
    [
        (capacity(step(50), MISSED), "us-east: 50/s held; 100/s missed (p99<50ms)", 0),
        (
            capacity(step(50), step(400)),
            "us-east: 400/s held, which is the highest that was to be tried",
            0,
        ),
        (
            capacity(step(50), LIMITED),
            "us-east: 50/s held, so it is at least that; at 100/s the generator was the limit "
            "(lost worker-0)",
            0,
        ),
        (capacity(MISSED), "us-east: no rate held; 100/s missed (p99<50ms)", 1),
        (
            capacity(LIMITED),
            "us-east: no rate held; at 100/s the generator was the limit (lost worker-0)",
            2,
        ),
        (
            capacity(step(50), complete=False),
            "us-east: 50/s held before the search was ended",
            1,
        ),
        (capacity(complete=False), "us-east: no rate held before the search was ended", 1),
    ],
)
def test_a_region_s_result_is_a_sentence_and_a_status(found, sentence, status):
    assert capacity_lines(PLAN, [found])[1] == sentence
    assert exit_status([found], 1) == status


def test_a_region_that_was_not_come_to_is_no_result():
    assert exit_status([capacity(step(50), MISSED)], 2) == 1
    assert exit_status([capacity(LIMITED)], 2) == 2


def test_the_evidence_is_a_table_and_says_dash_where_there_is_no_data():
    west = capacity(step(50), LIMITED, region="eu-west")
    lines = capacity_lines(PLAN, [capacity(step(50), MISSED), west])
    assert lines[0] == "Capacity that holds p99<50ms,errors<0.1% for 10 s"
    assert lines[3:] == [
        "region   rate/s  offered/s  answered/s  requests  p99 (ms)  errors  verdict",
        "-" * len(lines[-2]),
        "us-east      50       50.0        49.8       500      12.3  0.000%  held",
        "us-east     100      100.0        99.8       500      71.2  0.125%  missed (p99<50ms)",
        "eu-west      50       50.0        49.8       500      12.3  0.000%  held",
        "eu-west     100      100.0        99.8         0         -       -  "
        "the generator was the limit (lost worker-0)",
        "-" * len(lines[-2]),
    ]


def test_a_step_is_told_as_it_ends():
    assert step_text("us-east", MISSED) == (
        "capacity of us-east: 100/s missed (p99<50ms) [p99 71.2 ms, errors 0.125%, 500 requests]"
    )


def test_json_has_the_same_in_base_units_and_null_for_no_data():
    endless = step(200, Verdict.MISSED, "p99<50ms", p99=float("inf"))
    found = [capacity(step(50), endless, LIMITED)]
    told = json.loads(json.dumps(capacity_json(PLAN, found), allow_nan=False))
    assert told["objectives"] == ["p99<50ms", "errors<0.1%"]
    assert (told["hold_s"], told["rates"]) == (10.0, [50.0, 400.0])
    (region,) = told["regions"]
    assert (region["region"], region["rate"], region["ceiling"]) == ("us-east", 50, 100)
    assert region["ceiling_verdict"] == "generator"
    assert [one["measured"] for one in region["steps"]] == [
        {"p99": 0.0123, "errors": 0.0},
        {"p99": None, "errors": 0.0},
        {"p99": None, "errors": None},
    ]
    assert region["steps"][0]["requests"] == 500
    assert region["steps"][0]["cpu_ratio"] == {"local": 0.25}
