"""Faults on purpose: what they are, and what is refused by name."""

import re

import pytest

from flash.edge.faults import Faults


def test_nothing_goes_wrong_unless_told() -> None:
    assert Faults() == Faults(
        latency_s=0, refuse_next=0, refuse_share=0, reset_share=0, body_bytes_per_s=0
    )


def test_some_are_changed_and_the_others_stay() -> None:
    faults = Faults(latency_s=0.5).changed({"refuse_next": 3.0, "reset_share": 0.25})
    assert faults == Faults(latency_s=0.5, refuse_next=3, reset_share=0.25)
    assert isinstance(faults.refuse_next, int)
    assert faults.changed({"latency_s": 0}) == Faults(refuse_next=3, reset_share=0.25)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"latency": 1}, "latency: no such fault; there are latency_s, refuse_next"),
        ({"latency_s": -1}, "latency_s: expected a number from 0 to 60, got -1"),
        ({"latency_s": 61}, "latency_s: expected a number from 0 to 60, got 61"),
        ({"latency_s": "1"}, "latency_s: expected a number, got '1'"),
        ({"latency_s": None}, "latency_s: expected a number, got 'None'"),
        ({"latency_s": float("nan")}, "latency_s: expected a number, got 'nan'"),
        ({"refuse_next": True}, "refuse_next: expected a number, got 'True'"),
        ({"refuse_next": 1.5}, "refuse_next: expected a whole number, got 1.5"),
        ({"refuse_next": float("inf")}, "refuse_next: expected a number, got 'inf'"),
        ({"refuse_share": 1.1}, "refuse_share: expected a number from 0 to 1, got 1.1"),
        ({"reset_share": -0.1}, "reset_share: expected a number from 0 to 1"),
        ({"body_bytes_per_s": 1e13}, "body_bytes_per_s: expected a number from 0 to 1e+12"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(given, named) -> None:
    with pytest.raises(ValueError, match=re.escape(named)):
        Faults().changed(given)
