"""The files made from the panels: they are there as made, and say what the panels say."""

import json
import re

import pytest

from dashboard.panels import PANELS, Panel, Part, Quantiles, Rate, Share
from dashboard.promql import panel_expressions
from stack import recording_rules as rules
from stack.board import DATA_SOURCE, FILTERS, WINDOW, board
from stack.generate import FOLDER, generated


@pytest.mark.parametrize("name", generated())
def test_the_files_are_as_made_from_the_panels(name) -> None:
    there = (FOLDER / name).read_text(encoding="utf-8")
    assert there == generated()[name], "run make stack-files"


def test_the_board_has_every_panel_with_its_expressions() -> None:
    made = board()["panels"]
    assert [panel["title"] for panel in made] == [panel.title for panel in PANELS.values()]
    for drawn, panel in zip(made, PANELS.values(), strict=True):
        expected = panel_expressions(panel, window=WINDOW, filters=FILTERS)
        assert [target["expr"] for target in drawn["targets"]] == [e.text for e in expected]
        references = [target["refId"] for target in drawn["targets"]]
        assert len(references) == len(set(references))
        assert panel.meaning in drawn["description"]
        assert panel.metric in drawn["description"]


def test_panels_of_the_board_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in board()["panels"]]
    cells = [
        (x, y)
        for at in places
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert {x for x, _ in cells} == set(range(24))
    assert len({panel["id"] for panel in board()["panels"]}) == len(places)


def test_lines_are_named_by_their_labels_and_quantile() -> None:
    made = {
        panel["title"]: [target["legendFormat"] for target in panel["targets"]]
        for panel in board()["panels"]
    }
    assert made["Latency"] == [f"{{{{region}}}} {{{{routing}}}} p{p}" for p in (50, 95, 99)]
    assert made["Cold starts"][1] == "{{region}} {{routing}} gave_up"
    assert made["Latency heat map"] == ["{{le}}"]


def test_the_board_reads_the_data_source_that_is_provisioned() -> None:
    text = (FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text()
    assert re.search(rf"^ +uid: {DATA_SOURCE['uid']}$", text, re.M)
    assert set(re.findall(r'"uid": "([\w-]+)"', json.dumps(board()))) == {
        DATA_SOURCE["uid"],
        "flashgauge",
    }


def test_recording_rules_are_named_by_level_metric_and_operation() -> None:
    made = {rule.record: rule.expression for rule in rules.recording_rules()}
    assert len(made) == len(rules.recording_rules())
    assert made["region_routing:loadgen_requests_cold_start:rate1m"] == (
        'sum by (region, routing) (rate(loadgen_requests_total{outcome="cold_start"}[1m]))'
    )
    assert made["region_routing:loadgen_request_duration_seconds:p99_1m"] == (
        "histogram_quantile(0.99, sum by (le, region, routing) "
        "(rate(loadgen_request_duration_seconds_bucket[1m])))"
    )


def test_a_panel_that_no_rule_can_be_made_of_is_refused(monkeypatch) -> None:
    share = Panel(
        id="share", title="", unit="", meaning="", parts=(Part(Share("a_total", "b", "c")),)
    )
    monkeypatch.setattr(rules, "PANELS", {"share": share})
    monkeypatch.setattr(rules, "PANEL_IDS", ("share",))
    with pytest.raises(TypeError, match="Share"):
        rules.recording_rules()


def test_alerts_ask_for_series_that_are_recorded() -> None:
    text = (FOLDER / "prometheus/alerts.yml").read_text()
    recorded = {rule.record for rule in rules.recording_rules()}
    asked = set(re.findall(r"\b(?:region\w*):\w+:\w+", text))
    assert asked
    assert asked <= recorded


def test_only_quantiles_and_rates_are_recorded() -> None:
    kinds = {type(part.query) for id_ in rules.PANEL_IDS for part in PANELS[id_].parts}
    assert kinds == {Quantiles, Rate}
