"""A target that invents labels: what came first goes on, the rest is left out and told."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import embedded, ingest
from dashboard.app import create_app
from dashboard.collector import Collector
from dashboard.config import Config
from dashboard.errors import ExpositionError
from dashboard.exposition import read_exposition
from dashboard.model import Target
from dashboard.own_metrics import OwnMetrics
from dashboard.scraper import Watched
from dashboard.shape import Family, ShapeReader
from dashboard.store import Store
from dashboard.window import Window

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import FakeMetrics, FakeTarget, Scraped

REQUESTS = "loadgen_requests_total"
DURATIONS = "loadgen_request_duration_seconds"


def page(*regions: str, value: int = 1) -> bytes:
    return "".join(f'{REQUESTS}{{region="{name}"}} {value}\n' for name in regions).encode()


def stored(families: tuple[Family, ...]) -> set[str]:
    return {dict(labels).get("region", "") for family in families for labels in family.labels}


def test_what_came_first_goes_on_wherever_it_stands_and_whatever_comes() -> None:
    reader = ShapeReader(most_series=2)
    first = reader.shape_of(read_exposition(page("a", "b")))
    assert (stored(first.families), first.dropped) == ({"a", "b"}, 0)
    later = read_exposition(page("x", "b", "y", "a", "z"))
    shape = reader.shape_of(later)
    assert (stored(shape.families), shape.dropped) == ({"a", "b"}, 3)
    part = shape.within(later)
    assert part.series == [f'{REQUESTS}{{region="{name}"}}' for name in "ba"]
    assert (part.lines, part.values.tolist()) == ([2, 4], [1.0, 1.0])


def test_a_place_is_kept_while_who_has_it_is_away() -> None:
    # Another one in its place would come with all that it had counted while it was left out.
    reader = ShapeReader(most_series=2)
    for names, kept in ((("a", "b"), "ab"), (("b", "c"), "b"), (("c", "a"), "a")):
        shape = reader.shape_of(read_exposition(page(*names)))
        assert stored(shape.families) == set(kept)


def test_of_those_that_come_together_the_first_on_the_page_are_taken() -> None:
    shape = ShapeReader(most_series=2).shape_of(read_exposition(page("z", "m", "a")))
    assert stored(shape.families) == {"z", "m"}


def test_a_histogram_is_one_label_set_and_is_stored_whole_or_not_at_all() -> None:
    def histogram(name: str) -> str:
        parts = "".join(f'{name}_bucket{{le="{le}"}} 1\n' for le in (0.125, 0.25, "+Inf"))
        return f"# TYPE {name} histogram\n{parts}{name}_sum 0.1\n{name}_count 1\n"

    text = histogram("loadgen_a") + histogram("loadgen_b") + histogram("loadgen_c")
    shape = ShapeReader(most_series=2).shape_of(read_exposition(text.encode()))
    assert [family.name for family in shape.families] == ["loadgen_a", "loadgen_b"]
    assert (len(shape.series), shape.dropped) == (10, 1)


def test_a_page_that_is_refused_teaches_nothing_and_is_refused_again() -> None:
    reader = ShapeReader(most_series=3)
    shape = reader.shape_of(read_exposition(page("a")))
    bad = b"# TYPE loadgen_h histogram\n" + page("x") + b'loadgen_h_bucket{le="one"} 1\n'
    for _ in range(2):
        with pytest.raises(ExpositionError, match="line 3: expected a number as le"):
            reader.shape_of(read_exposition(bad))
    assert reader.shape_of(read_exposition(page("a"))) is shape
    shape = reader.shape_of(read_exposition(page("a", "b", "c")))
    assert stored(shape.families) == {"a", "b", "c"}


def test_a_restart_is_seen_beyond_the_limit_and_lets_others_come_first() -> None:
    target = Target(key="t", job="test", url="http://t/metrics")
    watched = Watched(target, None, 0.0, was_absent=True, most_series=2)

    async def look(start: int, *names: str, value: int) -> dict[str, float]:
        body = page(*names, value=value) + f"process_start_time_seconds {start}\n".encode()

        async def fetch(url: str) -> bytes:
            return body

        result = await watched.scrape(fetch, start)
        watched.memory = result.memory
        (found,) = [i for i in result.increments if i.family.name == REQUESTS]
        assert found.values is not None
        regions = [dict(labels)["region"] for labels in found.family.labels]
        return dict(zip(regions, found.values.tolist(), strict=True))

    async def run() -> None:
        assert await look(100, "a", "b", "c", value=5) == {"a": 5, "b": 5}
        assert await look(100, "c", "b", "a", value=6) == {"b": 1, "a": 1}
        assert await look(200, "c", "b", "a", value=7) == {"c": 7, "b": 7}

    asyncio.run(run())


@given(st.lists(st.sets(st.sampled_from("abcdefgh"), min_size=1), min_size=1, max_size=12))
def test_what_is_counted_is_what_was_counted_of_those_that_came_first(
    pages: list[set[str]],
) -> None:
    target = Target(key="t", job="test", url="http://t/metrics")
    counts = dict.fromkeys("abcdefgh", 0)
    found: dict[str, float] = {}
    first: list[str] = []

    async def run() -> None:
        watched = Watched(target, None, 0.0, was_absent=True, most_series=3)
        for second, names in enumerate(pages):
            for name in names:
                counts[name] += 1
                if name not in first:
                    first.append(name)
            body = b"".join(
                page(name, value=counts[name]) for name in sorted(names, key=first.index)
            )

            async def fetch(url: str, body: bytes = body) -> bytes:
                return body

            result = await watched.scrape(fetch, second)
            # Every other time as if the dashboard had been started again.
            watched.memory = result.memory
            if second % 2:
                watched = Watched(target, result.memory, 0.0, most_series=3)
            for increment in result.increments:
                assert increment.values is not None
                for labels, value in zip(
                    increment.family.labels, increment.values.tolist(), strict=True
                ):
                    region = dict(labels)["region"]
                    found[region] = found.get(region, 0.0) + value

    asyncio.run(run())
    assert found == {name: counts[name] for name in first[:3]}


def test_new_names_without_end_fill_neither_memory_nor_store(
    tmp_path: Path, open_store: type[Scraped]
) -> None:
    target = Target(key="t", job="test", url="http://t/metrics")
    store = open_store(tmp_path / "s.sqlite").store
    watched = Watched(target, None, 0.0, was_absent=True, most_series=50)

    async def run() -> int:
        for second in range(1000, 1040):
            names = [f"r{second}-{n}" for n in range(200)]

            async def fetch(url: str, body: bytes = page("known", *names, value=second)) -> bytes:
                return body

            result = await watched.scrape(fetch, second)
            await store.write([result])
            watched.memory = result.memory
            assert result.dropped_series == (151 if second == 1000 else 200)
        assert result.memory.series == [f'{REQUESTS}{{region="known"}}']
        return len(result.memory.gone)

    assert asyncio.run(run()) == 49
    store.close()
    connection = sqlite3.connect(tmp_path / "s.sqlite")
    assert connection.execute("SELECT count(*) FROM series").fetchone() == (50,)
    connection.close()


def test_many_processes_of_one_target_fill_no_store_either(
    scraped: Scraped, fake_metrics: FakeMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MOST_SERIES", 6)
    monkeypatch.setattr(ingest, "MOST_FAMILIES", 3)

    async def run() -> list[int]:
        left_out = []
        for process in range(4):
            fake_metrics.restart()
            fake_metrics.gauge("process_start_time_seconds", 1000.0 + 10 * process)
            for name in range(2):
                fake_metrics.count(REQUESTS, 1, outcome=f"o{process}-{name}")
            if process:
                fake_metrics.count(f"loadgen_x{process}_total", 1)
            await scraped.look(fake_metrics, 1000 + 10 * process)
            result = await scraped.watched["loadgen"].scrape(exposed, 1005 + 10 * process)
            left_out.append(await scraped.store.write([result]))
        return left_out

    async def exposed(url: str) -> bytes:
        return fake_metrics.exposition()

    # Requests and the start time are two families; of series there are 3, 6, and no more.
    assert asyncio.run(run()) == [0, 0, 3, 3]
    connection = sqlite3.connect(scraped.path)
    assert connection.execute("SELECT count(*) FROM series").fetchone() == (6,)
    assert connection.execute("SELECT count(*) FROM family").fetchone() == (3,)
    connection.close()


def test_an_answer_has_the_lines_that_came_first_and_tells_how_many_it_has_not(
    scraped: Scraped, fake_metrics: FakeMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "MOST_LINES", 4)
    monkeypatch.setattr(embedded, "MOST_HISTOGRAMS", 30)

    async def run() -> None:
        for name in ("z", "y", "x", "a", "b", "c"):
            fake_metrics.count(REQUESTS, 1, region=name, routing="sticky", outcome="ok")
            fake_metrics.observe(DURATIONS, 0.1, region=name, routing="sticky")
        await scraped.look(fake_metrics, 1000)
        source = scraped.source(1010.0)
        window = Window(1000, 1010, 1)
        found = await source.increases(REQUESTS, window, by=("region",), match={})
        assert [dict(labels)["region"] for labels in found.labels] == ["z", "y", "x", "a"]
        assert (found.left_out, float(np.nansum(found.values))) == (2, 4)
        histograms = await source.histograms(DURATIONS, window, by=("region",), match={})
        assert (len(histograms.labels), histograms.left_out) == (3, 3)
        assert histograms.counts.sum() == 3
        # All together they are one line, and nothing is missing.
        whole = await source.increases(REQUESTS, window, by=(), match={})
        assert (whole.left_out, float(np.nansum(whole.values))) == (0, 6)
        app = create_app(Config(), source)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            query = {"start": 1000, "end": 1010, "step": 1}
            told = await client.get("/api/panels/latency/data", params=query)
            whole_answer = await client.get("/api/panels/heatmap/data", params=query)
        regions = {line["labels"]["region"] for line in told.json()["lines"]}
        assert (told.headers["x-lines-left-out"], regions) == ("3", {"x", "y", "z"})
        assert "x-lines-left-out" not in whole_answer.headers
        source.close()

    asyncio.run(run())


def test_choices_are_those_regions_that_came_first(
    scraped: Scraped, fake_metrics: FakeMetrics
) -> None:
    async def run() -> dict[str, object]:
        for number in range(40):
            labels = {"region": f"r{99 - number}", "routing": "sticky", "outcome": "ok"}
            fake_metrics.count(REQUESTS, 1, **labels)
        await scraped.look(fake_metrics, 1000)
        source = scraped.source(1010.0)
        transport = httpx.ASGITransport(create_app(Config(), source))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            told: dict[str, object] = (await client.get("/api/labels")).json()
        source.close()
        return told

    assert asyncio.run(run()) == {
        "region": [f"r{number}" for number in range(70, 100)],
        "routing": ["sticky"],
        "left_out": 10,
    }


def test_what_is_left_out_is_told_with_its_target_and_counted_once_in_the_log(
    tmp_path: Path, fake_target: FakeTarget, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(7):
        fake_target.metrics.count(REQUESTS, 1, region=f"r{number}")
    path, metrics = tmp_path / "s.sqlite", OwnMetrics()
    config = Config(store=path, scrape=(fake_target.url,), scrape_given=True, series_limit=3)

    async def run() -> None:
        store = Store(path)
        collector = Collector(config, store, metrics=metrics)
        task = asyncio.create_task(collector.run())
        for _ in range(2):
            scraped_at = collector.status()[0].scraped_at
            while collector.status()[0].scraped_at == scraped_at:  # noqa: ASYNC110  # has no event
                await asyncio.sleep(0.02)
        (status,) = collector.status()
        assert (status.up, status.error, status.series, status.dropped_series) == (True, None, 3, 4)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.close()

    asyncio.run(run())
    assert b"\ndashboard_dropped_series 4.0\n" in metrics.exposition()
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        f"{fake_target.url} has too many series: 4 new ones are not stored; see --series-limit"
    ]
