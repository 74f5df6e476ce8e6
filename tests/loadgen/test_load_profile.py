from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.arrival_schedule import RateSchedule
from loadgen.errors import UsageError
from loadgen.load_profile import LoadProfile


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("ramp", {0: 0, 30: 0.5, 60: 1, 119.9: 1, 120: None}),
        ("ramp:up=10,hold=0", {0: 0, 5: 0.5, 9.9: 0.99, 10: None}),
        ("ramp:up=0,hold=5s", {0: 1, 4.9: 1, 5: None}),
        ("steps:count=4,each=1m", {0: 0.25, 59.9: 0.25, 60: 0.5, 120: 0.75, 239: 1, 240: None}),
        (
            "spike:base=20%,before=10,spike=5,after=10",
            {0: 0.2, 9.9: 0.2, 10: 1, 14.9: 1, 15: 0.2, 24.9: 0.2, 25: None},
        ),
        ("spike:base=0,before=1,spike=1,after=1", {0: 0, 1: 1, 2: 0, 3: None}),
        ("soak:up=10,hold=1h,down=20", {5: 0.5, 10: 1, 3610: 1, 3620: 0.5, 3630: None}),
    ],
)
def test_a_profile_has_its_share_of_the_load_at_every_time(text, shares):
    profile = LoadProfile.parse(text)
    told = {second: profile.share(second) for second in shares}
    assert told == {
        second: share if share is None else pytest.approx(share) for second, share in shares.items()
    }
    assert str(profile) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hill", "expected ramp, steps, spike or soak, as in ramp:up=30,hold=2m, got 'hill'"),
        ("", "expected ramp, steps, spike or soak"),
        ("ramp:", "expected up= or hold= after ramp:, got ''"),
        ("ramp:60", "expected up= or hold= after ramp:, got '60'"),
        ("ramp:down=3", "expected up= or hold= after ramp:, got 'down=3'"),
        ("ramp:up=soon", "expected a duration such as 90, 90s or 2m, got 'soon'"),
        ("ramp:up=0,hold=0", "expected a profile that takes some time, got 'ramp:up=0,hold=0'"),
        ("steps:count=0", "expected a number of steps from 1 to 1000, got '0'"),
        ("steps:count=1.5", "expected a number of steps from 1 to 1000, got '1.5'"),
        ("spike:base=110%", "expected a share from 0% to 100%, got '110%'"),
        ("spike:base=nan", "expected a share from 0% to 100%, got 'nan'"),
    ],
)
def test_what_is_no_profile_is_refused(text, told):
    with pytest.raises(UsageError) as refused:
        LoadProfile.parse(text)
    assert str(refused.value).startswith(told)


SECONDS = st.floats(0, 1000).map(lambda s: round(s, 3))
PROFILES = st.one_of(
    st.builds("ramp:up={},hold={}".format, SECONDS, SECONDS.map(lambda s: s + 1)),
    st.builds("steps:count={},each={}".format, st.integers(1, 20), SECONDS.map(lambda s: s + 1)),
    st.builds(
        "spike:base={}%,before={},spike={},after={}".format,
        st.integers(0, 100),
        SECONDS,
        SECONDS.map(lambda s: s + 1),
        SECONDS,
    ),
    st.builds("soak:up={},hold={},down={}".format, SECONDS, SECONDS.map(lambda s: s + 1), SECONDS),
)


@given(PROFILES, st.floats(1, 1e6))
def test_arrivals_follow_the_profile_and_end_with_it(text, highest):
    """Their number is the profile's area, summed up here by itself: trapezoids between points."""
    profile = LoadProfile.parse(text)
    schedule = profile.schedule(highest)
    area = sum((b - a) * (x + y) / 2 for (a, x), (b, y) in pairwise(profile.points))
    assert schedule.integral(profile.end_s) == pytest.approx(area * highest)
    assert schedule.rate(profile.end_s) == 0
    assert RateSchedule.parse(str(schedule)) == schedule
    for n in range(50):
        second = profile.end_s * n / 50
        share = profile.share(second)
        assert share is not None
        assert 0 <= share <= 1
        assert schedule.rate(second) == pytest.approx(share * highest, abs=1e-6 * highest)
