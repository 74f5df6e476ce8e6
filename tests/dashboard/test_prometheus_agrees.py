"""The same scrapes in our store and in a real Prometheus: every panel must show the same.

Not in every step can it: where scrapes are missing, a process restarts or a series is new, what
Prometheus tells is an estimate. There its answer is held against the estimate worked out here.
"""

from __future__ import annotations

import asyncio
import random
import re
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dashboard.container_counts import ContainerCounts, counts_scrape
from dashboard.embedded import EmbeddedSource
from dashboard.lines import Line, panel_lines
from dashboard.model import Event
from dashboard.own_metrics import OwnMetrics
from dashboard.panels import PANELS, Gauge
from dashboard.prometheus_api import PrometheusApi
from dashboard.prometheus_source import PrometheusSource
from dashboard.source import Source
from dashboard.window import Window
from flash.platform import ContainerState

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("prometheus")]

START = 1_700_000_040
SECONDS = 420
END = START + SECONDS
RESTART = 130
MISSED = {*range(127, 130), *range(190, 195), *range(240, 306)}
"""Seconds without a scrape: a restart, a short gap, and one longer than our store shares out."""
NEW_SERIES = (60, 80)
DISTURBED = {0, *MISSED, *(second + 1 for second in MISSED), *NEW_SERIES}
TARGETS = {
    "loadgen": {"job": "loadgen", "instance": "127.0.0.1:9646"},
    "edge": {"job": "edge", "instance": "127.0.0.1:7400"},
    "ta-1": {"job": "target_app", "instance": "h:1", "container": "ta-1", "region": "us-east"},
}
DASHBOARD = {"job": "dashboard", "instance": "127.0.0.1:8000"}
RUN = {"run": "r1"}


@dataclass
class Told:
    """What both were told: each series' samples, and what was counted in truth."""

    lines: list[str] = field(default_factory=list)
    samples: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    counted: dict[tuple[str, ...], float] = field(default_factory=dict)

    def scraped(self, page: bytes, second: int, labels: dict[str, str]) -> None:
        for line in page.decode().splitlines():
            if line.startswith("#"):
                continue
            raw, value = line.rsplit(" ", 1)
            name, _, own = raw.partition("{")
            given = own.removesuffix("}")
            added = [f'{n}="{v}"' for n, v in labels.items() if f'{n}="' not in given]
            series = f"{name}{{{','.join([*filter(None, [given]), *added])}}}"
            self.lines.append(f"{series} {value} {second}")
            self.samples.setdefault(series, []).append((second, float(value)))


def second_of(metrics: dict[str, FakeMetrics], n: int, rng: random.Random, told: Told) -> None:
    """What happens in the second before the scrape of second ``n``."""
    load = metrics["loadgen"]
    if n == RESTART:
        load.restart()
    for region, middle in (("us-east", 0.02), ("eu-west", 0.2)):
        labels = {"region": region, "routing": "sticky" if region == "us-east" else "non_sticky"}
        for outcome in ("ok", "cold_start"):
            amount = rng.randrange(3, 40) if outcome == "ok" or n % 50 < 5 else 0
            load.count("loadgen_requests_total", amount, **labels, outcome=outcome)
            key = (region, outcome)
            told.counted[key] = told.counted.get(key, 0) + amount
        values = [rng.lognormvariate(np.log(middle), 0.7) for _ in range(rng.randrange(1, 25))]
        load.observe("loadgen_request_duration_seconds", *values, **labels)
        load.gauge("loadgen_users", rng.randrange(1, 9), **labels)
        for container in ("same", "moved"):
            amount = rng.randrange(9) if container == "same" else rng.randrange(2)
            load.count("loadgen_session_requests_total", amount, **labels, container=container)
    one = {"region": "us-east", "routing": "sticky"}
    for name in ("response_time", "time_to_first_byte", "edge_overhead"):
        load.observe(f"loadgen_{name}_seconds", rng.random(), rng.random() / 10, **one)
    load.observe("loadgen_schedule_lag_seconds", rng.random() / 100)
    if n >= NEW_SERIES[1]:
        load.observe(
            "loadgen_cold_start_wait_seconds", *[rng.random() * 9] * rng.randrange(2), **one
        )
        load.count("loadgen_cold_start_giveups_total", rng.randrange(2), **one)
    load.gauge("loadgen_in_flight", rng.randrange(90))
    load.gauge("loadgen_workers", 2)
    load.gauge("loadgen_cpu_ratio", rng.random(), process="local")
    load.gauge("loadgen_run_start_timestamp_seconds", START - 0.5, **RUN)
    load.gauge("loadgen_run_end_timestamp_seconds", 0 if n < 400 else START + 399.5, **RUN)
    load.gauge("loadgen_run_info", 1, users="9", **RUN)
    metrics["edge"].gauge("edge_target_concurrency", 8)
    metrics["ta-1"].gauge("target_requests_in_flight", rng.randrange(20))
    metrics["ta-1"].count("target_session_cache_total", rng.randrange(5), result="miss")
    if n >= NEW_SERIES[0]:
        metrics["ta-1"].count("target_session_cache_total", rng.randrange(9), result="hit")


def counts_of(n: int) -> ContainerCounts | None:
    """The containers of second ``n``, ``None`` where the platform did not answer."""
    rng = random.Random(n)
    if n % 40 > 36:
        return None
    # At first none has been anywhere, then none in the second region.
    regions = {"us-east": n >= 20, "eu-west": n >= 100}
    some = [region for region, there in regions.items() if there] or [""]
    return {(region, state): rng.randrange(4) for region in some for state in ContainerState}


async def fill(scraped: Scraped, make: type[FakeMetrics]) -> Told:
    """The whole course, scraped into our store; what is returned is for Prometheus."""
    told, rng = Told(), random.Random(7)
    metrics, own = {key: make() for key in TARGETS}, OwnMetrics()
    for n in range(SECONDS):
        second_of(metrics, n, rng, told)
        if n in MISSED:
            continue
        for key, labels in TARGETS.items():
            added = {name: labels[name] for name in labels if name not in ("job", "instance")}
            await scraped.look(metrics[key], START + n, key=key, **added)
            told.scraped(metrics[key].exposition(), START + n, labels)
        if (counts := counts_of(n)) is not None:
            await scraped.store.write([counts_scrape(counts, START + n)])
            own.container_counts = counts
            told.scraped(own.exposition(), START + n, DASHBOARD)
    await scraped.store.roll_up(END - 60)
    await scraped.store.add_events([Event(at=START + 5.0, kind="note", text="hello")])
    return told


@pytest.fixture
def both(
    scraped: Scraped,
    fake_metrics: FakeMetrics,
    tmp_path: Path,
    program: Callable[[str], str],
    start_prometheus: Callable[..., str],
) -> tuple[Told, EmbeddedSource, str]:
    told = asyncio.run(fill(scraped, type(fake_metrics)))
    text = tmp_path / "scrapes.txt"
    text.write_text("\n".join([*told.lines, "# EOF", ""]))
    subprocess.run(
        [
            program("promtool"),
            "tsdb",
            "create-blocks-from",
            "openmetrics",
            "-q",
            text,
            "prometheus",
        ],
        check=True,
        cwd=tmp_path,
        timeout=100,
    )
    return told, scraped.source(END), start_prometheus()


async def asked(
    both: tuple[Told, EmbeddedSource, str], ask: Callable[[PrometheusSource], Awaitable[None]]
) -> None:
    _, ours, url = both
    api = PrometheusApi(url)
    try:
        await ask(PrometheusSource(api, events=ours.events, clock=lambda: END))
    finally:
        await api.close()
        ours.close()


def test_every_panel_shows_the_same_from_prometheus_as_from_our_store(
    both: tuple[Told, EmbeddedSource, str],
) -> None:
    told, ours, _ = both

    async def ask(theirs: PrometheusSource) -> None:
        for step in (1, 10, 60):
            window = Window(START, END, step)
            for id_ in PANELS:
                await compare_panel(id_, ours, theirs, window)
            await compare_estimates(told, theirs, window)
        chosen = {"region": frozenset({"us-east"}), "routing": frozenset({"sticky", "other"})}
        window = Window(START, END, 10)
        for id_ in PANELS:
            await compare_panel(id_, ours, theirs, window, chosen)
        await compare_the_rest(told, ours, theirs)

    asyncio.run(asked(both, ask))


def undisturbed(window: Window) -> np.ndarray:
    """Which steps have all their scrapes, and the one before, of processes that went on."""
    return np.array(
        [
            not any(second - START in DISTURBED for second in range(t, t + window.step))
            for t in window.times()
        ]
    )


async def compare_panel(
    id_: str,
    ours: Source,
    theirs: Source,
    window: Window,
    match: dict[str, frozenset[str]] | None = None,
) -> None:
    lines = {
        of(line): line.values
        for line in (await panel_lines(PANELS[id_], ours, window, match or {})).lines
    }
    others = {
        of(line): line.values
        for line in (await panel_lines(PANELS[id_], theirs, window, match or {})).lines
    }
    assert lines, f"nothing is told for {id_}: let second_of() tell something"
    clear = undisturbed(window)
    assert clear.sum() >= {1: 300, 10: 20, 60: 1}[window.step]
    gauges = [isinstance(part.query, Gauge) for part in PANELS[id_].parts]
    for labels, values in lines.items():
        if not np.nan_to_num(values[clear]).any() and labels not in others:
            continue  # a bucket that only held something in a disturbed step
        here = np.full(window.steps, True) if all(gauges) else clear
        np.testing.assert_allclose(
            others.pop(labels)[here], values[here], rtol=1e-9, atol=1e-9, err_msg=f"{id_} {labels}"
        )
    assert not others


def of(line: Line) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(line.labels.items()))


async def compare_estimates(told: Told, theirs: Source, window: Window) -> None:
    """Everywhere, what we ask Prometheus for is what its extrapolation makes of the samples."""
    found = await theirs.increases(
        "loadgen_requests_total", window, by=("region", "outcome"), match={}
    )
    assert len(found.labels) == 4
    for labels, values in zip(found.labels, found.values, strict=True):
        pattern = "".join(f'(?=.*{name}="{value}")' for name, value in labels)
        series = [s for s in told.samples if re.match(f"loadgen_requests_total{{{pattern}", s)]
        assert len(series) == 1
        expected = [
            extrapolated(told.samples[series[0]], t - 1000, t + window.step * 1000 - 1)
            * window.step
            for t in range(0, SECONDS * 1000, window.step * 1000)
        ]
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-9)


def extrapolated(samples: list[tuple[int, float]], low: int, high: int) -> float:
    """Growth per second between two times (ms from the start), as Prometheus' ``rate`` has it.

    https://github.com/prometheus/prometheus/blob/v2.42.0/promql/functions.go, extrapolatedRate
    """
    times = [((second - START) * 1000, value) for second, value in samples]
    here = [(t, v) for t, v in times if low <= t <= high]
    if len(here) < 2:
        return float("nan")
    (first_t, first), (last_t, last) = here[0], here[-1]
    resets = sum(v for (_, v), (_, after) in pairwise(here) if after < v)
    growth = last - first + resets
    sampled = last_t - first_t
    between = sampled / (len(here) - 1)
    to_start, to_end = first_t - low, high - last_t
    if growth > 0 and first >= 0:
        to_start = min(to_start, sampled * first / growth)
    whole = sampled
    for beyond in (to_start, to_end):
        whole += beyond if beyond < between * 1.1 else between / 2
    return growth * whole / sampled / (high - low) * 1000


async def compare_the_rest(told: Told, ours: Source, theirs: Source) -> None:
    window = Window(START, END, 10)
    found = await ours.increases(
        "loadgen_requests_total", window, by=("region", "outcome"), match={}
    )
    # Ours leaves out nothing but what was counted and forgotten between two scrapes: the seconds
    # before the restart that nobody saw.
    for labels, values in zip(found.labels, found.values, strict=True):
        seen = dict(labels)
        whole = told.counted[seen["region"], seen["outcome"]]
        lost = whole - np.nansum(values)
        assert 0 <= lost <= 3 * 40
    for label in ("region", "routing", "outcome", "nothing"):
        metric = "loadgen_requests_total"
        assert await theirs.label_values(metric, label) == sorted(
            await ours.label_values(metric, label)
        )
    assert await theirs.runs() == await ours.runs()
    assert len(await theirs.runs()) == 1
    assert await theirs.events(START, END) == await ours.events(START, END)
    assert (await theirs.events(START, END))[0].text == "hello"
    for source in (ours, theirs):
        assert await source.window(START, END, None) == Window(START, END, 1)
