from __future__ import annotations

import asyncio
import csv
import io
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet
import pytest

from dashboard.__main__ import main
from dashboard.answers import PanelData

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

START = 1_700_000_000
Points = dict[tuple[str, ...], float | None]
"""Values by panel, time and sorted labels."""


@pytest.fixture
def hostile(scraped: Scraped, fake_metrics: FakeMetrics) -> Scraped:
    """A target that calls itself what a spreadsheet would calculate."""

    async def fill() -> None:
        fake_metrics.gauge("loadgen_run_start_timestamp_seconds", START, run="r1")
        fake_metrics.gauge("loadgen_run_end_timestamp_seconds", START + 1, run="r1")
        fake_metrics.gauge("target_requests_in_flight", 1, container="=1+1")
        await scraped.look(fake_metrics, START)

    asyncio.run(fill())
    return scraped


def exported(filled: Scraped, *arguments: str) -> int:
    return main(["export", "--store", str(filled.path), *arguments], {})


def points(text: str, panel: str | None = None) -> Points:
    found: Points = {}
    for row in csv.DictReader(io.StringIO(text)):
        time, value = row.pop("time"), row.pop("value")
        name = row.pop("panel")
        assert panel in (None, name)
        labels = sorted(f"{key}={told}" for key, told in row.items() if told)
        key = (name, time, *labels)
        assert key not in found
        found[key] = float(value) if value else None
    return found


def api_points(answers: dict[str, PanelData]) -> Points:
    return {
        (id_, str(time), *sorted(f"{name}={value}" for name, value in line.labels.items())): told
        for id_, data in answers.items()
        for line in data.lines
        for time, told in line.points
    }


def test_the_values_are_those_of_the_interface(
    filled: Scraped,
    api: Callable[..., dict[str, PanelData]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exported(filled, "r1") == 0
    told = points(capsys.readouterr().out)
    answers = api(filled, start=START, end=START + 21, step=1)
    assert len(answers) == 14
    assert told == api_points(answers)
    assert len({key[0] for key in told}) == 14
    assert None in told.values()


def test_latest_is_the_newest_run_and_what_holds_when_none_is_named(
    filled: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for run in (["r1"], ["latest"], []):
        assert exported(filled, *run) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] == texts[2]
    assert texts[0].startswith("time,panel,region,routing,")
    assert texts[0].partition("\n")[0].endswith(",value")


def test_a_folder_has_a_file_for_each_panel_with_its_own_labels(
    filled: Scraped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "new" / "run"
    assert exported(filled, "-o", str(folder)) == 0
    assert exported(filled) == 0
    whole = points(capsys.readouterr().out)
    parts: Points = {}
    for file in folder.iterdir():
        parts |= points(file.read_text(), file.stem)
    assert parts == whole
    head = (folder / "latency.csv").read_text().partition("\n")[0]
    assert head == "time,panel,region,routing,quantile,value"


def test_one_file_has_what_standard_output_has(
    filled: Scraped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.csv"
    assert exported(filled, "--output", str(file)) == 0
    assert exported(filled) == 0
    assert file.read_text() == capsys.readouterr().out


def test_parquet_has_the_same_rows(
    filled: Scraped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.parquet"
    assert exported(filled, "-o", str(file)) == 0
    assert exported(filled) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    table = pyarrow.parquet.read_table(file)
    assert str(table.schema.field("time").type) == "int64"
    assert str(table.schema.field("value").type) == "double"
    told = table.to_pylist()
    assert len(told) == len(rows)
    for one, row in zip(told, rows, strict=True):
        value = one.pop("value")
        assert (value is None) == (row["value"] == "")
        assert value is None or math.isclose(value, float(row.pop("value")), rel_tol=0)
        row.pop("value", None)
        assert {name: str(cell) for name, cell in one.items()} == row


def test_without_pyarrow_parquet_is_refused_with_what_to_do(
    filled: Scraped,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert exported(filled, "-o", str(tmp_path), "--format", "parquet") == 2
    assert "pip install 'flashgauge[parquet]'" in capsys.readouterr().err
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.end_to_end
def test_a_reader_that_has_enough_is_no_error(filled: Scraped) -> None:
    command = [sys.executable, "-m", "dashboard", "export", "--store", str(filled.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"time,")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r9"], "there is no run 'r9'; there are r1"),
        (["-o", "run.csv", "--format", "parquet"], "run.csv is not the name of a parquet file"),
        (["--format", "parquet"], "name a file or a folder with --output"),
        (["-o", "/dev/null/run"], "cannot write /dev/null/run: Not a directory"),
        (["--store", "/none.sqlite"], "there is no store /none.sqlite"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    filled: Scraped, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert exported(filled, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_the_store_can_be_named_by_the_environment(
    filled: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export"], {"DASHBOARD_STORE": str(filled.path)}) == 0
    named = capsys.readouterr().out
    assert exported(filled) == 0
    assert capsys.readouterr().out == named


def test_a_label_is_no_formula_for_a_spreadsheet(
    hostile: Scraped, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(hostile) == 0
    told = points(capsys.readouterr().out)
    assert told == {
        ("container_load", str(START), "container='=1+1"): 1.0,
        ("container_load", str(START + 1), "container='=1+1"): None,
    }
