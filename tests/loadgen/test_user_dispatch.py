import os
from collections import Counter

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import pytest
from locust import User
from locust.dispatch import UsersDispatcher
from locust.runners import WorkerNode

from loadgen.user_dispatch import EvenDispatcher


class Sticky(User):
    pass


class NonSticky(User):
    pass


class Heavy(User):
    weight = 3


class Fixed(User):
    fixed_count = 2


def dealt(dispatcher, workers: int, classes, users: int) -> dict[str, Counter[str]]:
    nodes = [WorkerNode(id=f"host{n}_x") for n in range(workers)]
    made = dispatcher(worker_nodes=nodes, user_classes=list(classes))
    made.new_dispatch(target_user_count=users, spawn_rate=users)
    last = list(made)[-1]
    return {worker: Counter(counts) for worker, counts in last.items()}


@pytest.mark.parametrize("workers", [2, 3, 4, 5, 6])
def test_every_worker_has_users_of_every_class(workers):
    for counts in dealt(EvenDispatcher, workers, (Sticky, NonSticky), 20 * workers).values():
        assert sum(counts.values()) == 20
        assert abs(counts["Sticky"] - counts["NonSticky"]) <= 2


def test_locusts_own_dealing_would_sort_them():
    """What it is for: once this fails, Locust does it by itself."""
    first, second = dealt(UsersDispatcher, 2, (Sticky, NonSticky), 40).values()
    assert {first["Sticky"], second["Sticky"]} == {0, 20}


@pytest.mark.parametrize("users", [1, 2, 3, 7, 24, 30])
@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("classes", [(Sticky, NonSticky), (Heavy, NonSticky), (Sticky, Fixed)])
def test_workers_have_as_many_users_as_with_locusts_own(workers, classes, users):
    ours = dealt(EvenDispatcher, workers, classes, users)
    locusts = dealt(UsersDispatcher, workers, classes, users)
    assert [sum(counts.values()) for counts in ours.values()] == [
        sum(counts.values()) for counts in locusts.values()
    ]
    if users % workers == 0 or Fixed in classes:
        assert sum(ours.values(), Counter()) == sum(locusts.values(), Counter())
