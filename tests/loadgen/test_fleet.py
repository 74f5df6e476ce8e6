import os
from types import SimpleNamespace

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from locust.exception import RPCError

import loadgen.fleet
from loadgen.arrival_schedule import Share
from loadgen.dispatcher import Arrived
from loadgen.fleet import LocalFleet, MasterFleet, WorkerEnd
from loadgen.recorder import Recorder


class Offers:
    """In the place of a step model: notes what it is to offer."""

    def __init__(self):
        self.offers = []

    def offer(self, region, rate, share):
        self.offers.append((region, rate, share))


def generator(*, arrived=None):
    dispatcher = SimpleNamespace(arrived=lambda: arrived)
    return SimpleNamespace(
        recorder=Recorder(),
        urls={"us-east": "http://a", "eu-west": "http://b"},
        step_model=Offers(),
        dispatcher=None if arrived is None else dispatcher,
    )


def record(recorder, region, seconds):
    recorder.channel(region, "sticky").answered(200, 0.0, 0.0, seconds, seconds)


def test_alone_it_offers_all_of_a_rate_and_sees_what_this_process_counted():
    made = generator(arrived=Arrived(3, 2, 0, 1, 1))
    record(made.recorder, "us-east", 0.1)
    made.recorder.channel("us-east", "non_sticky").gauges.in_flight = 4
    fleet = LocalFleet(made)
    assert fleet.offer("us-east", 5.0) == frozenset()
    assert made.step_model.offers == [("us-east", 5.0, Share(0, 1))]
    look = fleet.look()
    assert look.arrived == Arrived(3, 2, 0, 1, 1)
    assert (look.regions["us-east"].ok, look.regions["eu-west"].ok) == (1, 0)
    assert sum(look.regions["us-east"].latency) == 1
    assert look.in_flight == {"us-east": 4, "eu-west": 0}
    assert set(look.cpu_s) == {"local"}


class Workers:
    """A master's runner, and workers that answer through real ends of their own."""

    def __init__(self, master, counts):
        self.listeners = {}
        self.ends = {}
        clients = [SimpleNamespace(id=name, user_count=1) for name in counts]
        self.clients = SimpleNamespace(running=clients, spawning=[])
        self.generators = {}
        for name, arrived in counts.items():
            own = self.generators[name] = generator(arrived=arrived)
            listeners = self.ends[name] = {}
            runner = SimpleNamespace(
                register_message=listeners.__setitem__,
                send_message=lambda kind, data, name=name: self.listeners[kind](
                    SimpleNamespace(node_id=name, data=data)
                ),
            )
            take = own.recorder.take
            report = lambda name=name, take=take: master.recorder.merge(name, take())  # noqa: E731
            WorkerEnd(own, runner, report).listen()

    def register_message(self, kind, listener):
        self.listeners[kind] = listener

    def send_message(self, kind, data, name):
        if name in self.ends:
            self.ends[name][kind](SimpleNamespace(data=data))

    def get_worker_index(self, name):
        return "abc".index(name)


@pytest.fixture
def master():
    return generator()


@pytest.fixture
def workers(master):
    return Workers(master, {"b": Arrived(10, 9, 0, 1, 1), "a": Arrived(5, 5, 0, 0, 0)})


@pytest.fixture
def fleet(master, workers):
    made = MasterFleet(master, workers)
    made.listen()
    return made


def test_workers_share_a_rate(fleet, workers):
    assert fleet.offer("us-east", 50.0) == {"worker-0", "worker-1"}
    assert workers.generators["a"].step_model.offers == [("us-east", 50.0, Share(0, 2))]
    assert workers.generators["b"].step_model.offers == [("us-east", 50.0, Share(1, 2))]
    fleet.offer("us-east", None)
    assert workers.generators["b"].step_model.offers[-1] == ("us-east", None, Share(1, 2))


def test_a_look_has_everything_that_all_workers_counted_until_they_were_asked(fleet, workers):
    for name, region, seconds in (
        ("a", "us-east", 0.1),
        ("b", "us-east", 0.2),
        ("b", "eu-west", 3),
    ):
        record(workers.generators[name].recorder, region, seconds)
    look = fleet.look()
    assert look.present == {"worker-0", "worker-1"}
    assert set(look.cpu_s) == {"worker-0", "worker-1"}
    assert look.arrived == Arrived(15, 14, 0, 1, 1)
    assert (look.regions["us-east"].ok, look.regions["eu-west"].ok) == (2, 1)
    record(workers.generators["a"].recorder, "us-east", 0.1)
    assert fleet.look().regions["us-east"].ok == 3


def test_a_worker_that_does_not_answer_is_not_present_and_what_it_had_counted_stays(
    fleet, workers, monkeypatch
):
    monkeypatch.setattr(loadgen.fleet, "_SEEN_WITHIN_S", 0.01)
    fleet.look()
    del workers.ends["a"]
    look = fleet.look()
    assert look.present == {"worker-1"}
    assert set(look.cpu_s) == {"worker-1"}
    assert look.arrived == Arrived(15, 14, 0, 1, 1)


def test_a_look_waits_for_answers_but_not_for_those_to_an_earlier_one(fleet, workers):
    held = []
    answer = workers.listeners.pop("flashgauge_seen")
    workers.listeners["flashgauge_seen"] = lambda msg: held.append(msg)
    looking = gevent.spawn(fleet.look)
    gevent.sleep(0)
    assert len(held) == 2
    stale = SimpleNamespace(node_id="a", data={**held[0].data, "number": 0})
    answer(stale)
    for msg in held:
        gevent.sleep(0)
        assert not looking.ready()
        answer(msg)
    assert looking.get(timeout=5).present == {"worker-0", "worker-1"}


def test_a_master_that_is_gone_is_no_error_of_a_worker():
    listeners = {}
    reported = []

    def send(*_):
        raise RPCError("gone")

    runner = SimpleNamespace(register_message=listeners.__setitem__, send_message=send)
    WorkerEnd(generator(), runner, lambda: reported.append(True)).listen()
    listeners["flashgauge_look"](SimpleNamespace(data={"number": 1}))
    assert reported == [True]
