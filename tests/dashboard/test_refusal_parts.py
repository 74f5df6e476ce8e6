import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.availability import Gap
from dashboard.refusal_parts import NO_GAP, Refused, gap_of_steps, parts_of, spans
from dashboard.window import Window


@pytest.mark.parametrize(
    ("refused", "expected"),
    [
        ([0, 0, 0], []),
        ([5, 2, 0], [(0, 2)]),
        ([0, 1, 0, 0, 3, 0], [(1, 5)]),
        ([1, 0, 0, 0, 1], [(0, 1), (4, 5)]),
        ([np.nan, 4, np.nan, np.nan], [(1, 2)]),
    ],
)
def test_runs_of_refusals_go_on_over_short_pauses(
    refused: list[float], expected: list[tuple[int, int]]
) -> None:
    assert spans(np.array(refused), 2) == expected


def gap(began: float | None, ended: float | None) -> Gap:
    return Gap(began=began, ended=ended)


def test_a_503_lies_in_a_gap_if_it_may_have_been_met_in_it() -> None:
    window = Window(100, 112, 1)
    found = gap_of_steps([gap(None, 102.5), gap(107.2, 108.0)], window)
    # Counted at 104 it may have been met at 102.1; counted at 107, at 107.5, when none was there.
    assert found.tolist() == [0] * 5 + [NO_GAP] * 2 + [1] * 3 + [NO_GAP] * 2


def test_of_two_gaps_it_is_the_longer_one() -> None:
    window = Window(100, 106, 1)
    found = gap_of_steps([gap(100.0, 100.5), gap(101.0, None)], window)
    assert found.tolist() == [0, 1, 1, 1, 1, 1]


def test_503s_of_containers_and_of_the_proxy_are_apart() -> None:
    refused = Refused.of(np.array([4.0, 4.0, np.nan, 9.0]), np.array([1.0, np.nan, np.nan, 9.0]))
    parts = parts_of(refused, np.array([0, 0, 0, NO_GAP]), 1)
    counts = [part.count(refused, np.array([0, 0, 0, NO_GAP])) for part in parts]
    assert [(part.first, part.last, part.named, part.gap) for part in parts] == [
        (0, 4, True, NO_GAP),
        (0, 2, False, 0),
    ]
    assert counts == [10.0, 7.0]


WHOLE = st.integers(0, 50).map(float)


@given(
    steps=st.lists(
        st.tuples(st.just(float("nan")) | WHOLE, st.just(float("nan")) | WHOLE), max_size=60
    ),
    edges=st.lists(st.floats(0, 60), max_size=8, unique=True),
    open_at_first=st.booleans(),
    step=st.sampled_from([1, 2, 10]),
)
def test_every_503_is_in_exactly_one_part(steps, edges, open_at_first, step) -> None:
    window = Window(0, step * len(steps), step)
    times: list[float | None] = [*([None] if open_at_first else []), *sorted(edges)]
    gaps = [
        gap(began, times[at + 1] if at + 1 < len(times) else None)
        for at, began in enumerate(times)
        if at % 2 == 0
    ]
    refused = Refused.of(
        np.array([one for one, _ in steps], dtype=float),
        np.array([named for _, named in steps], dtype=float),
    )
    gap_of = gap_of_steps(gaps, window)
    parts = parts_of(refused, gap_of, step)
    for named in (True, False):
        values = refused.named if named else refused.of_proxy
        for at in np.flatnonzero(values):
            inside = [
                part
                for part in parts
                if part.named is named
                and part.first <= at < part.last
                and (named or part.gap == gap_of[at])
            ]
            assert len(inside) == 1
    total = sum(part.count(refused, gap_of) for part in parts)
    assert total == np.nansum([one for one, _ in steps])
    assert all(part.count(refused, gap_of) > 0 for part in parts)
