"""Comparisons of simulated runs: how often they alarm falsely, what they find, what they say."""

from math import ceil, expm1, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.confidence import Difference, blocks_of
from dashboard.model import Run
from dashboard.quantiles import log_quantiles
from dashboard.run_comparison import (
    COMPARED,
    FALSE_ALARMS,
    Outcome,
    Row,
    RunComparison,
    Stretches,
    Verdict,
    compared_rows,
)
from dashboard.run_figures import Figure, Place
from flash.buckets import BOUNDS_S, bucket_of, representative_s
from flash.objective import Measure

BOUNDS = (*BOUNDS_S, float("inf"))
HISTOGRAMS = (Measure.LATENCY, Measure.RESPONSE_TIME, Measure.COLD_START_WAIT)
PLACES: list[Place] = [
    (region, routing)
    for region in ("ap-south", "eu-west", "us-east")
    for routing in ("non_sticky", "sticky")
]


class Simulated:
    """Runs of a server: log-normal latencies whose level wanders, some refusals, some errors."""

    def __init__(
        self,
        rng: np.random.Generator,
        *,
        seconds: int = 120,
        per_s: float = 20.0,
        slower: float = 1.0,
        alike: float = 0.6,
        wander: float = 0.05,
        refused: float = 0.01,
        places: list[Place] = PLACES[:1],
        rising: bool = False,
    ) -> None:
        self.latencies: dict[Place, list[np.ndarray]] = {}
        self.refusals: dict[Place, np.ndarray] = {}
        self.failures: dict[Place, np.ndarray] = {}
        self.seconds = seconds
        for place in places:
            level = np.empty(seconds)
            shocks = rng.normal(0, wander * sqrt(1 - alike**2), size=seconds)
            level[0] = rng.normal(0, wander)
            for second in range(1, seconds):
                level[second] = alike * level[second - 1] + shocks[second]
            load = np.linspace(0.2, 1.8, seconds) if rising else np.ones(seconds)
            # A server under more load is slower, too.
            level += log(slower) + (load - 1) * (0.5 if rising else 0)
            counts = rng.poisson(per_s * load)
            self.latencies[place] = [
                0.03 * np.exp(level[n] + rng.normal(0, 0.5, size=counts[n])) for n in range(seconds)
            ]
            self.refusals[place] = rng.binomial(counts, refused)
            self.failures[place] = rng.binomial(counts, 0.005)

    def stretches(self, count: int = 40) -> Stretches:
        histograms: dict[Measure, dict[Place, np.ndarray]] = {one: {} for one in HISTOGRAMS}
        outcomes: dict[Place, dict[str, np.ndarray]] = {}
        for place, by_second in self.latencies.items():
            buckets = np.searchsorted(BOUNDS_S, np.concatenate(by_second))
            seconds = np.repeat(np.arange(self.seconds), [len(values) for values in by_second])
            places = seconds * len(BOUNDS) + buckets
            counts = np.bincount(places, minlength=self.seconds * len(BOUNDS)).astype(float)
            counts = counts.reshape(self.seconds, len(BOUNDS))
            histograms[Measure.LATENCY][place] = blocks_of(counts, count)
            histograms[Measure.RESPONSE_TIME][place] = blocks_of(counts, count)
            failed = np.minimum(self.failures[place], counts.sum(axis=1))
            outcomes[place] = {
                "ok": blocks_of(counts.sum(axis=1) - failed, count),
                "server_error": blocks_of(failed, count),
                "cold_start": blocks_of(self.refusals[place].astype(float), count),
            }
        return Stretches(
            seconds=float(self.seconds),
            lengths_s=blocks_of(np.ones(self.seconds), count),
            bounds=dict.fromkeys(HISTOGRAMS, BOUNDS),
            histograms=histograms,
            outcomes=outcomes,
        )

    def samples(self, place: Place) -> np.ndarray:
        return np.sort(np.concatenate(self.latencies[place]))


def pairs(trials: int, seed: int, **more: object) -> list[tuple[Row, ...]]:
    """Comparisons of equal runs, without a tolerance that would make them look more alike."""
    rng = np.random.default_rng(seed)
    return [
        compared_rows(
            Simulated(rng, **more).stretches(),  # type: ignore[arg-type]  # as its own are
            Simulated(rng, **more).stretches(),  # type: ignore[arg-type]
            tolerance=0.0,
        )
        for _ in range(trials)
    ]


def named(rows: tuple[Row, ...], name: str, place: Place = PLACES[0]) -> Row:
    return next(
        row for row in rows if (row.compared.name, row.region, row.routing) == (name, *place)
    )


def at_most(share: float, trials: int) -> float:
    """A share of trials that is exceeded once in a thousand times, if ``share`` is the truth."""
    return share + 3.1 * sqrt(share * (1 - share) / trials)


def test_of_equal_runs_a_row_is_called_different_no_more_often_than_is_said() -> None:
    trials = 150
    told = pairs(trials, seed=41)
    different = {Verdict.BETTER, Verdict.WORSE}
    for compared in COMPARED[:-1]:
        alarms = sum(named(rows, compared.name).verdict in different for rows in told)
        assert alarms / trials <= at_most(FALSE_ALARMS, trials), compared.name
    # Not only because nothing is ever found.
    assert sum(row.verdict in different for rows in told for row in rows) > 0


def test_of_equal_runs_the_table_is_called_different_no_more_often_than_is_said() -> None:
    trials = 60
    told = pairs(trials, seed=42, places=PLACES[:4], per_s=10.0)
    assert all(len(rows) == 4 * (len(COMPARED) - 1) for rows in told)
    sure = sum(any(row.is_sure for row in rows) for rows in told)
    alone = sum(any(row.verdict is Verdict.WORSE for row in rows) for rows in told)
    assert sure / trials <= at_most(FALSE_ALARMS, trials)
    # Without regard to how many rows there are, most tables would have one.
    assert alone > sure


def test_runs_whose_load_rises_are_no_different_for_it() -> None:
    trials = 60
    told = pairs(trials, seed=43, rising=True)
    for compared in COMPARED[:-1]:
        verdicts = [named(rows, compared.name).verdict for rows in told]
        alarms = trials - verdicts.count(Verdict.NO_DIFFERENCE)
        assert alarms / trials <= at_most(FALSE_ALARMS, trials), compared.name
    # The rise itself is in both, and does not hide a tenth.
    rng = np.random.default_rng(44)
    before, after = (
        Simulated(rng, rising=True, per_s=50.0, slower=slower) for slower in (1.0, 1.1)
    )
    row = named(compared_rows(before.stretches(), after.stretches()), "p50")
    assert row.verdict is Verdict.WORSE


@pytest.mark.parametrize(("slower", "verdict"), [(1.1, Verdict.WORSE), (1 / 1.1, Verdict.BETTER)])
def test_a_tenth_more_latency_is_found_in_two_minutes(slower: float, verdict: Verdict) -> None:
    """At 100 requests a second to each of two places, with the tolerance as it is."""
    rng = np.random.default_rng(45)
    found = sure = holding = 0
    trials = 20
    for _ in range(trials):
        before = Simulated(rng, places=PLACES[:2], per_s=100.0)
        after = Simulated(rng, places=PLACES[:2], per_s=100.0, slower=slower)
        rows = compared_rows(before.stretches(), after.stretches())
        p50 = named(rows, "p50")
        found += p50.verdict is verdict
        sure += p50.verdict is verdict and p50.is_sure
        assert p50.change is not None
        _, low, high = p50.change
        holding += low <= slower - 1 <= high
    assert found >= 0.95 * trials
    assert sure >= 0.8 * trials
    assert holding / trials >= 0.95 - 3.1 * sqrt(0.95 * 0.05 / trials)


def test_refusals_that_were_not_there_before_are_found() -> None:
    rng = np.random.default_rng(46)
    before, after = (Simulated(rng, refused=refused) for refused in (0.0, 0.02))
    row = named(compared_rows(before.stretches(), after.stretches()), "share_503")
    assert (row.verdict, row.is_sure) == (Verdict.WORSE, True)
    share = after.refusals[PLACES[0]].sum() / (
        after.refusals[PLACES[0]].sum() + len(after.samples(PLACES[0]))
    )
    assert (row.base.value, row.run.value) == (0.0, pytest.approx(share))
    assert row.change is not None
    assert row.change[0] == pytest.approx(share)


def test_one_burst_of_refusals_is_no_evidence() -> None:
    rng = np.random.default_rng(47)
    before, after = (Simulated(rng, refused=0.0) for _ in range(2))
    after.refusals[PLACES[0]][60] = 40
    row = named(compared_rows(before.stretches(), after.stretches()), "share_503")
    assert row.verdict is Verdict.NO_DIFFERENCE


def test_figures_are_those_of_all_samples() -> None:
    rng = np.random.default_rng(48)
    before, after = (Simulated(rng, seconds=seconds) for seconds in (130, 90))
    rows = compared_rows(before.stretches(), after.stretches())
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("response_time.p95", 0.95)):
        row = named(rows, name)
        for figure, run in ((row.base, before), (row.run, after)):
            samples = run.samples(PLACES[0])
            exact = samples[ceil(q * len(samples)) - 1]
            assert figure == Figure(representative_s(bucket_of(exact)), len(samples))
        # The change is read between the buckets' bounds.
        exact = np.quantile(after.samples(PLACES[0]), q) / np.quantile(before.samples(PLACES[0]), q)
        assert row.change is not None
        assert row.change[0] == pytest.approx(exact - 1, abs=0.045)
        assert row.change[1] < row.change[0] < row.change[2]
    row = named(rows, "throughput")
    for figure, run in ((row.base, before), (row.run, after)):
        failed = run.failures[PLACES[0]].sum()
        good = len(run.samples(PLACES[0])) - failed
        assert figure == Figure(pytest.approx(good / run.seconds), good)
    assert row.change is not None
    assert row.change[0] == pytest.approx((row.run.value or 0) - (row.base.value or 0))
    row = named(rows, "errors")
    assert row.run.value == pytest.approx(
        after.failures[PLACES[0]].sum() / len(after.samples(PLACES[0]))
    )


def test_a_change_within_the_tolerance_is_none() -> None:
    rng = np.random.default_rng(49)
    before, after = (
        Simulated(rng, per_s=400.0, alike=0.0, slower=slower).stretches() for slower in (1, 1.06)
    )
    verdicts = [
        named(compared_rows(before, after, tolerance), "p50").verdict
        for tolerance in (0.0, 0.02, 0.1)
    ]
    assert verdicts == [Verdict.WORSE, Verdict.WORSE, Verdict.NO_DIFFERENCE]


def test_too_short_a_run_and_a_place_of_one_run_only_say_so() -> None:
    rng = np.random.default_rng(50)
    short = [Simulated(rng, seconds=7).stretches(7) for _ in range(2)]
    rows = compared_rows(*short)
    assert {row.verdict for row in rows} == {Verdict.TOO_LITTLE_DATA}
    assert all(row.base.value is not None and row.change is None for row in rows)
    one, two = (Simulated(rng, places=[place]).stretches() for place in PLACES[:2])
    rows = compared_rows(one, two)
    assert {row.verdict for row in rows} == {Verdict.TOO_LITTLE_DATA}
    assert named(rows, "p50", PLACES[0]).run == Figure(None, 0)
    assert named(rows, "throughput", PLACES[1]).base == Figure(None, 0)
    assert outcome(rows) is Outcome.UNUSABLE


def outcome(rows: tuple[Row, ...], *problems: str) -> Outcome:
    runs = [Run(run=name, start=0.0, end=1.0, labels={}) for name in "ab"]
    return RunComparison(
        base=runs[0], run=runs[1], tolerance=0.0, rows=rows, problems=problems
    ).outcome


def row_of(difference: float, *, error: float = 1.0, p_of_all: float | None = 0.01) -> Row:
    return Row(
        compared=COMPARED[0],
        region="us-east",
        routing="sticky",
        base=Figure(1.0, 10),
        run=Figure(2.0, 10),
        difference=Difference(difference, error, 40),
        p_of_all=p_of_all,
    )


def test_the_outcome_is_worse_only_where_a_row_is_worse_for_sure() -> None:
    worse, unsure, better = row_of(5.0), row_of(2.5, p_of_all=0.4), row_of(-5.0)
    assert (worse.verdict, unsure.verdict, better.verdict) == (
        Verdict.WORSE,
        Verdict.WORSE,
        Verdict.BETTER,
    )
    assert outcome((unsure, better)) is Outcome.NOT_WORSE
    assert outcome((unsure, better, worse)) is Outcome.WORSE
    assert outcome((worse,), "busy") is Outcome.BAD_MEASUREMENT
    assert outcome(()) is Outcome.UNUSABLE
    assert worse.change == (expm1(5.0), *map(expm1, worse.difference.interval))


@given(st.lists(st.integers(0, 20), min_size=170, max_size=170), st.floats(0.01, 0.99))
def test_a_quantile_between_bounds_lies_in_the_bucket_of_the_sample(
    counts: list[int], q: float
) -> None:
    bounds = tuple(2.0 ** (k / 8) for k in range(len(counts) - 1))
    histogram = np.array(counts, dtype=float)
    (found,) = log_quantiles(histogram[None], q, (*bounds, float("inf")))
    if not sum(counts):
        assert np.isnan(found)
        return
    ranks = np.cumsum(histogram)
    bucket = int(np.searchsorted(ranks, q * ranks[-1] * (1 - 1e-12)))
    low = bounds[max(0, bucket - 1)]
    high = bounds[min(bucket, len(bounds) - 1)]
    assert log(low) - 1e-9 <= found <= log(high) + 1e-9
