"""The file of the token: made once, kept, shared with a group, and never told in an error."""

import os
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest

from dashboard.config import configuration
from dashboard.errors import ConfigError
from dashboard.token_file import kept_token


def test_a_random_token_is_made_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "below" / "token"
    token = kept_token(file, None)
    assert len(token) == 32
    assert file.read_text() == token
    assert kept_token(file, None) == token
    assert kept_token(tmp_path / "other", None) != token


def test_only_its_user_and_group_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        kept_token(tmp_path / "token", None)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["token"]


def test_a_given_token_goes_before_the_kept_one_and_replaces_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    kept_token(file, None)
    assert kept_token(file, "chosen-by-hand") == "chosen-by-hand"
    assert file.read_text() == "chosen-by-hand"
    assert kept_token(file, None) == "chosen-by-hand"


def test_what_an_interrupted_start_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "token.new").write_text("half")
    (tmp_path / "token").write_text("")
    token = kept_token(tmp_path / "token", None)
    assert (tmp_path / "token").read_text() == token


@pytest.mark.parametrize(
    "content", [b"short", b"with some spaces", b"\xff\xfe\x00\x01\x02\x03\x04"]
)
def test_a_file_that_holds_no_token_is_an_error_that_names_it(tmp_path: Path, content) -> None:
    (tmp_path / "token").write_bytes(content)
    with pytest.raises(ConfigError, match=r"^DASHBOARD_TOKEN_FILE: ") as told:
        kept_token(tmp_path / "token", None)
    assert content.decode("latin-1") not in str(told.value)


def test_a_place_that_cannot_be_used_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file/token: File exists"):
        kept_token(tmp_path / "file" / "token", None)
    with pytest.raises(ConfigError, match="Is a directory"):
        kept_token(tmp_path, None)


def test_a_token_file_is_enough_to_listen_beyond_this_machine(tmp_path: Path) -> None:
    config = configuration(["--host", "0.0.0.0"], {"DASHBOARD_TOKEN_FILE": str(tmp_path / "token")})
    assert config.token is None
    assert config.token_file == tmp_path / "token"
    with pytest.raises(ConfigError, match="DASHBOARD_TOKEN"):
        configuration(["--host", "0.0.0.0"], {"DASHBOARD_TOKEN_FILE": ""})


def asked(page: str, token: str) -> int:
    request = urllib.request.Request(page, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def started(folder: Path, **given: str) -> subprocess.Popen[str]:
    """A dashboard that listens on all addresses and keeps its token and store in a folder."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("DASHBOARD_", "FLASH_"))}
    environ |= {"DASHBOARD_TOKEN_FILE": str(folder / "token"), **given}
    arguments = ["--host", "0.0.0.0", "--port", "0", "--store", str(folder / "store.sqlite")]
    return subprocess.Popen(
        [sys.executable, "-m", "dashboard", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
    )


@pytest.mark.parametrize("given", [None, "chosen-by-hand"])
def test_the_printed_address_carries_a_random_token_and_no_other(tmp_path: Path, given) -> None:
    file = tmp_path / "token"
    process = started(tmp_path, **({"DASHBOARD_TOKEN": given} if given else {}))
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        page, _, token = line.removeprefix("Dashboard: ").partition("?token=")
        assert page.startswith("http://127.0.0.1:")
        assert token == ("" if given else file.read_text())
        assert asked(f"{page}api/panels", file.read_text()) == 200
        assert asked(f"{page}api/panels", "another-token") == 401
    finally:
        process.terminate()
        output, errors = process.communicate(timeout=10)
    assert file.read_text() == (given or token)
    assert file.read_text() not in output + errors


def test_the_printed_address_is_the_external_one_where_that_is_told(tmp_path: Path) -> None:
    process = started(tmp_path, DASHBOARD_EXTERNAL_URL="http://127.0.0.1:18000")
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=10)
    token = (tmp_path / "token").read_text()
    assert line == f"Dashboard: http://127.0.0.1:18000/?token={token}"
