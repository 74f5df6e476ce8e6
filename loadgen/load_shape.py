"""A load profile as Locust carries it out: a load shape."""

from typing import ClassVar, Final

from locust import LoadTestShape
from locust.env import Environment
from locust.runners import STATE_RUNNING

from loadgen.arrival_schedule import RateSchedule
from loadgen.errors import UsageError
from loadgen.load_profile import LoadProfile

__all__ = ["ProfileShape", "use_profile"]

_MOST_PER_S: Final = 100  # users that one process starts without a warning of Locust


class ProfileShape(LoadTestShape):
    """Has a run follow a profile, and end with it or with ``--run-time``.

    In the closed model it shapes the number of users, up to ``--users``, and there is at least one.
    In the open model the profile shapes the rate, which begins when all users are there; they stay
    as many. In a locustfile of one's own, a subclass has its ``profile``, as the option has it.
    """

    abstract = True
    use_common_options = True
    profile: ClassVar[str] = ""

    def __init__(self, profile: LoadProfile | None = None) -> None:
        super().__init__()
        self.load_profile = LoadProfile.parse(self.profile) if profile is None else profile
        self._last = (0, 0.0)
        self._all_there_s: float | None = None

    def __repr__(self) -> str:
        return f"<ProfileShape {self.load_profile}>"

    def reset_time(self) -> None:
        """A run begins."""
        super().reset_time()
        self._last = (0, 0.0)
        self._all_there_s = None

    def tick(self) -> tuple[int, float] | None:
        """Users, and how many of them to start or stop in a second; ``None`` ends the run."""
        assert self.runner is not None  # Locust has set it before a run begins
        options = self.runner.environment.parsed_options
        elapsed_s = self.get_run_time()
        run_time_s = getattr(options, "run_time", None)
        if run_time_s and elapsed_s >= float(run_time_s):
            return None
        users = int(getattr(options, "num_users", None) or 1)
        if not getattr(options, "arrival_rate", None):
            return self._users_at(elapsed_s, users)
        if self._is_over(elapsed_s):
            return None
        return users, float(getattr(options, "spawn_rate", None) or 1)

    def _users_at(self, elapsed_s: float, most: int) -> tuple[int, float] | None:
        share = self.load_profile.share(elapsed_s)
        if share is None:
            return None
        users, before = max(1, round(most * share)), self._last[0]
        # Locust starts over with an answer that is another than its last one.
        if users != before:
            at_once = _MOST_PER_S * max(1, int(getattr(self.runner, "worker_count", 1)))
            self._last = (users, float(min(abs(users - before), at_once)))
        return self._last

    def _is_over(self, elapsed_s: float) -> bool:
        """Whether the schedule is, which the open model began when all users were there."""
        if self._all_there_s is None:
            if self.runner is None or self.runner.state != STATE_RUNNING:
                return False
            self._all_there_s = elapsed_s
        return elapsed_s - self._all_there_s >= self.load_profile.end_s


def use_profile(
    environment: Environment, profile: LoadProfile | None, rate: RateSchedule | None
) -> None:
    """Have runs follow a profile, of ``None`` that of the locustfile's shape if it has one.

    Raises:
        UsageError: another shape, or the rate's schedule, contradicts it.
    """
    shape = environment.shape_class
    if profile is not None:
        if shape is not None:
            raise UsageError(
                f"--load-profile and the locustfile's shape {type(shape).__name__} contradict each "
                "other: leave one of them out"
            )
        environment.shape_class = ProfileShape(profile)
        environment.shape_class.runner = environment.runner
    elif isinstance(shape, ProfileShape) and rate is not None and not rate.is_steady:
        raise UsageError(
            f"the locustfile's shape {type(shape).__name__} and the schedule in --arrival-rate "
            f"{rate} contradict each other: both say when the rate changes"
        )
