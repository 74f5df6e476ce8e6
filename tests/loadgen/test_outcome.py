import pytest

from loadgen.outcome import OUTCOMES, outcome_of_status


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (204, "ok"),
        (304, "ok"),
        (399, "ok"),
        (400, "client_error"),
        (404, "client_error"),
        (428, "client_error"),
        (429, "throttled"),
        (430, "client_error"),
        (499, "client_error"),
        (500, "server_error"),
        (502, "server_error"),
        (503, "cold_start"),
        (504, "server_error"),
        (599, "server_error"),
    ],
)
def test_a_status_has_its_outcome(status, outcome):
    assert outcome_of_status(status) == outcome


def test_every_status_has_one_of_the_outcomes_that_are_counted():
    assert {outcome_of_status(status) for status in range(100, 600)} <= set(OUTCOMES)
    assert len(set(OUTCOMES)) == len(OUTCOMES)
