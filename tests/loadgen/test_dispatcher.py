import random
from collections import Counter
from itertools import count
from math import inf

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.dispatcher import Arrived, Dispatcher, sum_arrived
from loadgen.pauses import MOST_AT_ONCE


class Scripted:
    """Time that passes when told, and the ticker that follows it."""

    def __init__(self):
        self.now = 1000.0
        self.set_for = inf
        self.closed = False

    def ticker(self, callback):
        self._callback = callback
        return self

    def clock(self):
        return self.now

    def wake_at(self, moment):
        assert not self.closed
        self.set_for = moment

    def cancel(self):
        self.set_for = inf

    def close(self):
        self.closed = True
        self.set_for = inf

    def tick(self):
        """The one that is set for now or earlier."""
        assert self.set_for <= self.now
        self.set_for = inf
        self._callback()

    def pass_until(self, moment):
        """Every tick up to then, each at its time."""
        while self.set_for <= moment:
            self.now = max(self.now, self.set_for)
            self.tick()
        self.now = max(self.now, moment)


class Visitor:
    """A user that notes what it was handed."""

    def __init__(self, dispatcher, key="lane"):
        self.lane = dispatcher.join(key)
        self.met = []

    def resume(self, moment):
        self.met.append(moment)

    def ask(self):
        """Takes an arrival if one waits, and else waits to be resumed."""
        moment = self.lane.take(self.resume)
        if moment is not None:
            self.met.append(moment)
        return moment


@pytest.fixture
def time():
    return Scripted()


@pytest.fixture
def dispatcher(time):
    return Dispatcher(time.ticker, time.clock)


def counted(intended, started, *, dropped=0, waiting=0, waited=0):
    return Arrived(intended, started, dropped, waiting, waited)


def test_confined_it_drops_what_waits_and_deals_to_the_lanes_that_are_admitted(dispatcher, time):
    users = {key: Visitor(dispatcher, key) for key in ("east", "west")}
    dispatcher.begin(iter([1.0, 2.0]), 1000.0)
    time.pass_until(1002)
    dispatcher.confine(lambda key: key == "west")
    assert dispatcher.arrived() == counted(2, 0, dropped=2, waited=2)
    users["late"] = Visitor(dispatcher, "late")
    for user in users.values():
        user.ask()
    dispatcher.begin(iter([1.0, 2.0]), 1002.0)
    time.pass_until(1010)
    # The only user of the west has the first; the second waits for it and for nobody else.
    assert {key: user.met for key, user in users.items()} == {
        "east": [],
        "west": [1003],
        "late": [],
    }
    users["east"].lane.leave()
    dispatcher.confine(lambda key: key == "late")
    dispatcher.begin(iter([1.0]), 1010.0)
    time.pass_until(1011)
    assert users["late"].met == [1011]
    assert dispatcher.arrived() == counted(5, 2, dropped=3, waited=3)


def test_confined_to_lanes_that_have_no_users_yet_arrivals_wait_for_them(dispatcher, time):
    Visitor(dispatcher, "east").ask()
    dispatcher.confine(lambda key: key == "west")
    dispatcher.begin(iter([1.0]), 1000.0)
    time.pass_until(1001)
    assert Visitor(dispatcher, "west").ask() == 1001


def test_of_many_that_are_due_a_few_at_a_time_are_dealt(dispatcher, time):
    users = [Visitor(dispatcher) for _ in range(3 * MOST_AT_ONCE)]
    for user in users:
        user.ask()
    dispatcher.begin(iter([1.0] * len(users)), 1000.0)
    time.now = 1002.0
    for turn in (1, 2, 3):
        time.tick()
        assert sum(len(user.met) for user in users) == turn * MOST_AT_ONCE
    assert all(user.met == [1001.0] for user in users)
    assert time.set_for == inf


def test_what_arrived_at_several_is_summed():
    several = [Arrived(10, 7, 2, 1, 5), Arrived(100, 100, 0, 0, 3)]
    assert sum_arrived(several) == Arrived(110, 107, 2, 1, 8)


def test_a_free_user_is_handed_each_arrival_at_its_time(dispatcher, time):
    user = Visitor(dispatcher)
    assert user.ask() is None
    dispatcher.begin(iter([0.5, 1.25]), 1000.0)
    time.pass_until(1000.4)
    assert user.met == []
    time.pass_until(1000.5)
    assert user.met == [1000.5]
    user.ask()
    assert time.set_for == 1001.25
    time.pass_until(1002)
    assert user.met == [1000.5, 1001.25]
    assert time.set_for == inf
    assert dispatcher.arrived() == counted(2, 2)


def test_who_has_been_free_for_longest_is_next(dispatcher, time):
    users = [Visitor(dispatcher) for _ in range(3)]
    for user in (users[2], users[0], users[1]):
        user.ask()
    dispatcher.begin(iter([1.0, 2.0, 3.0]), 1000.0)
    time.pass_until(1003)
    assert [user.met for user in users] == [[1002], [1003], [1001]]


def test_an_arrival_without_a_free_user_keeps_its_intended_start(dispatcher, time):
    user = Visitor(dispatcher)
    dispatcher.begin(iter([1.0, 2.0, 3.0]), 1000.0)
    time.pass_until(1010)
    assert dispatcher.arrived() == counted(3, 0, waiting=3, waited=3)
    assert [user.ask(), user.ask(), user.ask(), user.ask()] == [1001, 1002, 1003, None]
    assert dispatcher.arrived() == counted(3, 3, waited=3)


def test_a_tick_that_comes_late_hands_out_all_that_came_due(dispatcher, time):
    users = [Visitor(dispatcher) for _ in range(3)]
    for user in users:
        user.ask()
    dispatcher.begin((k / 1000 for k in count()), 1000.0)
    time.now = 1000.0025
    time.pass_until(1000.0025)
    assert [user.met for user in users] == [[1000], [1000.001], [1000.002]]
    assert time.set_for == 1000.003


def test_a_tick_that_comes_early_hands_out_nothing_and_is_set_again(dispatcher, time):
    user = Visitor(dispatcher)
    user.ask()
    dispatcher.begin(iter([1.0]), 1000.0)
    time.set_for = 1000.9
    time.pass_until(1000.95)
    assert user.met == []
    assert time.set_for == 1001


def test_who_is_withdrawn_is_handed_nothing(dispatcher, time):
    gone, here = Visitor(dispatcher), Visitor(dispatcher)
    gone.ask()
    here.ask()
    gone.lane.withdraw(gone.resume)
    gone.lane.withdraw(gone.resume)
    dispatcher.begin(iter([1.0]), 1000.0)
    time.pass_until(1001)
    assert (gone.met, here.met) == ([], [1001])


def test_what_is_given_back_goes_to_the_next_in_its_old_place(dispatcher, time):
    first, second = Visitor(dispatcher), Visitor(dispatcher)
    dispatcher.begin(iter([1.0, 2.0]), 1000.0)
    time.pass_until(1005)
    taken = first.ask()
    first.lane.give_back(taken)
    assert dispatcher.arrived() == counted(2, 0, waiting=2, waited=2)
    time.pass_until(1005)
    assert second.ask() == 1001
    first.lane.give_back(second.met.pop())
    time.pass_until(1005)
    second.ask()
    second.ask()
    second.ask()
    assert second.met == [1001, 1002]
    third = Visitor(dispatcher)
    third.lane.give_back(second.met.pop())
    assert second.met == [1001]  # it is resumed by the hub only
    time.pass_until(1005)
    assert second.met == [1001, 1002]  # it was free, and so has it again
    assert dispatcher.arrived() == counted(2, 2, waited=2)


def test_what_still_waits_at_the_end_is_dropped_and_told(dispatcher, time):
    user = Visitor(dispatcher)
    dispatcher.begin((k / 10 for k in count(1)), 1000.0)
    time.pass_until(1000.55)
    taken = user.ask()
    time.now = 1000.85  # of the time since the last tick nothing is said
    dispatcher.end()
    assert dispatcher.arrived() == counted(5, 1, dropped=4, waited=5)
    assert time.closed
    user.lane.give_back(taken)
    dispatcher.end()
    dispatcher.begin(iter([5.0]), 1000.0)
    assert dispatcher.arrived() == counted(5, 0, dropped=5, waited=5)
    assert user.ask() is None


def test_a_new_schedule_takes_the_place_of_what_is_left_of_the_old(dispatcher, time):
    user = Visitor(dispatcher)
    dispatcher.begin(iter([1.0, 2.0, 3.0]), 1000.0)
    time.pass_until(1001.5)
    dispatcher.begin(iter([1.75, 2.75]), 1000.0)
    time.pass_until(1010)
    assert [user.ask() for _ in range(4)] == [1001, 1001.75, 1002.75, None]
    dispatcher.begin(iter([20.0]), 1000.0)
    dispatcher.begin(iter([]), 1000.0)
    assert time.set_for == inf


def test_arrivals_wait_for_the_first_user_to_come(dispatcher, time):
    dispatcher.begin(iter([1.0, 2.0]), 1000.0)
    time.pass_until(1005)
    assert dispatcher.arrived() == counted(2, 0, waiting=2, waited=2)
    user = Visitor(dispatcher)
    assert [user.ask(), user.ask(), user.ask()] == [1001, 1002, None]


def test_lanes_get_arrivals_by_their_users(dispatcher, time):
    users = [Visitor(dispatcher, key) for key in "aaabbc"]
    dispatcher.begin((k / 1000 for k in range(601)), 1000.0)
    time.pass_until(1000.6)
    waiting = {key: len(user.lane.queue) for key, user in zip("aaabbc", users, strict=True)}
    assert waiting == {"a": pytest.approx(300, abs=1), "b": pytest.approx(200, abs=1), "c": 100}


def test_a_lane_whose_users_are_all_busy_costs_the_others_nothing(dispatcher, time):
    """The arrivals of a server that does not answer wait for it, and are nobody else's."""
    busy, free = Visitor(dispatcher, "stalled"), Visitor(dispatcher, "fine")
    free.resume = lambda moment: (free.met.append(moment), free.ask())
    free.ask()
    dispatcher.begin((k / 1000 for k in range(1000)), 1000.0)
    time.pass_until(1001)
    assert len(free.met) == 500
    assert len(busy.lane.queue) == 500
    gaps = {round(after - before, 6) for before, after in zip(free.met, free.met[1:], strict=False)}
    assert gaps == {0.002}


def test_a_lane_without_users_leaves_what_waits_in_it_to_the_others(dispatcher, time):
    here, gone = Visitor(dispatcher, "here"), Visitor(dispatcher, "gone")
    dispatcher.begin(iter([1.0, 2.0, 3.0, 4.0]), 1000.0)
    time.pass_until(1005)
    gone.lane.leave()
    assert dispatcher.arrived() == counted(4, 0, waiting=4, waited=4)
    time.pass_until(1005)
    assert [here.ask() for _ in range(5)] == [1001, 1002, 1003, 1004, None]
    here.lane.leave()
    assert dispatcher.arrived() == counted(4, 4, waited=4)


def test_a_user_that_ends_the_run_ends_it_at_once(dispatcher, time):
    ending = Visitor(dispatcher)
    ending.resume = lambda moment: dispatcher.end()
    ending.ask()
    dispatcher.begin(iter([1.0, 1.0, 2.0]), 1000.0)
    time.pass_until(1010)
    assert dispatcher.arrived() == counted(1, 1)
    assert time.closed


def test_what_a_user_gives_back_as_it_is_resumed_does_not_wait_for_the_next_arrival(
    dispatcher, time
):
    stopping, user = Visitor(dispatcher), Visitor(dispatcher)
    stopping.resume = lambda moment: stopping.lane.give_back(moment)
    stopping.ask()
    user.ask()
    dispatcher.begin(iter([1.0, 3600.0]), 1000.0)
    time.pass_until(1001)
    assert user.met == [1001]
    assert dispatcher.arrived() == counted(1, 1)


def test_it_goes_on_when_a_user_cannot_be_resumed(dispatcher, time):
    broken, user = Visitor(dispatcher), Visitor(dispatcher)

    def fail(moment):
        raise RuntimeError("cannot")

    broken.lane.take(fail)
    user.ask()
    dispatcher.begin(iter([1.0, 2.0]), 1000.0)
    with pytest.raises(RuntimeError):
        time.pass_until(1001)
    time.pass_until(1002)
    assert user.met == [1002]


def test_greenlets_are_resumed_with_their_intended_starts(dispatcher, time):
    met = []

    def live():
        lane = dispatcher.join("lane")
        resume = gevent.getcurrent().switch
        for _ in range(3):
            moment = lane.take(resume)
            met.append(gevent.get_hub().switch() if moment is None else moment)

    user = gevent.spawn(live)
    gevent.sleep(0)
    dispatcher.begin(iter([1.0, 2.0, 3.0]), 1000.0)
    gevent.get_hub().loop.run_callback(time.pass_until, 1001)
    gevent.get_hub().loop.run_callback(time.pass_until, 1010)
    assert user.join(timeout=5) is None
    assert met == [1001, 1002, 1003]


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_every_arrival_is_accounted_for_and_met_once(seed, lanes):
    """Users that come, go, take long and give back at random: no arrival is lost or doubled."""
    rng = random.Random(seed)
    time = Scripted()
    dispatcher = Dispatcher(time.ticker, time.clock)
    dispatcher.begin((k * 0.1 for k in count()), 1000.0)
    busy, free, begun = [], [], []

    class Random(Visitor):
        def resume(self, moment):
            free.remove(self)
            self.holds = moment
            busy.append(self)

        def go(self):
            moment = self.lane.take(self.resume)
            free.append(self)
            if moment is not None:
                self.resume(moment)

    for _ in range(200):
        time.pass_until(time.now + rng.choice((0, 0.03, 0.3, 1.0)))
        deed = rng.randrange(5)
        if deed == 0:
            Random(dispatcher, rng.randrange(lanes)).go()
        elif deed == 1 and free:
            leaving = free.pop(rng.randrange(len(free)))
            leaving.lane.withdraw(leaving.resume)
            leaving.lane.leave()
        elif deed == 2 and busy:
            leaving = busy.pop(rng.randrange(len(busy)))
            leaving.lane.give_back(leaving.holds)
            leaving.lane.leave()
        elif busy:
            done = busy.pop(rng.randrange(len(busy)))
            begun.append(done.holds)
            done.go()
        now = dispatcher.arrived()
        assert now.intended == now.started + now.waiting
        assert now.started == len(begun) + len(busy)
    begun += [user.holds for user in busy]
    last = dispatcher.arrived()
    dispatcher.end()
    assert dispatcher.arrived().dropped == last.waiting
    assert max(Counter(begun).values(), default=1) == 1
    assert set(begun) <= {1000 + k * 0.1 for k in range(last.intended)}
