"""The life of a container: every state meets every happening."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.edge.life_cycle import Happening, State, next_state

H, S = Happening, State


@pytest.mark.parametrize(
    ("happenings", "state"),
    [
        ([], S.STARTING),
        ([H.PORT_OPEN], S.LIVE),
        ([H.STARTED_TOO_SLOWLY], S.DRAINING),
        ([H.STARTED_TOO_SLOWLY, H.EXITED], S.GONE),
        ([H.PORT_OPEN, H.CHECK_FAILED], S.UNHEALTHY),
        ([H.PORT_OPEN, H.CHECK_FAILED, H.CHECK_PASSED], S.LIVE),
        ([H.PORT_OPEN, H.CHECK_FAILED, H.TOO_MANY_FAILED], S.DRAINING),
        ([H.PORT_OPEN, H.STOPPED], S.DRAINING),
        ([H.PORT_OPEN, H.STOPPED, H.CHECK_PASSED], S.DRAINING),
        ([H.PORT_OPEN, H.STOPPED, H.PORT_OPEN], S.DRAINING),
        ([H.PORT_OPEN, H.EXITED], S.GONE),
        ([H.STOPPED, H.EXITED], S.GONE),
        ([H.CHECK_PASSED], S.STARTING),
    ],
)
def test_a_life_leads_where_it_should(happenings, state) -> None:
    now = S.STARTING
    for happening in happenings:
        now = next_state(now, happening)
    assert now is state


@given(st.lists(st.sampled_from(Happening)), st.lists(st.sampled_from(Happening)))
def test_there_is_no_way_back_from_draining_or_gone(before, after) -> None:
    now = S.STARTING
    for happening in before:
        now = next_state(now, happening)
    once_draining = now in (S.DRAINING, S.GONE)
    for happening in after:
        now = next_state(now, happening)
    assert not once_draining or now in (S.DRAINING, S.GONE)


@given(st.sampled_from(State))
def test_an_exit_ends_every_life(state) -> None:
    assert next_state(state, H.EXITED) is S.GONE
