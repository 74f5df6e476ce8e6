"""How many connections there may be, from how many files."""

import resource
import subprocess
import sys

import pytest

from flash.edge.open_files import ConnectionLimit, most_connections


@pytest.mark.parametrize(
    ("files", "most"), [(65_536, 49_056), (20_000, 14_904), (1024, 672), (256, 96), (64, 1)]
)
def test_connections_leave_files_for_those_to_containers_and_for_all_else(files, most) -> None:
    assert most_connections(files) == most


def test_one_too_many_is_told_of_and_those_that_leave_make_room() -> None:
    told = []
    limit = ConnectionLimit(2, lambda: told.append(1))
    assert [limit.enter() for _ in range(4)] == [True, True, False, False]
    assert len(told) == 2
    limit.leave()
    assert [limit.enter() for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("soft", "hard", "expected"), [(300, 900, 900), (900, 900, 900), (64, 300, 300)]
)
def test_the_limit_is_raised_as_far_as_it_goes(soft, hard, expected) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip("this process may not have so many")
    code = (
        "import resource; from flash.file_limit import raise_file_limit\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "print(raise_file_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(expected), str(expected), str(hard)]
