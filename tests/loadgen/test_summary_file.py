import os
import stat

import pytest

from loadgen.errors import UsageError
from loadgen.summary_file import SummaryFile


def test_the_newest_summary_takes_the_place_of_the_one_before(tmp_path):
    path = tmp_path / "summary.json"
    file = SummaryFile(str(path))
    file.check()
    assert list(tmp_path.iterdir()) == []
    assert file.write("r1", "one") == str(path.resolve())
    file.check()
    assert path.read_text() == "one\n"
    file.write("r2", "two")
    assert path.read_text() == "two\n"
    assert list(tmp_path.iterdir()) == [path]


def test_with_the_run_in_its_name_each_has_a_file_of_its_own(tmp_path):
    file = SummaryFile(str(tmp_path / "{run}-{other}.json"))
    file.check()
    for run in ("r1", "r2"):
        file.write(run, f"of {run}")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "r1-{other}.json": "of r1\n",
        "r2-{other}.json": "of r2\n",
    }


def test_standard_output_has_a_line_for_each(capsys):
    file = SummaryFile("-")
    file.check()
    assert file.write("r1", "one") == "-"
    file.write("r2", "two")
    assert capsys.readouterr().out == "one\ntwo\n"


def test_a_file_is_as_readable_as_any_other_that_is_made(tmp_path):
    (tmp_path / "usual").touch()
    SummaryFile(str(tmp_path / "summary.json")).write("r1", "one")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_what_a_link_names_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "summary.json"
    link.symlink_to(tmp_path / "real" / "data.json")
    SummaryFile(str(link)).write("r1", "one")
    assert link.is_symlink()
    assert (tmp_path / "real" / "data.json").read_text() == "one\n"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no/such/folder.json", "No such file or directory"),
        ("{run}/summary.json", "No such file or directory"),
        ("folder", "it is no regular file"),
        ("pipe", "it is no regular file"),
        ("file/summary.json", "Not a directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_written_is_said_before_it_is_needed(tmp_path, path, reason):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=reason) as caught:
        SummaryFile(str(tmp_path / path)).check()
    assert "--summary-json" in str(caught.value)
    assert "LOADGEN_SUMMARY_JSON" in str(caught.value)


def test_a_failure_leaves_what_was_there_before(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    file = SummaryFile(str(folder / "summary.json"))
    file.write("r1", "one")
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="No such file or directory"):
        file.write("r2", "two")
    left = tmp_path / "elsewhere"
    assert [path.read_text() for path in left.iterdir()] == ["one\n"]
