import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest

from loadgen.probe import Probe, Verdict

LONG_S = 3600.0


class Client:
    def __init__(self) -> None:
        self.holds: list[bool] = []

    def hold(self, holds: bool) -> None:
        self.holds.append(holds)


def _waiting(probe: Probe, count: int = 1) -> list[gevent.Greenlet]:
    greenlets = []
    for _ in range(count):
        greenlets.append(gevent.spawn(probe.wait, LONG_S))
        gevent.sleep(0)
    assert probe.waiting == count
    return greenlets


def _verdict(greenlet: gevent.Greenlet) -> Verdict:
    verdict: Verdict = greenlet.get(timeout=5)
    return verdict


def test_one_asks_at_a_time():
    probe = Probe()
    assert probe.claim()
    assert not probe.claim()
    probe.answered()
    assert probe.claim()


def test_all_go_on_when_it_is_answered():
    probe = Probe()
    probe.claim()
    waiting = _waiting(probe, 3)
    probe.answered()
    assert [_verdict(one) for one in waiting] == [Verdict.ANSWERED] * 3
    assert probe.waiting == 0


def test_who_has_waited_longest_is_next():
    probe = Probe()
    probe.claim()
    first, second, third = _waiting(probe, 3)
    probe.hand_on()
    assert _verdict(first) is Verdict.NEXT
    assert not probe.claim()
    probe.hand_on()
    assert _verdict(second) is Verdict.NEXT
    probe.answered()
    assert _verdict(third) is Verdict.ANSWERED


def test_without_anybody_to_hand_on_to_the_next_one_may_claim():
    probe = Probe()
    probe.claim()
    probe.hand_on()
    assert probe.claim()


def test_waiting_has_its_limit():
    probe = Probe()
    probe.claim()
    assert probe.wait(0.0) is Verdict.LATE
    assert probe.waiting == 0


def test_who_is_killed_as_its_turn_comes_hands_it_on():
    probe = Probe()
    probe.claim()
    first, second = _waiting(probe, 2)
    first.kill(block=False)
    probe.hand_on()
    assert _verdict(second) is Verdict.NEXT


def test_who_is_killed_while_it_waits_is_not_next():
    probe = Probe()
    probe.claim()
    first, second = _waiting(probe, 2)
    first.kill()
    probe.hand_on()
    assert _verdict(second) is Verdict.NEXT


def test_clients_hold_their_requests_while_somebody_asks():
    probe, early, late = Probe(), Client(), Client()
    probe.join(early)
    probe.claim()
    probe.join(late)
    (waiting,) = _waiting(probe)
    probe.hand_on()
    assert _verdict(waiting) is Verdict.NEXT
    assert (early.holds, late.holds) == ([False, True], [True])
    probe.answered()
    assert (early.holds[-1], late.holds[-1]) == (False, False)


def test_a_client_that_is_gone_is_forgotten():
    probe = Probe()
    probe.join(Client())
    assert list(probe._clients) == []
    assert probe.claim()


@pytest.mark.parametrize("ends", ["answered", "hand_on"])
def test_clients_send_again_when_nobody_asks_any_more(ends):
    probe, client = Probe(), Client()
    probe.join(client)
    probe.claim()
    getattr(probe, ends)()
    assert client.holds == [False, True, False]
