from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from dashboard.container_lives import LiveChange
from dashboard.stickiness import (
    affinities_of,
    cache_hits_of,
    comparisons_of,
    first_byte_metric,
    moves_of,
)
from dashboard.window import Window
from flash.buckets import bucket_of, representative_s

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

    from dashboard.embedded import EmbeddedSource

START = 1_700_000_000
FIRST_BYTE = "loadgen_time_to_first_byte_seconds"
SECONDS = 40


def ask(scraped: Scraped, question: Callable[[EmbeddedSource], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        source = scraped.source()
        try:
            return await question(source)
        finally:
            source.close()

    return asyncio.run(run())


def window(step: int = 1) -> Window:
    return Window(START, START + SECONDS, step)


@pytest.fixture
def samples(scraped: Scraped, fake_metrics: FakeMetrics) -> dict[str, np.ndarray]:
    """Forty seconds of first bytes, sticky ones faster by a fifth."""
    rng = np.random.default_rng(3)
    drawn = {
        "sticky": rng.lognormal(np.log(0.08), 0.3, size=(SECONDS, 25)),
        "non_sticky": rng.lognormal(np.log(0.1), 0.3, size=(SECONDS, 25)),
    }

    async def fill() -> None:
        for second in range(SECONDS):
            for routing, values in drawn.items():
                labels = {"region": "us-east", "routing": routing}
                fake_metrics.observe(FIRST_BYTE, *values[second].tolist(), **labels)
            await scraped.look(fake_metrics, START + second)

    asyncio.run(fill())
    return drawn


def test_sticky_is_compared_with_non_sticky_by_exact_means_and_merged_quantiles(
    scraped: Scraped, samples: dict[str, np.ndarray]
) -> None:
    found = ask(scraped, lambda source: comparisons_of(source, FIRST_BYTE, window(), {}))
    assert [(one.region, one.figure) for one in found] == [
        ("us-east", "mean"),
        ("us-east", "p50"),
        ("us-east", "p95"),
    ]
    by_figure = {one.figure: one for one in found}
    mean = by_figure["mean"]
    assert mean.sticky_s == pytest.approx(samples["sticky"].mean(), rel=1e-9)
    assert mean.non_sticky_s == pytest.approx(samples["non_sticky"].mean(), rel=1e-9)
    assert (mean.sticky_samples, mean.non_sticky_samples) == (1000, 1000)
    for figure, q in (("p50", 0.5), ("p95", 0.95)):
        exact = np.quantile(samples["sticky"], q, method="inverted_cdf")
        assert by_figure[figure].sticky_s == representative_s(bucket_of(exact))
    of_seconds = samples["sticky"].mean(axis=1) - samples["non_sticky"].mean(axis=1)
    half = 1.96 * of_seconds.std(ddof=1) / np.sqrt(SECONDS)
    expected = (of_seconds.mean() - half, of_seconds.mean() + half)
    assert mean.interval == pytest.approx(expected, abs=0.12 * half)
    low, high = by_figure["p50"].interval
    assert low < high < 0


def test_the_same_question_has_the_same_answer(
    scraped: Scraped, samples: dict[str, np.ndarray]
) -> None:
    first, second = (
        ask(scraped, lambda source: comparisons_of(source, FIRST_BYTE, window(), {}))
        for _ in range(2)
    )
    assert first == second


def test_a_short_window_has_figures_and_no_interval(
    scraped: Scraped, samples: dict[str, np.ndarray]
) -> None:
    short = Window(START, START + 5, 1)
    found = ask(scraped, lambda source: comparisons_of(source, FIRST_BYTE, short, {}))
    assert [one.interval for one in found] == [None] * 3


def test_one_routing_alone_is_compared_with_nothing(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    fake_metrics.observe(FIRST_BYTE, 0.1, region="us-east", routing="sticky")
    asyncio.run(scraped.look(fake_metrics, START))
    assert ask(scraped, lambda source: comparisons_of(source, FIRST_BYTE, window(), {})) == []


def test_the_first_token_is_compared_where_it_is_measured(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    assert ask(scraped, first_byte_metric) == FIRST_BYTE
    token = "loadgen_time_to_first_token_seconds"
    fake_metrics.observe(token, 0.1, region="us-east", routing="sticky")
    asyncio.run(scraped.look(fake_metrics, START))
    assert ask(scraped, first_byte_metric) == token


def test_shares_are_told_with_their_interval(scraped: Scraped, fake_metrics: FakeMetrics) -> None:
    async def fill() -> None:
        for second in range(10):
            fake_metrics.count("target_session_cache_total", 15, container="a", result="hit")
            fake_metrics.count("target_session_cache_total", 5, container="b", result="miss")
            for routing, moved in (("sticky", 0), ("non_sticky", 3)):
                labels = {"region": "us-east", "routing": routing}
                name = "loadgen_session_requests_total"
                fake_metrics.count(name, 5 - moved, **labels, container="same")
                fake_metrics.count(name, moved, **labels, container="moved")
            await scraped.look(fake_metrics, START + second)

    asyncio.run(fill())
    hits = ask(scraped, lambda source: cache_hits_of(source, window()))
    assert (hits.hits, hits.trials, hits.share) == (150, 200, 0.75)
    assert hits.interval == pytest.approx((0.6857, 0.8049), abs=1e-4)
    affinity = ask(scraped, lambda source: affinities_of(source, window(), {}))
    assert [(one.labels["routing"], one.hits, one.trials) for one in affinity] == [
        ("non_sticky", 20, 50),
        ("sticky", 50, 50),
    ]


def test_no_session_has_no_share(scraped: Scraped) -> None:
    assert ask(scraped, lambda source: cache_hits_of(source, window())) is None
    assert ask(scraped, lambda source: affinities_of(source, window(), {})) == []


@pytest.mark.parametrize("step", [1, 2])
def test_moves_are_booked_to_the_change_that_they_follow(
    scraped: Scraped, fake_metrics: FakeMetrics, step: int
) -> None:
    async def fill() -> None:
        moved_at = {4: 1, 10: 3, 12: 1, 20: 6, 21: 0, 39: 2}
        for second in range(SECONDS):
            fake_metrics.gauge("loadgen_users", 12 + second // 20, region="us", routing="sticky")
            fake_metrics.gauge("loadgen_users", 50, region="us", routing="non_sticky")
            for routing, moved in (("sticky", moved_at.get(second, 0)), ("non_sticky", 9)):
                fake_metrics.count(
                    "loadgen_session_requests_total",
                    moved,
                    region="us",
                    routing=routing,
                    container="moved",
                )
            await scraped.look(fake_metrics, START + second)

    asyncio.run(fill())

    def change(at: float, before: str, after: str) -> LiveChange:
        return LiveChange(at=START + at, before=frozenset(before), after=frozenset(after))

    changes = [change(10.0, "ab", "abc"), change(20.5, "abc", "ab")]
    found = ask(scraped, lambda source: moves_of(source, changes, window(step), {}))
    assert [(one.before, one.after, one.sessions, one.moved) for one in found] == [
        (3, 2, 13.0, 8.0),
        (2, 3, 12.0, 4.0),
    ]
    assert [one.least_share for one in found] == pytest.approx([1 / 3, 1 / 3])
    assert [one.least for one in found] == pytest.approx([13 / 3, 4.0])


def test_without_a_change_nothing_is_told_of_moves(scraped: Scraped) -> None:
    assert ask(scraped, lambda source: moves_of(source, [], window(), {})) == []


def test_a_change_without_known_users_has_no_expectation(scraped: Scraped) -> None:
    changes = [LiveChange(at=START + 1.0, before=frozenset("a"), after=frozenset("ab"))]
    (found,) = ask(scraped, lambda source: moves_of(source, changes, window(), {}))
    assert (found.sessions, found.least, found.moved) == (None, None, 0.0)
