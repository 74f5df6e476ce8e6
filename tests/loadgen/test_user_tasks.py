import os
from collections import Counter
from typing import ClassVar

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from gevent.pool import Group
from locust import SequentialTaskSet, constant, task
from locust.env import Environment
from locust.exception import StopUser

from loadgen.generator import Generator
from loadgen.options import Options
from loadgen.users import FlashUser


@pytest.fixture
def run():
    """Run a user of a class to its end; the user."""

    def start(kind: type[FlashUser]) -> FlashUser:
        environment = Environment()
        Generator(environment, Options(flash_urls=("us-east=http://127.0.0.1:1",)))
        user = kind(environment)
        group = Group()
        user.start(group)
        assert group.join(timeout=10)
        return user

    return start


class Ending(FlashUser):
    """Stops itself after so many tasks, all of which it notes."""

    abstract = True
    wait_time = constant(0)
    most = 20

    def on_start(self) -> None:
        self.done: list[str] = []
        self.ends = 0

    def on_stop(self) -> None:
        self.ends += 1

    def note(self, name: str) -> None:
        self.done.append(name)
        if len(self.done) == self.most:
            raise StopUser


def test_tasks_are_chosen_by_their_weights(run):
    class Weighted(Ending):
        most = 4000

        @task(3)
        def often(self) -> None:
            self.note("often")

        @task
        def seldom(self) -> None:
            self.note("seldom")

    user = run(Weighted)
    # Four standard deviations of a binomial distribution.
    assert abs(Counter(user.done)["often"] - 3000) < 4 * (4000 * 0.75 * 0.25) ** 0.5
    assert user.ends == 1


def test_task_sets_and_plain_functions_run_as_in_locust(run):
    def plain(user) -> None:
        user.note("plain")

    class Both(Ending):
        most = 6

        @task
        class Steps(SequentialTaskSet):
            @task
            def first(self) -> None:
                self.user.note("first")

            @task
            def second(self) -> None:
                self.user.note("second")
                self.interrupt()

    assert run(Both).done == ["first", "second"] * 3

    class Plain(Ending):
        most = 2
        tasks: ClassVar = [plain]

    assert run(Plain).done == ["plain"] * 2


def test_a_task_without_a_request_lets_the_others_run(run):
    turns = []

    class Busy(Ending):
        most = 50

        @task
        def one(self) -> None:
            turns.append("user")
            self.note("one")

    def other() -> None:
        while len(turns) < 60:
            turns.append("other")
            gevent.sleep(0)

    gevent.spawn(other)
    run(Busy)
    assert turns[:20].count("other") >= 8


def test_a_task_with_a_request_is_followed_by_no_pause_of_no_length(run):
    pauses = []

    class Asking(Ending):
        most = 5

        @task
        def one(self) -> None:
            self.client.get("/")
            pauses.append(self.client.gave_way)
            self.note("one")

    user = run(Asking)
    assert len(user.done) == 5
    assert pauses == [True] * 5
    assert user.take_turn() is True
    assert user.take_turn() is False


def test_a_pause_is_as_long_as_the_user_says(run):
    class Slow(Ending):
        most = 4
        wait_time = constant(0.02)

        @task
        def one(self) -> None:
            self.client.get("/")
            self.note("one")

    began = gevent.get_hub().loop.now()
    assert len(run(Slow).done) == 4
    gevent.get_hub().loop.update()
    assert gevent.get_hub().loop.now() - began >= 0.06


def test_an_error_of_a_task_is_told_and_the_user_goes_on(run):
    class Failing(Ending):
        most = 3

        @task
        def one(self) -> None:
            self.note("one")
            raise ValueError("broken")

    told = []
    environment = Environment()
    environment.events.user_error.add_listener(lambda exception, **_: told.append(str(exception)))
    Generator(environment, Options(flash_urls=("us-east=http://127.0.0.1:1",)))
    user = Failing(environment)
    group = Group()
    user.start(group)
    assert group.join(timeout=10)
    assert (user.done, told) == (["one"] * 3, ["broken"] * 2)


def test_an_error_of_on_start_is_told_and_ends_the_user(caplog):
    class Failing(FlashUser):
        tasks: ClassVar = [lambda user: None]

        def on_start(self) -> None:
            raise ValueError("no account")

    told = []
    environment = Environment()
    environment.events.user_error.add_listener(lambda exception, **_: told.append(str(exception)))
    generator = Generator(environment, Options(flash_urls=("us-east=http://127.0.0.1:1",)))
    user = Failing(environment)
    group = Group()
    greenlet = user.start(group)
    assert group.join(timeout=10)
    gevent.sleep(0)
    assert told == ["no account"]
    assert isinstance(greenlet.exception, ValueError)
    assert generator.recorder.channel("us-east", "non_sticky").gauges.users == 0
    assert "on_start of Failing failed" in caplog.text
