import numpy as np
import pytest

from dashboard.cold_starts import container_starts, spans
from dashboard.model import Event


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


def test_a_containers_way_up_is_put_together_from_its_events() -> None:
    def event(at: float, kind: str, container: str) -> Event:
        return Event(at=at, kind=kind, text="", labels={"container": container})

    found = container_starts(
        [
            event(1.0, "container_starting", "b"),
            event(2.0, "container_starting", "a"),
            event(2.5, "container_process_started", "b"),
            event(3.0, "container_live", "b"),
            event(4.0, "container_live", "unknown"),
            event(9.0, "container_draining", "b"),
        ]
    )
    assert [
        (start.task_id, start.requested_at, start.process_started_at, start.live_at)
        for start in found
    ] == [("b", 1.0, 2.5, 3.0), ("a", 2.0, None, None)]
