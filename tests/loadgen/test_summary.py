import pytest

from flash.buckets import quantile
from flash.generator_limit import CpuUse
from loadgen.dispatcher import Arrived
from loadgen.exposition import Run
from loadgen.recorder import CHANNEL_HISTOGRAMS, Recorder
from loadgen.run_watch import RunSummary
from loadgen.summary import summary_lines, summary_rows, token_rows, total_row
from loadgen.token_times import TokenTimes


def _summary(recorder: Recorder, *, seconds: float = 60.0, arrivals=None) -> RunSummary:
    return RunSummary(
        run=Run("r1", 1700000000.0, 1700000000.0 + seconds),
        seconds=seconds,
        recorded=recorder,
        options={},
        cpu={"local": CpuUse(0.25, 0.5)},
        arrivals=arrivals,
        workers=None,
    )


def _recorded() -> Recorder:
    recorder = Recorder()
    channel = recorder.channel("us-east", "sticky")
    channel.requests, channel.affected, channel.giveups = 120, 7, 2
    channel.outcomes["cold_start"], channel.outcomes["throttled"] = 31, 5
    channel.same, channel.moved = 3, 1
    for n in range(1, 101):
        channel.request_duration.record(n / 1000)
        channel.response_time.record(n / 100)
    for wait_s in (1.0, 2.0, 4.1):
        channel.cold_start_wait.record(wait_s)
    recorder.channel("ap-south", "non_sticky")
    return recorder


def test_a_row_has_the_figures_of_its_channel():
    recorder = _recorded()
    empty, row = summary_rows(recorder, seconds=60.0)
    channel = recorder.channel("us-east", "sticky")
    assert (row.region, row.routing, row.requests, row.rate_per_s) == ("us-east", "sticky", 120, 2)
    assert row.p50_s == quantile(channel.request_duration.counts, 0.5)
    assert row.p95_s == quantile(channel.request_duration.counts, 0.95)
    assert row.p99_s == pytest.approx(0.099, rel=0.045)
    assert row.response_time_p99_s == pytest.approx(0.99, rel=0.045)
    assert (row.responses_503, row.affected, row.giveups, row.responses_429) == (31, 7, 2, 5)
    assert row.wait_p50_s == pytest.approx(2.0, rel=0.045)
    assert row.wait_max_s == pytest.approx(4.1, rel=0.045)
    assert row.affinity == 0.75
    assert empty.region == "ap-south"


def test_without_data_a_row_has_none():
    row, _ = summary_rows(_recorded(), seconds=None)
    times = (row.p50_s, row.p95_s, row.p99_s, row.response_time_p99_s, row.wait_p50_s)
    assert {*times, row.wait_max_s, row.affinity, row.rate_per_s} == {None}


def test_the_last_row_is_of_all_channels_together():
    recorder = _recorded()
    other = recorder.channel("ap-south", "non_sticky")
    other.requests, other.same, other.moved = 60, 0, 4
    for _ in range(300):
        other.request_duration.record(2.0)
    row = total_row(recorder, seconds=60.0)
    assert (row.region, row.routing, row.requests, row.rate_per_s) == ("", "", 180, 3)
    # 100 of 400 were quicker: a mean of the two medians would be 1.03 s.
    assert row.p50_s == pytest.approx(2.0, rel=0.045)
    assert row.affinity == 3 / 8
    lines = summary_lines(_summary(recorder))
    assert lines[-3].split()[:3] == ["all", "180", "3.0"]


def test_the_table_is_aligned_and_says_dash_where_there_is_no_data():
    title, _, heads, rule, empty, full, *_, verdict = summary_lines(_summary(_recorded()))
    assert title == "Cold starts and latency by region, run r1, 60.0 s"
    assert empty.split() == [
        "ap-south",
        "non_sticky",
        "0",
        "0.0",
        *"----",
        "0",
        "0",
        *"--",
        "0",
        "-",
        "0",
    ]
    assert full.split()[:4] == ["us-east", "sticky", "120", "2.0"]
    assert full.split()[-3:] == ["2", "75.0%", "5"]
    assert len(empty) == len(full) == len(heads) == len(rule)
    assert verdict.startswith("the load generator kept up: local used 25.0% of a core")


def test_one_channel_needs_no_total():
    recorder = Recorder()
    recorder.channel("us-east", "sticky").requests = 3
    lines = summary_lines(_summary(recorder))
    assert [line.split()[0] for line in lines if "sticky" in line or "all" in line.split()] == [
        "us-east"
    ]


def test_lateness_is_shown_where_there_is_a_schedule():
    recorder = _recorded()
    assert "response (ms)" in summary_lines(_summary(recorder))[1]
    recorder.channel("us-east", "sticky").schedule_lag.record(0.5)
    arrivals = Arrived(intended=100, started=100, dropped=0, waiting=0, waited=3)
    lines = summary_lines(_summary(recorder, arrivals=arrivals))
    assert "response, late (ms)" in lines[1]
    assert lines[5].split()[8] == "479"  # the middle of the bucket that half a second ends
    assert lines[-1].startswith(
        "the load generator was the limit: requests started up to 479 ms late (p99)"
    )
    assert "3 of 100 arrivals waited" in lines[-1]


def test_tokens_have_a_table_of_their_own_where_there_are_any():
    recorder = _recorded()
    assert token_rows(recorder, seconds=60.0) == []
    assert not any("token" in line for line in summary_lines(_summary(recorder)))
    for region, routing, tokens in (("ap-south", "non_sticky", 1), ("us-east", "sticky", 60)):
        times = TokenTimes(recorder.channel(region, routing), started=0.0)
        for number in range(tokens):
            times.came(0.5 + number * 0.02)
    single, several, both = token_rows(recorder, seconds=60.0)
    assert (single.region, single.streams, single.tokens) == ("ap-south", 1, 1)
    assert single.first_p99_s == pytest.approx(0.5, rel=0.045)
    assert (single.between_p50_s, single.between_p99_s) == (None, None)
    assert (several.streams, several.tokens, several.rate_per_s) == (1, 60, 1.0)
    assert several.between_p95_s == pytest.approx(0.02, rel=0.045)
    assert (both.region, both.streams, both.tokens) == ("", 2, 61)
    lines = summary_lines(_summary(recorder))
    title = lines.index("Streamed tokens by region")
    assert lines[title + 4].split() == [
        "ap-south",
        "non_sticky",
        "1",
        "1",
        "0.0",
        *"479 479 479 - - -".split(),
    ]
    assert lines[title + 7].split()[:4] == ["all", "2", "61", "1.0"]


def test_without_a_known_time_there_is_no_rate():
    _, _, _, _, _, full, *_ = summary_lines(_summary(_recorded(), seconds=0.0))
    assert full.split()[3] == "-"


def test_without_requests_there_is_one_line():
    assert summary_lines(_summary(Recorder(), seconds=5.0)) == [
        "Cold starts and latency by region, run r1, 5.0 s: no requests"
    ]


def test_the_widest_figures_fit_the_terminal():
    recorder = Recorder()
    for region in ("r" * 100, "s" * 100):
        channel = recorder.channel(region, "non_sticky")
        channel.requests = 10**7
        channel.outcomes["cold_start"] = channel.outcomes["throttled"] = channel.affected = 10**7
        channel.giveups = channel.same = 10**7
        for name in CHANNEL_HISTOGRAMS:
            getattr(channel, name).record(1e6)
    *table, _ = summary_lines(_summary(recorder, seconds=100.0))
    assert max(map(len, table)) <= 155


def test_where_requests_came_from_is_told_where_it_is_known():
    master, worker = Recorder(), Recorder("us-west")
    for recorder in (master, worker):
        recorder.channel("ap-south", "sticky").outcomes["ok"] = 1
    master.merge("w", worker.take())
    ours, theirs = summary_rows(master, seconds=None)
    assert (ours.client_region, ours.way) == (None, "ap-south")
    assert (theirs.client_region, theirs.way) == ("us-west", "us-west>ap-south")
    lines = summary_lines(_summary(master))
    assert sum(line.startswith("us-west>ap-south  sticky ") for line in lines) == 1
