import logging

import pytest

from dashboard.troubles import Troubles


class Log:
    """Troubles over a clock that a test moves, and what they said."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 0.0
        self.troubles = Troubles(logging.getLogger("test"), clock=lambda: self.now)
        self.caplog = caplog

    def told(self) -> list[str]:
        told = [record.getMessage() for record in self.caplog.records]
        self.caplog.clear()
        return told


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def test_a_failure_is_told_once_and_so_is_its_end(log: Log) -> None:
    for log.now in range(100):
        log.troubles.failed("storing", "disk full")
    assert log.told() == ["storing failed: disk full"]
    log.now = 103
    log.troubles.went_well("storing")
    assert log.told() == []
    log.now = 104
    for _ in range(3):
        log.troubles.went_well("storing")
    assert log.told() == ["storing works again"]


def test_what_works_only_now_and_then_is_one_trouble(log: Log) -> None:
    for log.now in range(50):
        log.troubles.failed("storing", "disk full")
        log.now += 0.5
        log.troubles.went_well("storing")
    assert log.told() == ["storing failed: disk full"]


def test_another_reason_is_told_but_not_every_second(log: Log) -> None:
    for second in range(121):
        log.now = second
        log.troubles.failed("scraping", f"garbage {second}")
    assert log.told() == [f"scraping failed: garbage {second}" for second in (0, 60, 120)]


def test_each_thing_has_troubles_of_its_own(log: Log) -> None:
    log.troubles.failed("one", "refused")
    log.troubles.failed("other", "refused")
    assert log.told() == ["one failed: refused", "other failed: refused"]
    log.troubles.forget("one")
    log.now = 9
    log.troubles.went_well("one")
    assert log.told() == []


def test_what_never_failed_is_not_told(log: Log) -> None:
    log.troubles.went_well("storing")
    assert log.told() == []


def test_the_trace_of_an_unexpected_failure_is_there_if_asked(log: Log) -> None:
    try:
        raise RuntimeError("odd")
    except RuntimeError as error:
        log.troubles.failed("scraping", error, traced=True)
    assert "RuntimeError: odd" in log.caplog.text
