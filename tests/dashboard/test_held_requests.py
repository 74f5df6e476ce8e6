import numpy as np

from dashboard.container_lives import ContainerLife
from dashboard.held_requests import held_requests
from dashboard.source import Histograms
from dashboard.window import Window
from flash.buckets import BOUNDS_S, BUCKETS, bucket_of

WINDOW = Window(100, 110, 1)
BOUNDS = (*BOUNDS_S, float("inf"))


def overheads(*samples: tuple[int, float]) -> Histograms:
    """Of one region: at which second, and how long."""
    counts = np.zeros((1, WINDOW.steps, BUCKETS))
    for second, seconds in samples:
        counts[0, second - WINDOW.start, bucket_of(seconds)] += 1
    sums = np.zeros((1, WINDOW.steps))
    scraped = np.ones((1, WINDOW.steps), dtype=np.bool_)
    return Histograms(((("region", "us-east"),),), BOUNDS, counts, sums, scraped)


def test_what_took_up_to_a_second_was_not_held() -> None:
    assert held_requests(overheads((101, 1.0), (102, 0.2)), WINDOW, []) == []


def test_held_requests_are_told_with_the_containers_that_came_meanwhile() -> None:
    lives = [
        ContainerLife(task_id="early", live_at=90.0),
        ContainerLife(task_id="came", live_at=103.2),
        ContainerLife(task_id="late", live_at=109.0),
        ContainerLife(task_id="never"),
    ]
    told = overheads((104, 3.0), (104, 2.0), (104, 0.1), (106, 4.0))
    (held,) = held_requests(told, WINDOW, lives)
    assert (held.region, held.began_at, held.ended_at, held.held) == ("us-east", 104, 107, 3.0)
    assert 4.0 / 1.05 < held.longest_s < 4.0 * 1.05
    assert [life.task_id for life in held.came] == ["came"]


def test_stretches_are_apart_and_the_newest_is_first() -> None:
    told = held_requests(overheads((100, 2.0), (105, 2.0)), WINDOW, [])
    assert [(held.began_at, held.held) for held in told] == [(105, 1.0), (100, 1.0)]
