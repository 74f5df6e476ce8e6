import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

from argparse import Namespace
from types import SimpleNamespace

import pytest

from loadgen.capacity_load import prepare_search
from loadgen.errors import UsageError


@pytest.mark.parametrize(
    ("given", "users"),
    [
        ((None, None), (300, 100.0)),
        ((None, 5.0), (300, 5.0)),
        ((12, None), (12, None)),
        ((12, 3.0), (12, 3.0)),
    ],
)
def test_without_users_a_search_has_a_hundred_for_each_region(given, users):
    parsed = Namespace(num_users=given[0], spawn_rate=given[1])
    prepare_search(SimpleNamespace(parsed_options=parsed, shape_class=None), 3)
    assert (parsed.num_users, parsed.spawn_rate) == users


def test_a_shape_of_the_locustfile_contradicts_a_search():
    environment = SimpleNamespace(parsed_options=None, shape_class=object())
    with pytest.raises(UsageError, match="--find-capacity and the locustfile's shape object"):
        prepare_search(environment, 1)
