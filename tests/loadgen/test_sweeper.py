"""Deadlines of many connections by one timer."""

from time import perf_counter

import gevent
from gevent.event import Event

from loadgen.sweeper import SWEEP_INTERVAL_S, Sweeper, sweeper_of


class Member:
    def __init__(self, deadline):
        self.deadline = deadline
        self.expired_at = None
        self.expired = Event()

    def expire(self, now):
        self.deadline = float("inf")
        self.expired_at = now
        self.expired.set()


def test_a_member_expires_after_its_deadline_and_soon():
    sweeper = Sweeper(gevent.get_hub().loop)
    deadline = perf_counter() + 0.03
    due, never = Member(deadline), Member(float("inf"))
    sweeper.add(due)
    sweeper.add(never)
    assert due.expired.wait(5)
    assert deadline <= due.expired_at
    assert never.expired_at is None
    sweeper.discard(due)
    sweeper.discard(never)
    sweeper.discard(never)
    assert len(sweeper) == 0


def test_members_may_leave_while_others_expire():
    sweeper = Sweeper(gevent.get_hub().loop)

    class Leaving(Member):
        def expire(self, now):
            super().expire(now)
            sweeper.discard(self)

    members = [Leaving(0.0) for _ in range(5)]
    for member in members:
        sweeper.add(member)
    assert all(member.expired.wait(5) for member in members)
    assert len(sweeper) == 0
    again = Leaving(0.0)
    sweeper.add(again)  # the timer starts anew
    assert again.expired.wait(5)


def test_a_hub_has_one_sweeper():
    assert sweeper_of(gevent.get_hub()) is sweeper_of(gevent.get_hub())
    assert SWEEP_INTERVAL_S == 0.05
