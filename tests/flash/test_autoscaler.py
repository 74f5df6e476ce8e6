"""The autoscaler's decisions, as tables and laws."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flash.autoscaler import Autoscaler, AutoscalerSettings, Candidate, to_stop, wanted

SETTINGS = st.builds(
    lambda least, more, buffer, target: AutoscalerSettings(
        min_containers=least,
        max_containers=least + more,
        buffer_containers=buffer,
        target_concurrency=target,
    ),
    st.integers(0, 5),
    st.integers(1, 10),
    st.integers(0, 3),
    st.integers(1, 20),
)


@pytest.mark.parametrize(
    ("demand", "refused", "containers"),
    [
        (0, False, 0),
        (0.01, False, 1),
        (8, False, 1),
        (8 + 1e-12, False, 1),
        (8.1, False, 2),
        (100, False, 4),
        (0, True, 1),
    ],
)
def test_demand_needs_containers_at_the_target_concurrency(demand, refused, containers) -> None:
    assert wanted(AutoscalerSettings(), demand=demand, refused=refused) == containers


def test_the_buffer_is_kept_only_while_there_is_demand() -> None:
    settings = AutoscalerSettings(buffer_containers=2, max_containers=10)
    assert wanted(settings, demand=0, refused=False) == 0
    assert wanted(settings, demand=1, refused=False) == 3


@given(SETTINGS, st.floats(0, 1000), st.booleans())
def test_what_is_wanted_is_within_the_bounds_and_grows_with_demand(settings, demand, refused):
    now = wanted(settings, demand=demand, refused=refused)
    assert settings.min_containers <= now <= settings.max_containers
    assert wanted(settings, demand=demand + 1, refused=refused) >= now


@given(
    SETTINGS,
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 200), st.booleans()), max_size=40),
)
def test_the_bounds_hold_whatever_happens(settings, steps) -> None:
    scaler, now, containers = Autoscaler(settings), 0.0, 0
    for after, demand, refused in steps:
        now += after
        containers += scaler.step(now, demand=demand, refused=refused, containers=containers)
        assert settings.min_containers <= containers <= settings.max_containers


def test_a_refused_request_starts_a_container_at_once_whatever_the_window() -> None:
    scaler = Autoscaler(AutoscalerSettings(scaleup_window=30))
    assert scaler.step(0, demand=0, refused=False, containers=0) == 0
    assert scaler.step(1, demand=0, refused=True, containers=0) == 1
    assert scaler.step(1.1, demand=0, refused=True, containers=1) == 0


def test_more_are_started_only_when_wanted_for_the_whole_window() -> None:
    scaler = Autoscaler(AutoscalerSettings(scaleup_window=10))
    assert scaler.step(0, demand=4, refused=False, containers=1) == 0
    assert scaler.step(1, demand=30, refused=False, containers=1) == 0
    assert scaler.step(10.9, demand=30, refused=False, containers=1) == 0
    assert scaler.step(11.0, demand=30, refused=False, containers=1) == 3


def test_a_dip_begins_the_scale_up_window_anew() -> None:
    scaler = Autoscaler(AutoscalerSettings(scaleup_window=10))
    scaler.step(0, demand=30, refused=False, containers=1)
    scaler.step(5, demand=4, refused=False, containers=1)
    scaler.step(6, demand=30, refused=False, containers=1)
    assert scaler.step(15, demand=30, refused=False, containers=1) == 0
    assert scaler.step(16, demand=30, refused=False, containers=1) == 3


def test_containers_go_once_fewer_were_wanted_for_the_whole_window() -> None:
    scaler = Autoscaler(AutoscalerSettings(scaledown_window=60))
    scaler.step(0, demand=30, refused=False, containers=4)
    scaler.step(10, demand=12, refused=False, containers=4)
    scaler.step(40, demand=0, refused=False, containers=4)
    assert scaler.step(69.9, demand=0, refused=False, containers=4) == 0
    assert scaler.step(70.0, demand=0, refused=False, containers=4) == -2
    assert scaler.step(99.9, demand=0, refused=False, containers=2) == 0
    assert scaler.step(100.0, demand=0, refused=False, containers=2) == -2


def test_nothing_goes_before_a_whole_window_was_watched() -> None:
    scaler = Autoscaler(AutoscalerSettings(scaledown_window=60))
    assert scaler.step(1000, demand=0, refused=False, containers=3) == 0
    assert scaler.step(1059, demand=0, refused=False, containers=3) == 0
    assert scaler.step(1060, demand=0, refused=False, containers=3) == -3


def test_changed_bounds_act_at_once() -> None:
    scaler = Autoscaler(AutoscalerSettings())
    scaler.step(0, demand=30, refused=False, containers=4)
    scaler.settings = AutoscalerSettings(max_containers=2)
    assert scaler.step(1, demand=30, refused=False, containers=4) == -2
    scaler.settings = AutoscalerSettings(min_containers=3)
    assert scaler.step(2, demand=0, refused=False, containers=2) == 1


def test_the_least_busy_and_of_those_the_youngest_are_stopped() -> None:
    candidates = [
        Candidate("old-idle", 0, 1.0, 2.0),
        Candidate("busy", 3, 9.0, 9.5),
        Candidate("young-idle", 0, 5.0, 6.0),
    ]
    assert to_stop(candidates, 1) == ["young-idle"]
    assert to_stop(candidates, 2) == ["young-idle", "old-idle"]
    assert to_stop(candidates, 9) == ["young-idle", "old-idle", "busy"]


def test_what_is_not_ready_for_long_is_kept_and_counts_as_stopped() -> None:
    candidates = [
        Candidate("settled", 0, 1.0, 2.0),
        Candidate("also-settled", 0, 1.5, 2.5),
        Candidate("starting", 0, 9.0, None),
    ]
    assert to_stop(candidates[2:], 1, ready_by=5.0) == []
    assert to_stop(candidates[1:], 1, ready_by=5.0) == []
    assert to_stop(candidates, 2, ready_by=5.0) == ["also-settled"]
    assert to_stop(candidates, 1, ready_by=None) == ["starting"]


def test_a_request_that_finds_all_containers_full_wants_one_more() -> None:
    settings = AutoscalerSettings(target_concurrency=8, max_containers=3)
    assert wanted(settings, demand=2, refused=False, crowded=1) == 2
    assert wanted(settings, demand=2, refused=False, crowded=3) == 3
    scaler = Autoscaler(settings)
    assert scaler.step(0, demand=1, refused=False, containers=1, crowded=1) == 1
    assert scaler.step(1, demand=1, refused=False, containers=2, crowded=1) == 0


def test_the_target_may_be_a_fraction() -> None:
    settings = AutoscalerSettings(target_concurrency=1.5)
    assert [wanted(settings, demand=n, refused=False) for n in (1, 2, 3, 4)] == [1, 2, 2, 3]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"min_containers": -1}, "min_containers"),
        ({"max_containers": 0}, "max_containers"),
        ({"target_concurrency": 0}, "target_concurrency"),
        ({"scaledown_window": -0.1}, "scaledown_window"),
        ({"min_containers": 5, "max_containers": 4}, r"min_containers \(5\) is above"),
    ],
)
def test_settings_without_a_meaning_are_refused_by_name(settings, named) -> None:
    with pytest.raises(ValueError, match=named):
        AutoscalerSettings(**settings)
