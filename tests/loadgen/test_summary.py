import pytest

from flash.buckets import quantile
from loadgen.recorder import Recorder
from loadgen.summary import milliseconds, percent, seconds_text, summary_lines, summary_rows


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


def test_the_table_is_aligned_and_says_dash_where_there_is_no_data():
    title, _, heads, rule, empty, full, _ = summary_lines(_recorded(), seconds=60.0)
    assert title.endswith("over 60.0 s")
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


def test_without_a_known_time_there_is_no_rate():
    _, _, _, _, _, full, _ = summary_lines(_recorded(), seconds=None)
    assert full.split()[3] == "-"


def test_without_requests_there_is_one_line():
    assert summary_lines(Recorder(), seconds=5.0) == [
        "Cold starts and latency by region over 5.0 s: no requests"
    ]


def test_the_widest_figures_fit_the_terminal():
    recorder = Recorder()
    channel = recorder.channel("r" * 100, "non_sticky")
    channel.requests = 10**7
    channel.outcomes["cold_start"] = channel.outcomes["throttled"] = channel.affected = 10**7
    channel.giveups = channel.same = 10**7
    for histogram in (channel.request_duration, channel.response_time, channel.cold_start_wait):
        histogram.record(1e6)
    assert max(map(len, summary_lines(recorder, seconds=100.0))) <= 150


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.001234, "1.23"),
        (0.00999, "9.99"),
        (0.009996, "10.0"),
        (0.0776, "77.6"),
        (0.0996, "99.6"),
        (0.09996, "100"),
        (2.5, "2500"),
        (128.0, ">128000"),
    ],
)
def test_milliseconds_have_three_figures(seconds, text):
    assert milliseconds(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (1.239, "1.24"), (12.34, "12.3"), (128.0, ">128.0")]
)
def test_seconds_above_the_last_bound_say_so(seconds, text):
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "-"), (0.0, "0.0%"), (0.5, "50.0%"), (0.9999, "99.9%"), (1, "100.0%")],
)
def test_only_all_is_a_hundred_per_cent(share, text):
    assert percent(share) == text
