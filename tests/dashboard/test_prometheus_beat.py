from __future__ import annotations

from datetime import UTC, datetime

from dashboard.model import Target
from dashboard.prometheus_api import PrometheusTarget
from dashboard.prometheus_beat import statuses

PAGE = Target(key="a", job="loadgen", url="http://127.0.0.1:9646/metrics")
EDGE = Target(key="b", job="edge", url="http://127.0.0.1:7400/metrics", optional=True)


def told(url: str, job: str, **more: object) -> PrometheusTarget:
    scraped = {
        "labels": {"job": job, "instance": "x"},
        "scrapeUrl": url,
        "health": "up",
        "lastScrape": "2026-11-24T20:00:00.123456789Z",
        "lastScrapeDuration": 0.25,
    }
    return PrometheusTarget.model_validate(scraped | more)


def test_our_targets_are_as_prometheus_tells_and_strangers_are_left_out() -> None:
    found = statuses([PAGE, EDGE], [told(PAGE.url, "anything"), told("http://h/metrics", "node")])
    page, edge = found
    assert page.target is PAGE
    assert (page.up, page.error, page.duration_s, page.series) == (True, None, 0.25, None)
    assert page.scraped_at == datetime(2026, 11, 24, 20, 0, 0, 123456, UTC).timestamp()
    assert edge.target is EDGE
    assert not edge.up
    assert edge.error == f"{EDGE.url}: Prometheus does not scrape it; see /sd/targets"


def test_a_new_target_may_not_have_been_found_yet() -> None:
    (found,) = statuses([PAGE], [], new={PAGE.key})
    assert (found.up, found.error, found.scraped_at) == (False, None, None)


def test_a_target_that_is_down_tells_why_and_one_not_yet_scraped_is_neither() -> None:
    down, waiting = statuses(
        [PAGE, EDGE],
        [
            told(PAGE.url, "loadgen", health="down", lastError="connection refused"),
            told(EDGE.url, "edge", health="unknown", lastScrape="0001-01-01T00:00:00Z"),
        ],
    )
    assert (down.up, down.error) == (False, f"{PAGE.url}: connection refused")
    assert (waiting.up, waiting.error, waiting.scraped_at) == (False, None, None)


def test_a_page_under_another_address_in_prometheus_is_the_page() -> None:
    (found,) = statuses([PAGE], [told("http://loadgen:9646/metrics", "loadgen")])
    assert found.up
    assert (found.target.url, found.target.job) == ("http://loadgen:9646/metrics", "loadgen")
    assert found.target.labels == {"instance": "x"}
