from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.availability import Gap, Leave, Leaving
from dashboard.container_lives import ContainerLife
from dashboard.refusal_cause import Cause, Circumstances, verdict_of

MET_AT = 1000.0
KNOWN = Circumstances(refused=40.0, began_at=MET_AT, told=True)


def gap(how: Leaving, *, before_s: float, ended: float | None = MET_AT + 3) -> Gap:
    at = MET_AT - before_s
    return Gap(began=at, ended=ended, lost=(Leave(at=at, container="ta-1", how=how),))


NEVER = Gap(began=None, ended=MET_AT + 3)


def texts(known: Circumstances) -> str:
    return "; ".join(fact.text for fact in verdict_of(known).facts)


@pytest.mark.parametrize(
    ("known", "cause"),
    [
        # Nobody was there, and somebody came.
        ({"gap": NEVER}, Cause.SCALE_FROM_ZERO),
        ({"gap": gap(Leaving.DRAINED, before_s=40)}, Cause.SCALE_FROM_ZERO),
        ({"gap": gap(Leaving.KILLED, before_s=40)}, Cause.SCALE_FROM_ZERO),
        ({"gap": replace(NEVER, ended=None), "starting": 1}, Cause.SCALE_FROM_ZERO),
        ({"gap": NEVER, "failed": 2}, Cause.SCALE_FROM_ZERO),
        # Somebody left while requests came.
        ({"gap": gap(Leaving.DRAINED, before_s=0.5)}, Cause.DRAINING),
        ({"gap": gap(Leaving.KILLED, before_s=0.5)}, Cause.NO_CONTAINER),
        ({"gap": gap(Leaving.EXITED, before_s=0.5)}, Cause.NO_CONTAINER),
        ({"gap": gap(Leaving.UNHEALTHY, before_s=0.5)}, Cause.NO_CONTAINER),
        ({"gap": gap(Leaving.GONE, before_s=2.0)}, Cause.NO_CONTAINER),
        # The first one of all regions tells whether requests came.
        (
            {"gap": gap(Leaving.KILLED, before_s=9), "first_in_gap_at": MET_AT - 8.5},
            Cause.NO_CONTAINER,
        ),
        # Where it is seen late that one is gone, it may have been serving a while before.
        ({"gap": gap(Leaving.GONE, before_s=8), "vague_s": 6.0}, Cause.NO_CONTAINER),
        # None came up.
        ({"gap": replace(NEVER, ended=None), "failed": 2}, Cause.NO_CONTAINER),
        (
            {"gap": gap(Leaving.DRAINED, before_s=40, ended=None), "failed": 1},
            Cause.NO_CONTAINER,
        ),
        ({"gap": replace(NEVER, ended=None)}, Cause.UNKNOWN),
        # Containers were there.
        ({"live": (2, 2), "in_flight": (8.0, 9.5), "target_concurrency": 8.0}, Cause.SATURATION),
        ({"live": (2, 2), "in_flight": (3.0, 9.5), "target_concurrency": 8.0}, Cause.UNKNOWN),
        ({"live": (2, 2), "throttled": 12.0}, Cause.SATURATION),
        (
            {
                "live": (2, 2),
                "throttled": 12.0,
                "in_flight": (0.0, 1.0),
                "target_concurrency": 8.0,
            },
            Cause.UNKNOWN,
        ),
        ({"live": (1, 1), "containers_503s": 39.0, "all_503s": 40.0}, Cause.APPLICATION),
        ({"live": (1, 1), "containers_503s": 9.0, "all_503s": 40.0}, Cause.UNKNOWN),
        ({"live": (1, 1), "answered": 500.0}, Cause.UNKNOWN),
        # A container said so itself, whatever else was going on.
        ({"named": True}, Cause.APPLICATION),
        ({"named": True, "gap": NEVER}, Cause.APPLICATION),
    ],
)
def test_the_cause_is_that_of_the_first_rule_that_fits(known, cause) -> None:
    assert verdict_of(replace(KNOWN, **known)).cause is cause


FULL = {
    "gap": gap(Leaving.UNHEALTHY, before_s=0.5),
    "load": 17.0,
    "containers_before": 2,
    "target_concurrency": 8.0,
    "max_containers": 2.0,
}


def test_containers_that_stopped_answering_when_they_had_all_they_were_to_have_were_full() -> None:
    known = replace(KNOWN, **FULL)
    assert verdict_of(known).cause is Cause.SATURATION
    assert "17 requests under way before on 2 containers, 8 aimed at for each" in texts(known)
    assert "no more containers are allowed" in texts(known)


@pytest.mark.parametrize(
    "less",
    [
        {"load": 15.0},
        {"load": None},
        {"target_concurrency": None},
        {"max_containers": 3.0},
        {"starting": 1},
    ],
)
def test_they_were_not_if_there_was_room_or_that_is_not_known(less) -> None:
    assert verdict_of(replace(KNOWN, **{**FULL, **less})).cause is Cause.NO_CONTAINER


def test_the_evidence_of_a_cold_start_is_how_long_it_was_and_who_came() -> None:
    life = ContainerLife(task_id="ta-2", requested_at=MET_AT + 0.1, live_at=MET_AT + 3)
    known = replace(KNOWN, gap=gap(Leaving.DRAINED, before_s=61.25), came=(life,))
    facts = {fact.name: fact for fact in verdict_of(known).facts}
    assert facts["since_last_container_s"].value == 61.25
    assert facts["since_last_container_s"].text == (
        "the last container, ta-1, was drained 61.2 s before the first 503"
    )
    assert facts["boot_s"].value == pytest.approx(2.9)
    assert facts["boot_s"].text == "ta-2 took 2.9 s to come up"


def test_without_anybody_who_tells_of_containers_nothing_is_made_up() -> None:
    known = Circumstances(refused=40.0, began_at=MET_AT, answered=12.0)
    verdict = verdict_of(known)
    assert verdict.cause is Cause.UNKNOWN
    assert texts(known) == (
        "nobody tells which containers there were; 12 attempts answered meanwhile"
    )
    assert verdict_of(replace(known, throttled=3.0)).cause is Cause.UNKNOWN


@given(
    st.builds(
        Circumstances,
        refused=st.floats(1, 1e6),
        began_at=st.just(MET_AT),
        named=st.booleans(),
        answered=st.floats(0, 1e6),
        throttled=st.floats(0, 1e6),
        told=st.booleans(),
        vague_s=st.sampled_from([0.0, 6.0]),
        gap=st.none()
        | st.builds(
            gap,
            st.sampled_from(Leaving),
            before_s=st.floats(-2, 100),
            ended=st.none() | st.just(MET_AT + 3),
        ),
        first_in_gap_at=st.none() | st.floats(MET_AT - 5, MET_AT),
        live=st.none() | st.just((1, 2)),
        starting=st.integers(0, 3),
        failed=st.integers(0, 3),
        load=st.none() | st.floats(0, 100),
        containers_before=st.none() | st.integers(0, 4),
        in_flight=st.none() | st.just((2.0, 9.0)),
        target_concurrency=st.none() | st.floats(0.5, 20),
        max_containers=st.none() | st.integers(1, 8).map(float),
        edge_503s=st.none() | st.floats(0, 1e6),
        containers_503s=st.none() | st.floats(0, 1e6),
        all_503s=st.floats(0, 1e6),
    )
)
def test_every_verdict_has_evidence_and_only_containers_own_503s_are_the_applications(
    known: Circumstances,
) -> None:
    verdict = verdict_of(known)
    assert verdict.facts
    assert all(fact.text and fact.value == fact.value for fact in verdict.facts)
    assert len({fact.name for fact in verdict.facts}) == len(verdict.facts)
    if verdict.cause is Cause.APPLICATION:
        assert known.named or known.containers_503s
    if known.gap is None and not known.told:
        assert verdict.cause in (Cause.UNKNOWN, Cause.APPLICATION)
