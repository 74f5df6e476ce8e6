"""What decides stays pure: no clock, socket, randomness or framework is imported."""

import ast
from pathlib import Path

import pytest

import loadgen.client

IMPURE = {"gevent", "asyncio", "time", "random", "socket", "_socket", "ssl", "os", "locust"}
PURE = [
    "arrival_schedule",
    "capacity_search",
    "charset",
    "client_config",
    "cold_start_policy",
    "cold_start_window",
    "cold_starts",
    "content_coding",
    "contradictions",
    "cookie_store",
    "duration",
    "errors",
    "event_stream",
    "handshake",
    "lease",
    "ledger",
    "load_profile",
    "objective",
    "option",
    "origin",
    "outbox",
    "outcome",
    "proxies",
    "redirects",
    "region_figures",
    "request_body",
    "request_file",
    "request_head",
    "response_head",
    "response_reader",
    "traffic",
    "traffic_request",
    "whole_response",
    "worker_roll",
]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.partition(".")[0]
            if node.module.startswith("loadgen."):
                yield node.module


@pytest.mark.parametrize("name", PURE)
def test_a_pure_module_imports_nothing_impure(name):
    found = set(imports(Path(loadgen.client.__file__).with_name(f"{name}.py")))
    assert found & IMPURE == set()
    ours = {module.partition(".")[2] for module in found if module.startswith("loadgen.")}
    # But for its clock, which is given to it elsewhere, a recorder is pure as well.
    assert ours <= {*PURE, "recorder"}


def test_no_module_of_the_client_imports_locust():
    folder = Path(loadgen.client.__file__).parent
    for name in (*PURE, "client", "connection", "dialer", "response", "sweeper", "tls"):
        assert "locust" not in set(imports(folder / f"{name}.py"))
