import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from locust.env import Environment
from locust.runners import WorkerRunner

from loadgen.generator import Generator, generator_of
from loadgen.options import Options

OPTIONS = Options(flash_urls=("us-east=http://127.0.0.1:1",))


class Connected(WorkerRunner):
    """A worker whose init goes on."""

    def __init__(self) -> None:
        pass

    def __del__(self) -> None:
        pass


def test_an_environment_without_a_generator_says_how_to_get_one():
    with pytest.raises(RuntimeError, match=r"fire environment\.events\.init"):
        generator_of(Environment())


def test_a_worker_told_to_start_users_before_its_target_is_known_waits_for_it():
    environment = Environment()
    environment.runner = Connected()
    asking = gevent.spawn(generator_of, environment)
    gevent.sleep(0)
    assert not asking.ready()
    made = Generator(environment, OPTIONS)
    assert asking.get(timeout=10) is made


def test_locust_s_host_variable_goes_behind_the_other_variables(monkeypatch):
    monkeypatch.setenv("LOCUST_HOST", "http://127.0.0.1:2")
    monkeypatch.setenv("FLASH_URLS", "us-east=http://127.0.0.1:1")
    environment = Environment(host="http://127.0.0.1:2")  # as Locust's parser reads it
    assert Generator(environment, Options()).urls == {"us-east": "http://127.0.0.1:1"}
    monkeypatch.delenv("FLASH_URLS")
    assert Generator(environment, Options()).urls == {"default": "http://127.0.0.1:2"}


def test_locust_s_host_option_goes_before_all_variables(monkeypatch):
    monkeypatch.setenv("FLASH_URLS", "us-east=http://127.0.0.1:1")
    environment = Environment(host="http://127.0.0.1:2")
    assert Generator(environment, Options()).urls == {"default": "http://127.0.0.1:2"}
