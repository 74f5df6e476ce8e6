import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

from argparse import Namespace
from types import SimpleNamespace

import pytest
from locust import LoadTestShape
from locust.util.load_locustfile import is_shape_class

from loadgen import ProfileShape
from loadgen.arrival_schedule import RateSchedule
from loadgen.errors import UsageError
from loadgen.load_profile import LoadProfile
from loadgen.load_shape import use_profile


class Timed(ProfileShape):
    """One whose time passes when told."""

    abstract = True
    elapsed_s = 0.0

    def get_run_time(self):
        return self.elapsed_s


def timed(profile, workers=1, **options):
    shape = Timed(LoadProfile.parse(profile))
    environment = SimpleNamespace(parsed_options=Namespace(**options))
    shape.runner = SimpleNamespace(environment=environment, state="init", worker_count=workers)
    return shape


def ticks(shape, *seconds):
    told = []
    for shape.elapsed_s in seconds:
        told.append(shape.tick())
    return told


def test_in_the_closed_model_the_users_follow_the_profile_and_there_is_at_least_one():
    shape = timed("ramp:up=10,hold=5", num_users=50, run_time=None)
    told = ticks(shape, 0, 1, 5, 9.99, 10, 14, 15)
    assert told == [(1, 1), (5, 4), (25, 20), (50, 25), (50, 25), (50, 25), None]


def test_users_are_started_no_faster_than_their_processes_can():
    assert ticks(timed("steps:count=1,each=9", num_users=900), 0) == [(900, 100)]
    assert ticks(timed("steps:count=1,each=9", workers=3, num_users=900), 0) == [(900, 300)]


def test_the_run_time_ends_a_profile_and_the_next_run_begins_anew():
    shape = timed("ramp:up=10,hold=100", num_users=10, run_time=20)
    assert ticks(shape, 10, 19.9, 20) == [(10, 10), (10, 10), None]
    shape.reset_time()
    assert ticks(shape, 0, 10) == [(1, 1), (10, 9)]


def test_in_the_open_model_the_users_stay_and_the_profile_begins_when_they_are_there():
    shape = timed("ramp:up=5,hold=5", num_users=30, spawn_rate=10, arrival_rate="100")
    assert ticks(shape, 0, 3) == [(30, 10), (30, 10)]
    shape.runner.state = "running"
    assert ticks(shape, 4, 13.9, 14) == [(30, 10), (30, 10), None]
    shape.reset_time()
    shape.runner.state = "init"
    assert ticks(shape, 20) == [(30, 10)]


def test_locust_does_not_take_the_class_itself_for_a_shape_but_one_s_own():
    class Morning(ProfileShape):
        profile = "soak:up=1,hold=2,down=3"

    assert not is_shape_class(ProfileShape)
    assert is_shape_class(Morning)
    assert Morning().load_profile == LoadProfile.parse("soak:up=1,hold=2,down=3")
    assert Morning.use_common_options


class Other(LoadTestShape):
    def tick(self):
        return None


def environment_of(shape):
    return SimpleNamespace(shape_class=shape, runner=object())


def test_a_profile_becomes_the_shape_of_runs():
    environment = environment_of(None)
    use_profile(environment, LoadProfile.parse("ramp"), RateSchedule.parse("5"))
    assert environment.shape_class.load_profile == LoadProfile.parse("ramp")
    assert environment.shape_class.runner is environment.runner


def test_without_a_profile_the_locustfile_s_shape_stays():
    other = Other()
    for shape in (None, other):
        environment = environment_of(shape)
        use_profile(environment, None, RateSchedule.parse("0:1,5:2"))
        assert environment.shape_class is shape


@pytest.mark.parametrize(
    ("shape", "profile", "rate", "told"),
    [
        (Other(), "ramp", None, "--load-profile and the locustfile's shape Other contradict"),
        (
            timed("ramp"),
            None,
            "0:1,5:2",
            "the locustfile's shape Timed and the schedule in --arrival-rate 0:1,5:2 contradict",
        ),
    ],
)
def test_what_contradicts_a_shape_is_refused(shape, profile, rate, told):
    with pytest.raises(UsageError) as refused:
        use_profile(
            environment_of(shape),
            profile and LoadProfile.parse(profile),
            rate and RateSchedule.parse(rate),
        )
    assert str(refused.value).startswith(told)
