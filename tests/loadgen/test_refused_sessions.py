import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.refused_sessions import RefusedSessions

EAST, SESSION = "us-east", "session-1"


class Region:
    """A region's users beside one session, and a clock."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sessions = RefusedSessions(lambda: self.now)
        self.watch = self.sessions.watch(EAST)
        self.streak = None
        self.told = 0

    def answers(self, count: int = 1) -> None:
        self.watch.answers += count

    def others_met(self, count: int = 1) -> None:
        self.watch.refusals += count

    def met(self, after_s: float = 1.0, container: str | None = None) -> None:
        self.now += after_s
        if self.streak is not None:
            self.streak.sending()
        self.watch.refusals += 1
        self.streak = self.streak or self.watch.begin(SESSION)
        self.told += self.streak.met(self.now, container)

    def end(self, *, answered: bool = True) -> None:
        self.told += self.streak.end(answered=answered)
        self.streak = None


@pytest.fixture
def region() -> Region:
    return Region()


def test_a_session_that_is_refused_beside_the_answers_of_others_is_told_of(region):
    region.met()
    for _ in range(5):
        region.answers(40)
        region.met(container="ta-bad")
    region.answers(7)
    region.end()
    (one,) = region.sessions.since(0)
    assert one._asdict() == {
        "sequence": 1,
        "at": 1006.0,
        "region": EAST,
        "session": SESSION,
        "container": "ta-bad",
        "refused": 6,
        "beside": 5,
        "seconds": 5.0,
        "others_answered": 207,
        "others_refused": 0,
        "answered": True,
    }
    assert region.told == 1
    assert region.sessions.since(1) == []


def test_in_a_cold_region_nobody_is_told_of(region):
    region.answers(1000)
    for _ in range(50):
        region.others_met(10)
        region.met()
    region.answers(1000)
    region.end()
    assert (region.told, region.sessions.since(0)) == (0, [])


def test_answers_before_the_last_503_are_not_beside_it(region):
    region.met()
    region.answers(500)
    for _ in range(20):  # one of these was sent after new answers
        region.met()
    region.end()
    assert region.told == 0


@given(beside=st.integers(1, 40), answered=st.integers(40, 400), refused=st.integers(0, 400))
def test_it_is_told_exactly_when_the_others_fared_too_well_for_chance(beside, answered, refused):
    region = Region()
    region.met(0.01)
    for _ in range(beside):
        region.answers()
        region.met(0.01)
    region.answers(answered - beside)
    region.others_met(refused)
    region.end()
    chance = beside * math.log((refused + 1) / (refused + answered + 2))
    assert region.told == (beside >= 3 and chance < math.log(1e-6))


def test_a_session_that_stays_refused_is_told_of_meanwhile(region):
    for _ in range(70):
        region.answers(20)
        region.met()
    region.end(answered=False)
    told = region.sessions.since(0)
    assert [(one.refused, one.seconds, one.answered) for one in told] == [
        (31, 30.0, False),
        (31, 30.0, False),
        (8, 7.0, False),
    ]
    assert sum(one.refused for one in told) == 70
    assert [one.others_refused for one in told] == [0, 0, 0]


def test_of_a_region_few_are_told_at_a_time_and_all_are_counted(region):
    def refused_sessions(count: int) -> None:
        for _ in range(count):
            region.met(0.0)
            for _ in range(4):
                region.answers(200)
                region.met(0.0)
            region.end()

    refused_sessions(12)
    assert (region.told, len(region.sessions.since(0))) == (12, 5)
    region.now += 31.0
    refused_sessions(2)
    assert [one.sequence for one in region.sessions.since(5)] == [6, 7]


def test_what_a_worker_took_is_told_by_its_master_at_its_own_time(region):
    region.met()
    for _ in range(5):
        region.answers(100)
        region.met()
    region.end()
    master = RefusedSessions(lambda: 5.0)
    master.merge(json.loads(json.dumps(region.sessions.take())))
    assert region.sessions.take() == []
    (one,) = master.since(0)
    assert (one.at, one.sequence, one.session, one.refused) == (5.0, 1, SESSION, 6)
