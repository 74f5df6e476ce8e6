import json
import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.buckets import quantile
from flash.generator_limit import CpuUse
from loadgen.dispatcher import Arrived
from loadgen.exposition import Run
from loadgen.outcome import OUTCOMES
from loadgen.recorder import CHANNEL_HISTOGRAMS, Recorder
from loadgen.run_watch import RunSummary, Workers
from loadgen.summary_json import summary_json

INFO = {"target": "the local edge at http://127.0.0.1:7400", "regions": "us-east,eu-west"}


def summary(recorder: Recorder, **known) -> RunSummary:
    given = {
        "run": Run("r1", 1700000000.5, 1700000060.5, INFO),
        "seconds": 60.0,
        "recorded": recorder,
        "options": {"users": 24, "arrival_rate": None},
        "cpu": {},
        "arrivals": None,
        "workers": None,
    }
    return RunSummary(**{**given, **known})


def read(made: RunSummary) -> dict:
    text = summary_json(made)
    assert "\n" not in text
    return json.loads(text)


def recorded() -> Recorder:
    recorder = Recorder()
    for region, times in (("us-east", 30), ("eu-west", 90)):
        channel = recorder.channel(region, "sticky")
        for n in range(times):
            channel.answered(200, 0.0, 0.0, 0.001, (n + 1) / 1000)
        channel.refused(503, sent=0.0, at=0.001)
        recorder.windows[region].record(2.0)
        channel.affected, channel.giveups, channel.same, channel.moved = 1, 2, 3, 1
        channel.schedule_lag.record(0.002)
        recorder.connects(region).record(0.01)
    recorder.channel("quiet", "non_sticky")
    return recorder


def test_a_run_is_named_with_its_times_target_and_options():
    told = read(summary(recorded()))
    assert (told["schema"], told["run"], told["seconds"]) == (1, "r1", 60.0)
    assert (told["started"], told["ended"]) == (1700000000.5, 1700000060.5)
    assert (told["target"], told["regions"]) == (INFO["target"], ["us-east", "eu-west"])
    assert told["options"] == {"users": 24, "arrival_rate": None}


def test_a_row_has_every_figure_of_its_region_and_routing():
    told = read(summary(recorded()))
    assert [(row["region"], row["routing"]) for row in told["rows"]] == [
        ("eu-west", "sticky"),
        ("quiet", "non_sticky"),
        ("us-east", "sticky"),
    ]
    row = told["rows"][0]
    assert (row["requests"], row["rate"]) == (90, 1.5)
    assert row["outcomes"] == {**dict.fromkeys(OUTCOMES, 0), "ok": 90, "cold_start": 1}
    assert row["responses"] == {"200": 90, "503": 1}
    assert (row["affected"], row["giveups"], row["same"], row["moved"]) == (1, 2, 3, 1)
    assert row["affinity"] == 0.75
    durations = row["request_duration"]
    assert durations["count"] == 90
    assert durations["sum"] == pytest.approx(sum(range(1, 91)) / 1000)
    assert durations["quantiles"]["0.5"] == pytest.approx(0.045, rel=0.045)
    assert row.keys() >= set(CHANNEL_HISTOGRAMS)
    assert told["connects"][0]["region"] == "eu-west"
    assert told["connects"][0]["connect_duration"]["count"] == 1
    windows = [(one["region"], one["cold_start_window"]) for one in told["cold_start_windows"]]
    assert [(region, window["sum"]) for region, window in windows if window["count"]] == [
        ("eu-west", 2.0),
        ("us-east", 2.0),
    ]


def test_no_data_is_null_and_a_count_of_none_is_zero():
    told = read(summary(recorded(), seconds=0.0, run=Run("r1", 1.0)))
    assert told["ended"] is None
    quiet = told["rows"][1]
    assert (quiet["requests"], quiet["rate"], quiet["affinity"]) == (0, None, None)
    assert set(quiet["response_time"]["quantiles"].values()) == {None}
    assert quiet["response_time"]["count"] == 0
    assert (told["arrivals"], told["workers"]) == (None, None)


def test_totals_add_up_to_what_the_rows_have():
    told = read(summary(recorded()))
    rows, totals = told["rows"], told["totals"]
    assert totals["requests"] == sum(row["requests"] for row in rows) == 120
    for name in CHANNEL_HISTOGRAMS:
        buckets = np.sum([row[name]["buckets"] for row in rows], axis=0)
        assert totals[name]["buckets"] == buckets.tolist()
        assert totals[name]["count"] == buckets.sum()
        assert totals[name]["sum"] == pytest.approx(sum(row[name]["sum"] for row in rows))


@given(st.lists(st.floats(1e-4, 120), min_size=1, max_size=60))
def test_whoever_has_the_buckets_can_make_the_percentiles(durations):
    recorder = Recorder()
    for duration_s in durations:
        recorder.channel("a", "sticky").request_duration.record(duration_s)
    told = read(summary(recorder))
    histogram = told["rows"][0]["request_duration"]
    assert len(told["bucket_bounds"]) + 1 == len(histogram["buckets"])
    for bound, upto in zip(told["bucket_bounds"], np.cumsum(histogram["buckets"]), strict=False):
        assert upto == sum(duration_s <= bound for duration_s in durations)
    for q, value in histogram["quantiles"].items():
        assert value == quantile(histogram["buckets"], float(q))


def test_the_generator_the_arrivals_and_the_workers_are_told():
    told = read(
        summary(
            recorded(),
            cpu={"master": CpuUse(0.1, 0.2), "worker-0": CpuUse(0.95, 1.0)},
            arrivals=Arrived(intended=10, started=8, dropped=2, waiting=0, waited=3),
            workers=Workers(seen=2, lost=1),
        )
    )
    generator = told["generator"]
    assert generator["limited"] is True
    assert generator["limits"] == ["cpu", "users", "workers"]
    assert generator["verdict"].startswith("the load generator was the limit: worker-0 used 95.0%")
    assert generator["cpu"] == [
        {"process": "master", "mean": 0.1, "highest": 0.2},
        {"process": "worker-0", "mean": 0.95, "highest": 1.0},
    ]
    assert told["arrivals"] == {
        "intended": 10,
        "started": 8,
        "dropped": 2,
        "waiting": 0,
        "waited": 3,
    }
    assert told["workers"] == {"seen": 2, "lost": 1}


def test_a_generator_that_kept_up_is_not_limited():
    generator = read(summary(recorded(), cpu={"local": CpuUse(0.1, 0.2)}))["generator"]
    assert (generator["limited"], generator["limits"]) == (False, [])
    assert generator["verdict"].startswith("the load generator kept up")
