"""What tests of several rooms need."""

import os
import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

# How long an example takes says more of the machine's other work than of the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


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
