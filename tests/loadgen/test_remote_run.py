import pytest

from loadgen.errors import UsageError
from loadgen.remote_run import master_arguments, plan_run, worker_arguments

URLS = {
    "us-east": "https://w--a-c.us-east.modal.direct",
    "eu-west": "https://w--a-c.eu-west.modal.direct",
    "ca-central": "https://w--a-c.ca-central.modal.direct",
}


def planned(urls=URLS, **given):
    often = {"users": 24, "spawn_rate": 10.0, "run_time_s": 60, "stop_timeout_s": 30}
    return plan_run(urls, **{**often, **given})


def test_each_url_is_measured_from_its_own_region():
    run = planned()
    assert [(one.client_region, one.compute_region, one.urls) for one in run.places] == [
        ("us-east", "us-east", {"us-east": URLS["us-east"]}),
        ("eu-west", "eu-west", {"eu-west": URLS["eu-west"]}),
        # Modal has proxies in ca-central, and containers in ca.
        ("ca-central", "ca", {"ca-central": URLS["ca-central"]}),
    ]


def test_regions_are_chosen_and_named_as_modal_has_them():
    run = planned(regions="eu-west, us-east=us-east-1", workers_per_region=2)
    assert [(one.client_region, one.compute_region) for one in run.places] == [
        *[("eu-west", "eu-west")] * 2,
        *[("us-east", "us-east-1")] * 2,
    ]


def test_across_sends_from_each_region_to_all():
    run = planned(regions="ap-south", across=True)
    assert [one.urls for one in run.places] == [URLS]


def test_a_master_is_told_what_the_run_is():
    run = planned(arrival_rate="0:10,5:20", options=["--path", "/work"], routing="sticky")
    assert master_arguments(run, port=5557, metrics_port=9999, results="/tmp/r") == (
        *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", "5557"),
        *("--metrics-port", "9999", "--headless", "--only-summary"),
        *("--expect-workers", "3", "--expect-workers-max-wait", "600"),
        *("--users", "24", "--spawn-rate", "10", "--run-time", "60s", "--stop-timeout", "30"),
        *("--csv", "/tmp/r/locust", "--summary-json", "/tmp/r/summary.json"),
        *("--flash-url", f"us-east={URLS['us-east']}", "--flash-url", f"eu-west={URLS['eu-west']}"),
        *("--flash-url", f"ca-central={URLS['ca-central']}"),
        *("--arrival-rate", "0:10,5:20", "--path", "/work", "StickyUser"),
    )


def test_options_are_not_shown_for_they_may_hold_secrets():
    run = planned(options=["--header", "Authorization: canary"])
    assert "canary" not in repr(run)
    assert "canary" in str(master_arguments(run, port=1, metrics_port=2, results="r"))


def test_a_worker_is_told_where_it_is_and_what_it_measures():
    place = planned().places[1]
    assert worker_arguments(place, port=4000) == (
        *("--worker", "--master-host", "127.0.0.1", "--master-port", "4000"),
        *("--client-region", "eu-west", "--flash-url", f"eu-west={URLS['eu-west']}"),
    )


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"regions": "ap-south"}, "no flash URL is in region 'ap-south', only in us-east, eu-west"),
        ({"regions": "us-east,us-east"}, "'us-east' is in --regions twice"),
        ({"regions": "US East"}, "expected --regions as REGION or REGION=COMPUTE"),
        ({"regions": "us-east="}, "expected --regions as REGION or REGION=COMPUTE"),
        ({"workers_per_region": 0}, "expected 1 to 100 workers, got 0 in each of 3 regions"),
        ({"workers_per_region": 34}, "expected 1 to 100 workers, got 34 in each of 3 regions"),
        ({"users": 2}, "2 users are too few for 3 workers; raise --users to 3 at least"),
        ({"run_time_s": 0}, "expected a --run-time above 0, got 0"),
        ({"spawn_rate": -1.0}, "expected a --spawn-rate above 0, got -1"),
        ({"stop_timeout_s": -1}, "expected a --stop-timeout from 0 on, got -1"),
        ({"arrival_rate": "soon"}, "expected a rate per second"),
        ({"routing": "odd"}, "expected --routing both, sticky, non_sticky, got 'odd'"),
        ({"urls": {"default": "http://127.0.0.1:7401"}}, "which containers on Modal cannot reach"),
    ],
)
def test_what_cannot_be_done_is_refused(given, complaint):
    with pytest.raises(UsageError, match=complaint):
        planned(**given)
