import pytest
from prometheus_client import parser as text
from prometheus_client.openmetrics import parser as openmetrics

from flash.buckets import LE
from loadgen.exposition import OPEN_METRICS, TEXT, Process, Run, accepted, render
from loadgen.outcome import OUTCOMES
from loadgen.recorder import CHANNEL_HISTOGRAMS, Recorder

ODD = 'a "quoted" \\ region\nof two lines'


def _recorded() -> Recorder:
    recorder = Recorder()
    for n, region in enumerate(("us-east", ODD), 1):
        channel = recorder.channel(region, "sticky")
        for k, outcome in enumerate(OUTCOMES):
            channel.outcomes[outcome] = n * 10 + k
        channel.codes = {200: 7 * n, 503: 3}
        channel.giveups, channel.same, channel.moved, channel.affected = 4 * n, 5, 6, 9 * n
        channel.container_refusals, channel.refused_sessions = 2 * n, 3 * n
        channel.gauges.users, channel.gauges.in_flight = 8 * n, 2
        for k, name in enumerate(CHANNEL_HISTOGRAMS):
            for value in (1e-5, 0.01 * (k + 1), 0.5 * n, 1000.0):
                getattr(channel, name).record(value)
        recorder.connects(region).record(0.025)
        recorder.windows[region].record(3.5)
    recorder.channel("us-east", "sticky").refused(503, sent=1.0, at=1.5)
    recorder.channel("quiet", "non_sticky")
    return recorder


RUN = Run("r1", 1700000000.5, 1700000060.25, {"target": 'x"y', "regions": "a,b"})
PROCESS = Process(cpu_ratio={"master": 0.25, "worker-0": 0.5}, workers=1, started=1699999999.125)


@pytest.fixture(params=["text", "openmetrics"])
def samples(request) -> dict:
    """Every sample by its name and labels, as that format's own parser reads it."""
    content_type, parser = (TEXT, text) if request.param == "text" else (OPEN_METRICS, openmetrics)
    page = render(_recorded(), [RUN], PROCESS, content_type).decode()
    found = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in parser.text_string_to_metric_families(page)
        for sample in family.samples
    ]
    assert len(found) == len(dict(found))
    return dict(found)


def _value(samples: dict, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


@pytest.mark.parametrize("region", ["us-east", ODD])
def test_counters_and_gauges_are_read_back_as_they_were_counted(samples, region):
    channel = _recorded().channel(region, "sticky")
    of = {"region": region, "routing": "sticky"}
    for outcome in OUTCOMES:
        total = _value(samples, "loadgen_requests_total", outcome=outcome, **of)
        assert total == channel.outcomes[outcome]
    for code, count in channel.codes.items():
        assert _value(samples, "loadgen_responses_total", code=str(code), **of) == count
    assert _value(samples, "loadgen_cold_start_giveups_total", **of) == channel.giveups
    assert _value(samples, "loadgen_cold_start_requests_total", **of) == channel.affected
    refusals = _value(samples, "loadgen_container_refusals_total", **of)
    assert refusals == channel.container_refusals > 0
    refused_sessions = _value(samples, "loadgen_refused_sessions_total", **of)
    assert refused_sessions == channel.refused_sessions > 0
    sessions = "loadgen_session_requests_total"
    assert _value(samples, sessions, container="same", **of) == 5
    assert _value(samples, sessions, container="moved", **of) == 6
    assert _value(samples, "loadgen_users", **of) == channel.gauges.users
    assert _value(samples, "loadgen_in_flight", **of) == 2


@pytest.mark.parametrize("name", CHANNEL_HISTOGRAMS)
def test_a_histogram_is_whole_and_cumulative(samples, name):
    of = {"region": ODD, "routing": "sticky"}
    histogram = getattr(_recorded().channel(ODD, "sticky"), name)
    full = f"loadgen_{name}_seconds"
    total = 0
    for le, count in zip(LE, histogram.counts, strict=True):
        total += count
        assert _value(samples, f"{full}_bucket", le=le, **of) == total
    assert _value(samples, f"{full}_count", **of) == total == 4
    assert _value(samples, f"{full}_sum", **of) == histogram.sum


def test_connects_have_the_label_region_alone(samples):
    assert _value(samples, "loadgen_connect_duration_seconds_sum", region=ODD) == 0.025
    assert _value(samples, "loadgen_connect_duration_seconds_count", region=ODD) == 1


def test_windows_are_of_a_region_and_tell_whether_one_is_open(samples):
    assert _value(samples, "loadgen_cold_start_window_seconds_sum", region=ODD) == 3.5
    assert _value(samples, "loadgen_cold_start_window_seconds_count", region=ODD) == 1
    opened = [
        _value(samples, "loadgen_cold_start_window_open", region=region)
        for region in ("us-east", ODD, "quiet")
    ]
    assert opened == [1, 0, 0]


def test_a_histogram_with_nothing_in_it_is_not_there(samples):
    quiet = [
        name
        for name, labels in samples
        if ("region", "quiet") in labels and ("bucket" in name or "_sum" in name)
    ]
    assert quiet == []
    of = {"region": "quiet", "routing": "non_sticky", "outcome": "ok"}
    assert _value(samples, "loadgen_requests_total", **of) == 0


def test_the_runs_and_the_processes_are_told(samples):
    assert _value(samples, "loadgen_run_start_timestamp_seconds", run="r1") == RUN.started
    assert _value(samples, "loadgen_run_end_timestamp_seconds", run="r1") == RUN.ended
    info = {"target": 'x"y', "regions": "a,b"}
    assert _value(samples, "loadgen_run_info", run="r1", **info) == 1
    assert _value(samples, "loadgen_cpu_ratio", process="worker-0") == 0.5
    assert _value(samples, "loadgen_workers") == 1
    assert _value(samples, "process_start_time_seconds") == PROCESS.started


def test_openmetrics_is_for_those_who_ask_for_it():
    assert accepted("application/openmetrics-text;version=1.0.0,*/*;q=0.1") == OPEN_METRICS
    assert accepted("text/plain") == accepted("") == accepted("*/*") == TEXT


def test_a_page_of_a_generator_that_did_nothing_is_a_page():
    page = render(Recorder(), [], Process(), OPEN_METRICS).decode()
    assert page.endswith("# EOF\n")
    families = {f.name for f in openmetrics.text_string_to_metric_families(page)}
    assert {"loadgen_requests", "loadgen_request_duration_seconds"} <= families


def test_the_region_of_a_client_is_a_label_of_all_that_has_a_region():
    recorder = Recorder("eu-west")
    channel = recorder.channel("us-east", "sticky")
    channel.answered(200, 0.0, 0.0, 0.1, 0.2)
    for name in CHANNEL_HISTOGRAMS:
        getattr(channel, name).record(0.1)
    recorder.connects("us-east").record(0.1)
    page = render(recorder, [], Process(), TEXT).decode()
    labels = [
        sample.labels
        for family in text.text_string_to_metric_families(page)
        for sample in family.samples
        # A region is cold wherever that is seen from.
        if "region" in sample.labels and not family.name.startswith("loadgen_cold_start_window")
    ]
    assert len(labels) > len(CHANNEL_HISTOGRAMS)
    assert {one.get("client_region") for one in labels} == {"eu-west"}


def test_a_master_tells_of_its_workers_and_nobody_else_does():
    process = Process(
        worker_reports={"counted": 7, "missed": 0}, worker_changes={"joined": 2, "lost": 1}
    )
    page = render(Recorder(), [], process, TEXT).decode()
    assert 'loadgen_worker_reports_total{result="counted"} 7\n' in page
    assert 'loadgen_worker_reports_total{result="missed"} 0\n' in page
    assert 'loadgen_worker_changes_total{change="lost"} 1\n' in page
    assert "loadgen_worker_" not in render(Recorder(), [], Process(), TEXT).decode()


def test_the_rate_of_arrivals_is_told_where_there_is_one():
    page = render(Recorder(), [], Process(arrival_rate=12.5), TEXT).decode()
    assert "loadgen_arrival_rate 12.5\n" in page
    assert "loadgen_arrival_rate" not in render(Recorder(), [], Process(), TEXT).decode()
