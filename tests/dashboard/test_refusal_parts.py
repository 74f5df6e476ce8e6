import numpy as np
import pytest

from dashboard.cold_starts import spans


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ([0, 0, 0], []),
        ([5, 2, 0], [(0, 2)]),
        ([0, 1, 0, 0, 3, 0], [(1, 5)]),
        ([1, 0, 0, 0, 1], [(0, 1), (4, 5)]),
        ([np.nan, 4, np.nan, np.nan], [(1, 2)]),
    ],
)
def test_runs_of_refusals_go_on_over_short_pauses(
    refused: list[float], expected: list[tuple[int, int]]
) -> None:
    assert spans(np.array(refused), 2) == expected
