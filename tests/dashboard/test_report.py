from __future__ import annotations

import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dashboard.__main__ import main
from dashboard.answers import PanelData
from dashboard.model import Event

if TYPE_CHECKING:
    from conftest import FakeMetrics, Scraped

START = 1_700_000_000
SECRET = "wk-secret-of-the-dashboard"
HOSTILE = "</script><script>alert(1)</script><!--"


class Read(HTMLParser):
    """An HTML file as a browser takes it: its elements, and what is in scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._in_script = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.scripts[-1] += data

    @property
    def recorded(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.scripts[0])
        return told

    @property
    def policy(self) -> str:
        (found,) = (
            attributes["content"]
            for _, attributes in self.elements
            if attributes.get("http-equiv") == "Content-Security-Policy"
        )
        return found or ""


def reported(filled: Scraped, file: Path, *arguments: str) -> str:
    command = ["report", "--store", str(filled.path), "-o", str(file), *arguments]
    assert main(command, {"DASHBOARD_TOKEN": SECRET}) == 0
    return file.read_text(encoding="utf-8")


def test_it_holds_what_the_interface_tells_for_the_time_of_the_run(
    filled: Scraped, api: Callable[..., dict[str, PanelData]], tmp_path: Path
) -> None:
    told = Read(reported(filled, tmp_path / "r.html", "r1")).recorded
    answers = api(filled, start=START, end=START + 21, step=1)
    assert list(told["data"]) == list(answers)
    for id_, answer in answers.items():
        assert told["data"][id_] == answer.model_dump(mode="json")
    (east,) = (one for one in told["summary"]["regions"] if one["labels"]["region"] == "us-east")
    assert east["outcomes"] == {"ok": 360, "cold_start": 40}
    assert told["run"]["run"] == "r1"
    (objective,) = told["run"]["objectives"]
    assert (objective["panel"], objective["quantile"], objective["limit"]) == ("latency", 0.99, 0.5)


def test_lines_of_other_runs_are_left_out(
    filled: Scraped, fake_metrics: FakeMetrics, tmp_path: Path
) -> None:
    fake_metrics.gauge("loadgen_run_start_timestamp_seconds", START + 50, run="r2")
    fake_metrics.gauge("loadgen_run_end_timestamp_seconds", 0, run="r2")
    fake_metrics.gauge("target_requests_in_flight", 5, container="later")
    asyncio.run(filled.look(fake_metrics, START + 51))

    def containers(run: str) -> set[str]:
        lines = Read(reported(filled, tmp_path / "r.html", run)).recorded["data"]["container_load"]
        return {line["labels"].get("container", "-") for line in lines["lines"]}

    assert containers("r1") == {"a", "-"}
    assert containers("latest") == {"a", "later", "-"}


def test_nothing_in_it_is_loaded_and_no_script_runs_but_its_own(
    filled: Scraped, tmp_path: Path
) -> None:
    read = Read(reported(filled, tmp_path / "r.html"))
    for tag, attributes in read.elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "img"), tag
        assert not {"src", "srcset", "style", "action", "data-settings"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        assert (attributes.get("href") or "#").startswith("#"), attributes
    data, *scripts = read.scripts
    assert json.loads(data)
    assert len(scripts) == 2
    hashes = {b64encode(sha256(script.encode()).digest()).decode() for script in scripts}
    assert set(re.findall(r"'sha256-([^']+)'", read.policy)) == hashes
    (script_sources,) = re.findall(r"script-src ([^;]+);", read.policy)
    assert "unsafe" not in script_sources
    assert read.policy.startswith("default-src 'none';")
    assert "connect-src" not in read.policy


async def _note(filled: Scraped) -> None:
    await filled.store.add_events([Event(at=START + 5.0, kind="note", text=HOSTILE)])


def test_a_text_cannot_leave_the_block_of_data(filled: Scraped, tmp_path: Path) -> None:
    asyncio.run(_note(filled))
    text = reported(filled, tmp_path / "r.html")
    read = Read(text)
    assert len(read.scripts) == 3
    assert HOSTILE in [event["text"] for event in read.recorded["events"]]
    assert "alert(1)</script>" not in text


def test_it_tells_nothing_of_whoever_made_it(filled: Scraped, tmp_path: Path) -> None:
    text = reported(filled, tmp_path / "r.html")
    assert SECRET not in text
    assert str(filled.path) not in text
    assert "http://test/metrics" not in text  # the target


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r9"], "there is no run 'r9'; there are r1"),
        (["-o", "/dev/null/r.html"], "--output: cannot write /dev/null/r.html: Not a directory"),
        (["--store", "/none.sqlite"], "there is no store /none.sqlite"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    filled: Scraped, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(["report", "--store", str(filled.path), *arguments], {}) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_a_run_whose_points_were_forgotten_has_no_report(
    filled: Scraped, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(filled.store.forget(raw_before=START + 100, all_before=0))
    file = tmp_path / "r.html"
    assert main(["report", "--store", str(filled.path), "-o", str(file)], {}) == 2
    assert "no points of this run any more" in capsys.readouterr().err
    assert not file.exists()
