"""Three minutes of the soak, beside the other tests; ``make soak`` is half an hour of it."""

import pytest


@pytest.mark.end_to_end
@pytest.mark.first
@pytest.mark.timeout(400)
def test_nothing_grows_and_nothing_is_lost_in_three_minutes(start) -> None:
    ran = start("-m", "benchmarks.soak", "--minutes", "3", "--rate", "50", "--busy")
    assert ran.wait(within_s=360) == 0, ran.output()
    # Each party's count of what was meant to be sent is there, and each process's memory.
    assert ran.output().count("| 9000 | 9000 |") == 7
    for part in ("edge", "edge 1", "dashboard", "locust", "locust 1", "locust 2"):
        for what in ("MiB", "open files"):
            assert f"| {part}: {what} |" in ran.output()
