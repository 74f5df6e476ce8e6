"""Which container serves a request."""

from collections import Counter
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from flash.edge.routing import Router
from flash.rendezvous import winner


@dataclass
class Container:
    task_id: str
    in_flight: int = 0


NAMES = st.lists(st.text("abcdef", min_size=1, max_size=4), max_size=8, unique=True)


def router_of(containers: list[Container]) -> Router[Container]:
    router: Router[Container] = Router()
    router.replace(containers)
    return router


def test_without_containers_nobody_serves() -> None:
    assert router_of([]).choose(None) is None
    assert router_of([]).choose("session") is None
    assert router_of([]).least_in_flight() == 0


@given(NAMES, st.lists(st.text(max_size=5), max_size=20))
def test_a_session_is_served_by_its_rendezvous_winner_each_time(names, sessions) -> None:
    router = router_of([Container(name) for name in names])
    for session in sessions * 2:
        chosen = router.choose(session)
        assert (chosen and chosen.task_id) == winner(session, names)


@given(NAMES.filter(len), st.lists(st.text(max_size=5), max_size=20), st.integers(0, 7))
def test_when_a_container_goes_only_its_own_sessions_move(names, sessions, index) -> None:
    containers = [Container(name) for name in names]
    router = router_of(containers)
    before = {session: router.choose(session) for session in sessions}
    gone = containers[index % len(containers)]
    router.replace([one for one in containers if one is not gone])
    for session, container in before.items():
        now = router.choose(session)
        assert now is not gone
        assert container is gone or now is container


def test_a_session_goes_to_its_winner_however_busy_that_is() -> None:
    busy, idle = Container("busy"), Container("idle")
    router = router_of([busy, idle])
    session = next(f"s{n}" for n in range(100) if router.choose(f"s{n}") is busy)
    busy.in_flight = 1000
    assert router.choose(session) is busy
    assert router.choose(None) is idle


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8))
def test_without_a_session_the_least_busy_serves(loads) -> None:
    router = router_of([Container(f"c{n}", load) for n, load in enumerate(loads)])
    assert router.choose(None).in_flight == min(loads) == router.least_in_flight()


@given(st.integers(1, 9))
def test_equally_busy_containers_take_turns(number) -> None:
    router = router_of([Container(f"c{n}") for n in range(number)])
    counts = Counter(router.choose(None).task_id for _ in range(number * 7))
    assert set(counts.values()) == {7}


def test_more_sessions_than_are_remembered_are_still_served_right() -> None:
    names = ["a", "b", "c"]
    router = router_of([Container(name) for name in names])
    for n in range(70_000):
        router.choose(f"s{n}")
    assert router.choose("s0").task_id == winner("s0", names)
    assert router.choose("s69999").task_id == winner("s69999", names)
