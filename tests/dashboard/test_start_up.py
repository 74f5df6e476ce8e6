"""Start and end in every order, on whatever lies where the store should: refused, never harmed."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dashboard.__main__ import main
from dashboard.store import SCHEMA_VERSION, Store

if TYPE_CHECKING:
    from conftest import Dashboard, FakeTarget, Until

REQUESTS = "loadgen_requests_total"
COMMANDS = [
    pytest.param((), id="serve"),
    pytest.param(("check", "--slo", "p99 < 1s"), id="check"),
    pytest.param(("report",), id="report"),
    pytest.param(("export",), id="export"),
]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, **environ: str) -> str:
    """The one line that a command is refused with, at status 2."""
    assert main(list(arguments), environ) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("dashboard: ")
    assert told.err.count("\n") == 1
    return told.err


def store_at(path: Path, change: str = "") -> None:
    Store(path).close()
    if change:
        connection = sqlite3.connect(path)
        connection.executescript(change)
        connection.close()


def not_a_store(path: Path) -> None:
    path.write_bytes(b"notes of mine, and no database\n" * 300)


def empty(path: Path) -> None:
    path.touch()


def cut_off(path: Path) -> None:
    store_at(path)
    path.write_bytes(path.read_bytes()[:5000])


def corrupt(path: Path) -> None:
    store_at(path)
    whole = bytearray(path.read_bytes())
    for page in range(1, len(whole) // 4096):
        whole[page * 4096 : page * 4096 + 64] = b"\xa5" * 64
    path.write_bytes(whole)


def future(path: Path) -> None:
    store_at(path, f"PRAGMA user_version = {SCHEMA_VERSION + 7}")


def somebody_else_s(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipe (name TEXT)")
    connection.close()


def folder(path: Path) -> None:
    (path / "inside").mkdir(parents=True)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("lies_there", "why"),
    [
        (not_a_store, "file is not a database"),
        (cut_off, "malformed|damaged|disk image"),
        (corrupt, "malformed|damaged"),
        (future, f"version {SCHEMA_VERSION + 7}, written by a newer dashboard.*update it"),
        (somebody_else_s, "database of another program"),
        (folder, "is a folder|there is no store"),
    ],
)
def test_what_is_no_store_of_ours_is_refused_with_the_way_out_twice_and_never_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    lies_there: Callable[[Path], None],
    why: str,
) -> None:
    path = tmp_path / "s.sqlite"
    lies_there(path)
    before = path.read_bytes() if path.is_file() else sorted(path.iterdir())
    for _ in range(2):
        told = refused(
            capsys, *command, "--store", str(path), *(() if command else ("--port", "0"))
        )
        assert re.search(why, told), told
        assert str(path) in told
        assert "--store" in told
        assert (path.read_bytes() if path.is_file() else sorted(path.iterdir())) == before


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A folder with a store in it that nobody may write, root included."""
    place = tmp_path / "read-only"
    place.mkdir()
    if os.geteuid() != 0:
        store_at(place / "s.sqlite")
        place.chmod(0o555)
        yield place
        place.chmod(0o755)
        return
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("root may write everywhere, and nothing can be mounted here")
    store_at(place / "s.sqlite")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_folder_that_may_only_be_read_is_told(
    read_only: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("s.sqlite", "new.sqlite", "deeper/new.sqlite"):
        path = read_only / name
        told = refused(capsys, "--port", "0", "--store", str(path))
        assert f"cannot open store {path}" in told
        assert "pass another file with --store" in told
    # Reading it is all that these want.
    for command in (("report",), ("export",), ("check", "--slo", "p99 < 1s")):
        assert "has no run" in refused(capsys, *command, "--store", str(read_only / "s.sqlite"))


def test_a_path_through_a_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    told = refused(capsys, "--port", "0", "--store", str(tmp_path / "file" / "s.sqlite"))
    assert "cannot open store" in told
    assert "--store" in told


def test_a_port_in_use_leaves_the_store_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.sqlite"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for _ in range(2):
            assert f"port {port} is in use" in refused(capsys, "--port", port, "--store", str(path))
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--host", "a..b"), "cannot listen on a..b"),
        (("--host", "\u00fc" * 70), "is no name of a host"),
        (("--host", "nowhere.invalid"), "cannot listen on nowhere.invalid"),
        (("--host", "203.0.113.1"), "cannot listen on 203.0.113.1"),
    ],
)
def test_an_address_that_cannot_be_had_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, str], why: str
) -> None:
    path = str(tmp_path / "s.sqlite")
    told = refused(
        capsys, *arguments, "--port", "0", "--store", path, DASHBOARD_TOKEN="long-enough"
    )
    assert why in told
    assert "long-enough" not in told


def test_an_empty_file_becomes_a_store_as_a_missing_one_does(tmp_path: Path) -> None:
    for number, lies_there in enumerate((empty, lambda path: None)):
        path = tmp_path / f"{number}.sqlite"
        lies_there(path)
        Store(path).close()
        Store(path).close()
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        connection.close()


@pytest.mark.end_to_end
def test_whoever_comes_and_goes_first_all_is_counted_once(
    tmp_path: Path, start: Callable[..., Dashboard], until: Until, fake_targets: list[FakeTarget]
) -> None:
    """The dashboard before its target and after it; each ends first once, in all three ways."""
    began, store = time.time() - 5, tmp_path / "s.sqlite"
    target = fake_targets[0]
    target.metrics.gauge("process_start_time_seconds", time.time() + 1)
    counted = 0

    def count(amount: int) -> None:
        nonlocal counted
        target.metrics.count(REQUESTS, amount, outcome="ok")
        counted += amount

    # The target answers only later.
    page, target.status = target.answer, 503
    dashboard = start(store, "--scrape", target.url)
    until(lambda: dashboard.get("/api/targets")[0]["error"] is not None)
    count(3)
    target.status = 200
    until(lambda: dashboard.total("throughput", began) == counted)
    for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        # A second one with its store is refused, and harms nobody.
        second = subprocess.run(
            [sys.executable, "-m", "dashboard", "--port", "0", "--store", str(store)],
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert second.returncode == 2
        assert "in use by another dashboard" in second.stderr
        count(5)
        code, errors = dashboard.stop(sig)
        assert code == (0 if sig != signal.SIGKILL else -signal.SIGKILL)
        assert "Traceback" not in errors
        # The target goes, and comes back with its counts, while nobody watches, or while one does.
        target.answer = lambda: b""
        count(7)
        dashboard = start(store, "--scrape", target.url)
        until(lambda now=dashboard: now.get("/api/targets")[0]["error"] is not None)
        target.answer = page
        until(lambda now=dashboard: now.total("throughput", began) == counted)
    assert dashboard.stop(signal.SIGINT)[0] == 0
