"""Pure modules stay pure: no clock, socket, randomness or framework is imported by them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPURE = {"gevent", "asyncio", "time", "random", "socket", "locust", "os", "threading", "datetime"}
PURE = [
    "flash/autoscaler.py",
    "flash/buckets.py",
    "flash/duration.py",
    "flash/generator_limit.py",
    "flash/number_text.py",
    "flash/objective.py",
    "flash/platform.py",
    "flash/regions.py",
    "flash/rendezvous.py",
]


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_nothing_impure(name: str) -> None:
    assert imports(ROOT / name) & IMPURE == set()
