"""Rendezvous hashing keeps its two promises: minimal movement and balance."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.rendezvous import moving_share, weight, winner

NAMES = st.text(min_size=1, max_size=12)
CONTAINERS = st.lists(NAMES, min_size=1, max_size=8, unique=True)


def test_weights_are_those_of_every_release() -> None:
    # A change here moves every session of a running fleet.
    assert weight("session", "ta-1") == 0x13ABB12EB5374026
    assert winner("session", ["ta-1", "ta-2", "ta-3"]) == "ta-3"


def test_no_container_serves_nobody() -> None:
    assert winner("session", []) is None


def test_where_one_name_ends_and_the_other_begins_matters() -> None:
    assert weight("ab", "c") != weight("a", "bc")


@given(NAMES, CONTAINERS, st.randoms())
def test_the_order_of_containers_does_not_matter(session, containers, random) -> None:
    shuffled = list(containers)
    random.shuffle(shuffled)
    assert winner(session, containers) == winner(session, shuffled)


@given(NAMES, CONTAINERS, NAMES)
def test_a_new_container_takes_sessions_only_to_itself(session, containers, new) -> None:
    before = winner(session, containers)
    assert winner(session, [*containers, new]) in (before, new)


@given(NAMES, st.lists(NAMES, min_size=2, max_size=8, unique=True), st.data())
def test_a_lost_container_moves_only_its_own_sessions(session, containers, data) -> None:
    gone = data.draw(st.sampled_from(containers))
    before = winner(session, containers)
    after = winner(session, [name for name in containers if name != gone])
    assert after != gone
    assert before == gone or after == before


def test_sessions_spread_evenly() -> None:
    containers = [f"ta-{n:04x}" for n in range(5)]
    sessions = 20_000
    counts = dict.fromkeys(containers, 0)
    for n in range(sessions):
        counts[winner(f"session-{n}", containers)] += 1
    share = 1 / len(containers)
    five_sigma = 5 * sqrt(sessions * share * (1 - share))
    assert all(abs(count - sessions * share) < five_sigma for count in counts.values())


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        ("ab", "abc", 1 / 3),
        ("abcd", "abc", 1 / 4),
        ("ab", "bc", 2 / 3),
        ("a", "b", 1.0),
        ("abc", "abc", 0.0),
    ],
)
def test_the_share_that_has_to_move_is_the_one_that_does(before, after, share) -> None:
    assert moving_share(set(before), set(after)) == pytest.approx(share)
    sessions = 20_000
    moved = sum(
        winner(f"session-{n}", before) != winner(f"session-{n}", after) for n in range(sessions)
    )
    five_sigma = 5 * sqrt(sessions * share * (1 - share))
    assert abs(moved - sessions * share) <= five_sigma
