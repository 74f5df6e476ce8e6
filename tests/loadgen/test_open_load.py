import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

from locust.env import Environment

from loadgen.arrival_schedule import RateSchedule
from loadgen.generator import Generator
from loadgen.open_load import OpenLoad
from loadgen.options import Options


def load_of(**options):
    environment = Environment()
    runner = environment.create_local_runner()
    given = Options(flash_urls=("us-east=http://127.0.0.1:1",), **options)
    load = OpenLoad(Generator(environment, given), runner)
    load.listen()
    return load, environment.events, environment


def test_the_rate_is_that_of_the_schedule_from_its_beginning_to_the_end_of_the_run():
    load, events, environment = load_of(arrival_rate=RateSchedule.parse("250"))
    rates = [load.rate]
    events.test_start.fire(environment=environment)
    rates.append(load.rate)
    events.spawning_complete.fire(user_count=1)
    rates.append(load.rate)
    events.test_stopping.fire(environment=environment)
    events.test_stop.fire(environment=environment)
    rates.append(load.rate)
    assert rates == [0, 0, 250, 0]


def test_the_closed_model_has_no_rate():
    load, events, environment = load_of()
    events.test_start.fire(environment=environment)
    events.spawning_complete.fire(user_count=1)
    assert load.rate is None
