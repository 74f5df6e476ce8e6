from hypothesis import given
from hypothesis import strategies as st

from dashboard.availability import Gap, Leave, Leaving, availability_of
from dashboard.model import Event

KINDS = "starting process_started live draining killed exited failed unhealthy gone".split()


def event(at: float, kind: str, container: str = "a") -> Event:
    return Event(at=at, kind=f"container_{kind}", text="", labels={"container": container})


def left(at: float, how: Leaving, container: str = "a") -> Leave:
    return Leave(at=at, container=container, how=how)


def test_a_server_that_wakes_up_had_no_container_before() -> None:
    found = availability_of([event(5.0, "starting"), event(8.0, "live")], ())
    assert found.gaps == (Gap(began=None, ended=8.0),)
    assert (found.live(0.0, 7.9), found.live(0.0, 8.0), found.live(9.0, 20.0)) == (
        (0, 0),
        (0, 1),
        (1, 1),
    )


def test_a_gap_tells_who_left_last_and_how() -> None:
    found = availability_of(
        [
            event(10.0, "draining", "a"),
            event(14.0, "killed", "b"),
            event(14.0, "draining", "b"),
            event(15.0, "exited", "c"),
            event(15.1, "gone", "c"),
            event(20.0, "live", "d"),
        ],
        "abc",
    )
    lost = (left(14.0, Leaving.KILLED, "b"), left(15.0, Leaving.EXITED, "c"))
    assert found.gaps == (Gap(began=15.0, ended=20.0, lost=lost),)
    assert found.live(9.0, 14.5) == (1, 3)


def test_a_container_whose_port_does_not_answer_is_out_until_it_does() -> None:
    found = availability_of([event(3.0, "unhealthy"), event(4.5, "live")], "a")
    assert found.gaps == (Gap(began=3.0, ended=4.5, lost=(left(3.0, Leaving.UNHEALTHY),)),)


def test_containers_without_events_leave_no_gap() -> None:
    found = availability_of([event(3.0, "killed")], "a", unnamed=2)
    assert (found.gaps, found.live(0.0, 9.0)) == ((), (2, 3))


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.sampled_from(KINDS), st.sampled_from("abc")), max_size=30
    ),
    st.sets(st.sampled_from("abc")),
)
def test_gaps_are_exactly_the_times_without_a_container(told, initially) -> None:
    events = [event(*one) for one in sorted(told)]
    found = availability_of(events, initially)
    live = set(initially)
    for at in sorted({one.at for one in events}):
        for one in (one for one in events if one.at == at):
            if one.kind == "container_live":
                live.add(one.labels["container"])
            elif one.kind not in ("container_starting", "container_process_started"):
                live.discard(one.labels["container"])
        in_gap = any(
            (gap.began is None or gap.began <= at) and (gap.ended is None or at < gap.ended)
            for gap in found.gaps
        )
        assert in_gap == (not live)
        assert found.live(at, at)[0] == len(live)
    ends = [gap.ended for gap in found.gaps]
    assert None not in ends[:-1]
