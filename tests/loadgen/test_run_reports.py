import json
import logging
import os
from argparse import Namespace

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import pytest
from locust.env import Environment

from loadgen.errors import UsageError
from loadgen.generator import Generator
from loadgen.open_load import OpenLoad
from loadgen.options import Options
from loadgen.run_reports import RunReports


class Bench:
    """The reports of a generator, and what Locust would tell it."""

    def __init__(self, path: str | None, *, with_page: bool) -> None:
        self.environment = Environment()
        self.capacity: dict[str, list[str]] | None = None
        runner = self.environment.create_local_runner()
        options = Options(flash_urls=("us-east=http://127.0.0.1:1",), summary_json=path)
        self.generator = Generator(self.environment, options)
        self.reports = RunReports(
            self.generator,
            runner,
            OpenLoad(self.generator, runner),
            capacity=lambda: self.capacity,
            with_page=with_page,
        )
        self.reports.listen()

    def start(self) -> None:
        self.generator.run_started()
        self.environment.events.test_start.fire(environment=self.environment)

    def answer(self, times: int) -> None:
        for _ in range(times):
            self.generator.recorder.channel("us-east", "sticky").answered(200, 0.0, 0.0, 0.1, 0.2)

    def stop(self) -> str:
        self.environment.events.test_stopping.fire(environment=self.environment)
        self.generator.run_stopped()
        self.environment.events.test_stop.fire(environment=self.environment)
        return self.generator.runs[-1].run

    def quit(self) -> None:
        self.environment.events.quit.fire(exit_code=0)


@pytest.fixture
def bench(tmp_path, caplog):
    """Start one whose summaries go to a file for each run."""
    caplog.set_level(logging.INFO)

    def make(name: str | None = "{run}.json", *, with_page: bool) -> Bench:
        return Bench(None if name is None else str(tmp_path / name), with_page=with_page)

    return make


def told(folder) -> dict[str, int]:
    """Requests by run, as the files have them."""
    return {
        path.stem: json.loads(path.read_text())["totals"]["requests"] for path in folder.iterdir()
    }


def test_with_a_page_each_run_is_told_when_it_stops(bench, tmp_path, caplog):
    made = bench(with_page=True)
    made.start()
    made.answer(3)
    first = made.stop()
    assert told(tmp_path) == {first: 3}
    assert f"run {first}, " in caplog.text
    made.start()
    made.answer(5)
    assert made.reports.recorded().total().requests == 5
    second = made.stop()
    made.quit()
    assert told(tmp_path) == {first: 3, second: 5}
    assert caplog.text.count("Cold starts and latency by region") == 2


def test_what_comes_late_is_in_the_summary_too(bench, tmp_path):
    made = bench(with_page=True)
    made.start()
    made.answer(3)
    first = made.stop()
    made.answer(1)
    made.start()
    assert told(tmp_path) == {first: 4}
    second = made.stop()
    made.answer(2)
    made.quit()
    assert told(tmp_path) == {first: 4, second: 2}


def test_without_a_page_a_run_is_told_at_the_very_end(bench, tmp_path, caplog):
    made = bench(with_page=False)
    made.start()
    made.answer(3)
    run = made.stop()
    assert told(tmp_path) == {}
    made.answer(1)
    made.quit()
    assert told(tmp_path) == {run: 4}
    assert caplog.text.count("Cold starts and latency by region") == 1


@pytest.mark.parametrize("with_page", [True, False])
def test_without_a_run_there_is_nothing_to_tell(bench, tmp_path, caplog, with_page):
    bench(with_page=with_page).quit()
    assert told(tmp_path) == {}
    assert "Cold starts" not in caplog.text


def test_without_the_option_there_is_no_file(bench, tmp_path, caplog):
    made = bench(None, with_page=False)
    made.reports.check()
    made.start()
    made.stop()
    made.quit()
    assert told(tmp_path) == {}
    assert "Cold starts" in caplog.text


def test_two_that_would_share_standard_output_are_refused():
    made = Bench("-", with_page=False)
    made.environment.parsed_options = Namespace(json=False)
    made.reports.check()
    made.environment.parsed_options = Namespace(json=True)
    with pytest.raises(UsageError, match="--summary-json - and --json"):
        made.reports.check()


def test_what_a_search_found_is_in_the_file_of_its_run(bench, tmp_path):
    made = bench(with_page=True)
    found = []
    for capacity in (None, {"objectives": ["p99<50ms"]}):
        made.start()
        made.capacity = capacity
        found.append(json.loads((tmp_path / f"{made.stop()}.json").read_text())["capacity"])
    assert found == [None, {"objectives": ["p99<50ms"]}]
