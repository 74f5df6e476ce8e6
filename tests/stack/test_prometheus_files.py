"""Prometheus' own tool on everything that we give to Prometheus."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = ROOT / "stack" / "prometheus"
ALERTS_TEST = Path(__file__).with_name("alerts_test.yml")
ALERT = r"^ +- alert: (\w+)$"


@pytest.fixture
def promtool(program):
    """Runs promtool with arguments; its output."""
    path = program("promtool")

    def run(*arguments: str, **more: str) -> str:
        done = subprocess.run(
            [path, *arguments], capture_output=True, text=True, timeout=60, **more
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_the_configuration_and_its_rules_are_valid(promtool, tmp_path) -> None:
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    # promtool looks for the token, which is there only in the stack.
    config = (FILES / "prometheus.yml").read_text()
    token = tmp_path / "token"
    token.write_text("12345678")
    (tmp_path / "prometheus.yml").write_text(config.replace("/token/dashboard", str(token)))
    told = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert "2 rule files found" in told
    assert len(re.findall(r"SUCCESS: \d+ rules found", told)) == 2


def test_every_alert_fires_above_its_bound_and_not_below(promtool) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(ALERTS_TEST))


def test_every_alert_is_tested_both_ways() -> None:
    tested = ALERTS_TEST.read_text()
    alerts = re.findall(ALERT, (FILES / "alerts.yml").read_text(), re.M)
    assert len(alerts) == len(set(alerts)) == 8
    for alert in alerts:
        assert re.search(rf"^ +- alertname: {alert}$", tested, re.M), f"{alert} never fires"
        if alert not in ("ColdStartOverBudget", "LatencyOverObjective", "GeneratorMissing"):
            assert re.search(rf"alertname: {alert}, .*exp_alerts: \[\]", tested), alert


def test_the_tests_of_the_alerts_notice_another_bound(program, tmp_path) -> None:
    alerts = (FILES / "alerts.yml").read_text()
    shutil.copy(FILES / "recording.yml", tmp_path)
    tests = ALERTS_TEST.read_text().replace("../../stack/prometheus/", "")
    (tmp_path / "alerts_test.yml").write_text(tests)
    bounds = re.findall(r" (?:> [0-9.]+|== 0)$", alerts, re.M)
    assert len(bounds) == 7  # all but that of a missing generator
    for number, bound in enumerate(re.finditer(r" (> [0-9.]+|== 0)$", alerts, re.M)):
        other = f"{alerts[: bound.start()]} > 1e9{alerts[bound.end() :]}"
        (tmp_path / "alerts.yml").write_text(other)
        done = subprocess.run(
            [program("promtool"), "test", "rules", str(tmp_path / "alerts_test.yml")],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1, (number, bound[0])
        assert "FAILED" in done.stdout + done.stderr
