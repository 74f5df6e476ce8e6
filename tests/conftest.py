"""What tests of several rooms need."""

import os
import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

# How long an example takes says more of the machine's other work than of the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have those begin first that take longest: the others are done beside them."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Finds an installed program; without it the test is skipped, but fails in CI."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None and os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not installed, but CI needs it")
        if path is None:
            pytest.skip(f"{name} is not installed")
        return path

    return find
