"""A deployed server is looked up with the real ``modal`` client, at a stand-in for Modal."""

import json

import pytest

pytestmark = pytest.mark.end_to_end

URLS = [
    "https://w--shop-server.us-east.modal.direct",
    "https://w--shop-server.eu-west.modal.direct",
]
CLASS = ("--modal-app", "shop", "--modal-cls", "Server")
SERVER = ("--modal-app", "shop", "--modal-server", "server")


def test_the_client_tells_urls_and_containers_of_both_forms(start, modal_account) -> None:
    containers = [("ta-1", "r1.modal.host", 443), ("ta-2", "r2.modal.host", 8443)]
    modal_account.tell(urls=URLS, containers=containers)
    asked = {
        question: start("-m", "flash", *question, **modal_account.environ)
        for question in (
            ("urls", *CLASS),
            ("urls", *SERVER),
            ("containers", *CLASS),
            ("containers", *SERVER),
            ("urls", "--modal-app", "unknown", "--modal-cls", "Server"),
        )
    }
    *known, unknown = asked.values()
    assert [running.wait(within_s=60) for running in known] == [0] * 4
    told = [json.loads(running.output()) for running in known]
    assert told == [URLS, URLS[:1], *[[list(one) for one in containers]] * 2]
    assert unknown.wait(within_s=60) == 2
    (line,) = unknown.output().splitlines()
    assert line.startswith("flash: class Server of Modal app unknown: NotFoundError: ")
    assert line.endswith("check the names, and that 'modal token info' knows you")
    assert "as-stand-in" not in line


def test_load_goes_to_the_urls_of_a_class_that_is_looked_up(
    start, free_ports, http, modal_account, tmp_path
) -> None:
    admin, region, metrics = free_ports(3)
    start(
        *("-m", "flash.edge", "--region", "us-east", "--admin-port", str(admin)),
        *("--first-port", str(region), "--boot-delay", "0", "--no-rtt"),
    )
    http.until(
        lambda: http.get(f"http://127.0.0.1:{admin}/healthz").status == 200,
        within_s=30,
        what="the edge is there",
    )
    modal_account.tell(urls=[f"http://127.0.0.1:{region}"])
    summary = tmp_path / "summary.json"
    locust = start(
        *("-m", "locust", "-f", "loadgen", "--headless", "--users", "4", "--spawn-rate", "4"),
        *("--run-time", "3s", "--stop-timeout", "20", "--metrics-port", str(metrics)),
        *("--summary-json", str(summary), *CLASS),
        **modal_account.environ,
    )
    assert locust.wait(within_s=60) == 0, locust.output()
    answers = http.total(f"http://127.0.0.1:{admin}/metrics", "edge_requests_total", code="200")
    assert json.loads(summary.read_text())["totals"]["outcomes"]["ok"] == answers > 0
    assert "FlashContainerList" not in modal_account.asked()
