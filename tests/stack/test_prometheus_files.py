"""Prometheus' own tool on everything that we give to Prometheus."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from flash.generator_limit import CPU_LIMIT

ROOT = Path(__file__).parents[2]
FILES = ROOT / "stack" / "prometheus"
ALERTS_TEST = Path(__file__).with_name("alerts_test.yml")
RECORDING_TEST = Path(__file__).with_name("recording_test.yml")
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


def refused(promtool: str, folder: Path, tests: Path) -> str:
    """What promtool says of a test that fails with the rules of a folder."""
    here = folder / tests.name
    here.write_text(tests.read_text().replace("../../stack/prometheus/", ""))
    command = [promtool, "test", "rules", str(here)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_every_recorded_series_is_what_it_is_by_hand(promtool) -> None:
    assert "SUCCESS" in promtool("test", "rules", str(RECORDING_TEST))


def test_the_tests_of_the_recorded_series_notice_each_other_figure(program, tmp_path) -> None:
    rules = (FILES / "recording.yml").read_text()
    found = list(re.finditer(r'^ +- record: (\S+)\n +expr: "(.*)"$', rules, re.M))
    assert len(found) == rules.count("- record: ") > 0
    for rule in found:
        start = rule.start(2)
        (tmp_path / "recording.yml").write_text(f"{rules[:start]}2 * {rules[start:]}")
        told = refused(program("promtool"), tmp_path, RECORDING_TEST)
        failed = set(re.findall(r'expr: "round\((\S+), 0.001\)"', told))
        assert failed == {rule[1]}


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


def test_every_alert_is_documented_with_its_severity_and_bound() -> None:
    page = (ROOT / "docs" / "stack.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \| (objective|harness) \| (.*) \|$", page, re.M)
    alerts = (FILES / "alerts.yml").read_text().split("- alert: ")[1:]
    assert [name for name, _, _ in documented] == [alert.split()[0] for alert in alerts]
    for (name, severity, meaning), alert in zip(documented, alerts, strict=True):
        assert f"severity: {severity}}}" in alert, name
        (bound,) = re.findall(r" > ([0-9.]+)$", alert, re.M) or ["0"]
        in_percent = f"{100 * float(bound):g} %"
        assert bound == "0" or re.search(rf"above {bound} s|above {in_percent}", meaning), name
        held = re.search(r"^ +for: (\d+)([sm])", alert, re.M)
        words = {
            "10s": "for 10 s",
            "30s": "for 30 s",
            "1m": "for a minute",
            "2m": "for two minutes",
        }
        assert held is None or meaning.endswith(words[held[1] + held[2]]), name


def test_a_process_is_saturated_where_a_run_says_so() -> None:
    assert f"expr: loadgen_cpu_ratio > {CPU_LIMIT}\n" in (FILES / "alerts.yml").read_text()


def test_the_tests_of_the_alerts_notice_another_bound(program, tmp_path) -> None:
    alerts = (FILES / "alerts.yml").read_text()
    shutil.copy(FILES / "recording.yml", tmp_path)
    bounds = re.findall(r" (?:> [0-9.]+|== 0)$", alerts, re.M)
    assert len(bounds) == 7  # all but that of a missing generator
    for bound in re.finditer(r" (> [0-9.]+|== 0)$", alerts, re.M):
        other = f"{alerts[: bound.start()]} > 1e9{alerts[bound.end() :]}"
        (tmp_path / "alerts.yml").write_text(other)
        assert "FAILED" in refused(program("promtool"), tmp_path, ALERTS_TEST)
