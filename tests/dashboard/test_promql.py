import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.lines import filterable
from dashboard.panels import PANELS, Buckets, Gauge, Quantiles, Query, Rate, Samples, Share
from dashboard.promql import Expression, matchers_of, panel_expressions, query_expressions, selector


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (Rate("a_total", by=("region",)), ["sum by (region) (rate(a_total[5s]))"]),
        (
            Rate("a_total", by=(), only=("outcome", "ok")),
            ['sum(rate(a_total{outcome="ok"}[5s]))'],
        ),
        (Samples("h", by=("region",)), ["sum by (region) (rate(h_count[5s]))"]),
        (Gauge("g"), ["sum(last_over_time(g[5s]))"]),
        (Buckets("h", by=("region",)), ["sum by (le, region) (rate(h_bucket[5s]))"]),
        (
            Quantiles("h", by=("region",), quantiles=(0.5, 0.999)),
            [
                "histogram_quantile(0.5, sum by (le, region) (rate(h_bucket[5s])))",
                "histogram_quantile(0.999, sum by (le, region) (rate(h_bucket[5s])))",
            ],
        ),
        (
            Share("s_total", "container", "same", by=("region",)),
            [
                '(sum by (region) (rate(s_total{container="same"}[5s]))'
                " or 0 * sum by (region) (rate(s_total[5s])))"
                " / sum by (region) (rate(s_total[5s]))"
            ],
        ),
    ],
)
def test_each_query_has_its_expression(query: Query, expected: list[str]) -> None:
    assert [found.text for found in query_expressions(query, window="5s")] == expected


def test_quantiles_are_told_by_a_label_only_where_the_panel_has_it() -> None:
    told = query_expressions(Quantiles("h", quantiles=(0.5,)), window="5s")
    assert told[0].labels == (("quantile", "0.5"),)
    untold = query_expressions(Quantiles("h", quantiles=(0.5,), labelled=False), window="5s")
    assert untold[0].labels == ()


def test_a_panel_s_expressions_are_filtered_where_its_lines_are() -> None:
    filters = {"region": 'region=~"$region"', "routing": 'routing=~"$routing"'}
    found = panel_expressions(PANELS["cold_starts"], window="$__rate_interval", filters=filters)
    chosen = '{region=~"$region", routing=~"$routing"}[$__rate_interval]'
    assert found == [
        Expression(
            text=f"sum by (region, routing) (rate(loadgen_cold_start_wait_seconds_count{chosen}))",
            labels=(("result", "answered"),),
        ),
        Expression(
            text=f"sum by (region, routing) (rate(loadgen_cold_start_giveups_total{chosen}))",
            labels=(("result", "gave_up"),),
        ),
    ]
    for panel in PANELS.values():
        texts = panel_expressions(panel, window="10s", filters=filters)
        for part in panel.parts:
            labels = {name for name in filters if name in filterable(part.query)}
            here = [found.text for found in texts if part.query.metric in found.text]
            assert here
            assert all({n for n in filters if f"${n}" in text} == labels for text in here)


def test_labels_possible_values_become_matchers() -> None:
    match = {"region": frozenset({"eu", "us.1"}), "routing": frozenset({'a"b\\\n'})}
    assert matchers_of(match) == ['region=~"eu|us\\\\.1"', 'routing="a\\"b\\\\\\n"']
    assert matchers_of({"region": frozenset({""})}) == ['region=""']
    assert matchers_of({"region": frozenset({"", "us"})}) == ['region=~"|us"']
    assert selector("m", matchers_of({})) == "m"


@given(st.frozensets(st.text(max_size=8), min_size=1, max_size=4), st.text(max_size=8))
def test_a_matcher_lets_through_exactly_the_values_given(
    values: frozenset[str], other: str
) -> None:
    (matcher,) = matchers_of({"region": values})
    operator, text = re.fullmatch(r"region(=~?)(.*)", matcher, re.S).groups()  # type: ignore[union-attr]
    pattern = json.loads(text)
    for value in (*values, other):
        matches = re.fullmatch(pattern, value) if operator == "=~" else pattern == value
        assert bool(matches) == (value in values)


def test_prometheus_reads_every_panel_s_expressions(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    promtool = program("promtool")
    filters = {
        matcher.split("=")[0]: matcher
        for matcher in matchers_of(
            {"region": frozenset({"us-east", 'a"\\.b \n'}), "routing": frozenset({"é\t"})}
        )
    }
    rules = [
        {"record": "panel:expression", "expr": expression.text, "labels": {"n": f"{panel}{n}"}}
        for panel in PANELS
        for n, expression in enumerate(
            panel_expressions(PANELS[panel], window="1999ms", filters=filters)
        )
    ]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    done = subprocess.run(
        [promtool, "check", "rules", str(path)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout
