"""One region's users under the policy ``probe``, against a server that is cold until it is told."""

import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import random
from time import perf_counter
from types import SimpleNamespace

import gevent
import pytest
from gevent.event import Event
from locust.event import Events
from locust.stats import RequestStats

from loadgen import flash_client
from loadgen.client_config import ClientConfig
from loadgen.cold_start_policy import ColdStartPolicy
from loadgen.errors import UsageError
from loadgen.flash_client import FlashClient, RetryPolicy
from loadgen.probe import Probe
from loadgen.recorder import Recorder
from loadgen.statistics_feed import StatisticsFeed

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
THROTTLED = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"


class Region:
    """Users of one region, whose pauses last until :meth:`pause_over`."""

    def __init__(self, scripted, monkeypatch) -> None:
        self.answer = REFUSED
        self.requests = 0
        self.url = scripted(self._serve).url
        self.recorder = Recorder()
        self.probe = Probe()
        self.feed = StatisticsFeed(SimpleNamespace(stats=RequestStats(), events=Events()))
        self.pausing: list[Event] = []
        self.clients: list[FlashClient] = []
        self.ahead_s = 0.0
        monkeypatch.setattr(flash_client, "sleep", self._pause)
        monkeypatch.setattr(flash_client, "perf_counter", lambda: perf_counter() + self.ahead_s)

    def _serve(self, peer, _n) -> None:
        while peer.request():
            self.requests += 1
            if not self.answer:
                return
            peer.send(self.answer)

    def _pause(self, _seconds: float) -> None:
        over = Event()
        self.pausing.append(over)
        over.wait()

    def pause_over(self) -> None:
        """End the one pause that there is."""
        (over,) = self.pausing
        self.pausing.clear()
        over.set()

    def user(self, deadline_s: float = 3600.0, **options) -> FlashClient:
        client = FlashClient(
            self.url,
            self.recorder.channel("us-east", "non_sticky"),
            self.recorder,
            self.feed,
            config=ClientConfig(trust_env=False, **options),
            policy=RetryPolicy(deadline_s),
            probe=self.probe,
            rng=random.Random(1),
        )
        self.clients.append(client)
        return client

    @property
    def channel(self):
        (channel,) = self.recorder
        return channel

    @property
    def refused(self) -> int:
        return self.channel.outcomes["cold_start"]


@pytest.fixture
def region(scripted, monkeypatch):
    made = Region(scripted, monkeypatch)
    yield made
    for client in made.clients:
        client.close()
    assert made.channel.gauges.in_flight == 0
    assert made.probe.waiting == 0


def _turns(condition) -> None:
    """Let the others run until it is so."""
    with gevent.Timeout(10):
        while not condition():
            gevent.sleep(0.001)


def _asking(region: Region, **options) -> gevent.Greenlet:
    """A user whose request was refused and that is the probe now."""
    asking = gevent.spawn(region.user(**options).get, "/")
    _turns(lambda: region.pausing)
    return asking


def _held(region: Region, count: int, **options) -> list[gevent.Greenlet]:
    """Users that began a request after that."""
    waiting = region.probe.waiting + count
    held = [gevent.spawn(region.user(**options).get, "/") for _ in range(count)]
    _turns(lambda: region.probe.waiting == waiting)
    return held


def _statuses(greenlets) -> list[int]:
    return [greenlet.get(timeout=10).status_code for greenlet in greenlets]


def test_one_asks_and_the_others_go_on_when_it_is_answered(region):
    asking = _asking(region)
    held = _held(region, 5)
    region.pause_over()
    _turns(lambda: region.pausing)
    assert (region.requests, region.refused) == (2, 2)
    region.answer = OK
    region.pause_over()
    assert _statuses([asking, *held]) == [200] * 6
    assert (region.requests, region.refused) == (8, 2)
    channel = region.channel
    assert (channel.requests, channel.affected, channel.giveups) == (6, 6, 0)
    assert channel.cold_start_wait.total == channel.response_time.total == 6
    assert channel.response_time.sum > channel.request_duration.sum
    assert region.recorder.windows["us-east"].total == 1


def test_who_was_refused_while_another_asks_waits_too(region):
    both = [gevent.spawn(region.user().get, "/") for _ in range(2)]
    _turns(lambda: region.pausing and region.probe.waiting == 1)
    assert region.refused == 2
    region.answer = OK
    region.pause_over()
    assert _statuses(both) == [200, 200]
    assert (region.requests, region.channel.affected) == (4, 2)


def test_when_nobody_asks_any_more_requests_are_sent_as_ever(region):
    asking = _asking(region)
    region.answer = OK
    region.pause_over()
    asking.get(timeout=10)
    client = region.clients[0]
    assert client.get("/").status_code == 200
    assert client._send == client.http.send_prepared
    assert region.channel.affected == 1


def test_a_probe_that_dies_hands_its_part_on(region):
    asking = _asking(region)
    first, second = _held(region, 2)
    asking.kill()
    _turns(lambda: len(region.pausing) == 2)
    # The next one has asked at once, was refused, and pauses as the probe.
    assert (region.requests, region.probe.waiting) == (2, 1)
    region.answer = OK
    region.pausing[1].set()
    assert _statuses([first, second]) == [200, 200]


def test_a_probe_that_loses_its_connection_hands_its_part_on(region):
    asking = _asking(region)
    (held,) = _held(region, 1)
    region.answer = b""
    region.pause_over()
    assert _statuses([asking, held]) == [0, 0]
    assert not region.probe._asks
    region.answer = OK
    assert region.user().get("/").status_code == 200


def test_a_probe_that_gives_up_hands_its_part_on(region):
    asking = _asking(region, deadline_s=60.0)
    (held,) = _held(region, 1, deadline_s=180.0)
    region.ahead_s = 60.0
    region.pause_over()
    assert _statuses([asking]) == [503]
    _turns(lambda: region.pausing)
    region.answer = OK
    region.pause_over()
    assert _statuses([held]) == [200]
    assert (region.channel.giveups, region.channel.affected) == (1, 2)


def test_who_has_waited_to_its_deadline_asks_once_and_gives_up(region):
    asking = _asking(region)
    assert region.user(deadline_s=0.0).get("/").status_code == 503
    assert (region.requests, region.refused) == (2, 2)
    assert (region.channel.giveups, region.channel.affected, region.channel.requests) == (1, 2, 1)
    region.answer = OK
    region.pause_over()
    assert _statuses([asking]) == [200]


def test_a_container_at_its_limit_is_one_that_is_up(region):
    asking = _asking(region)
    held = _held(region, 2)
    region.answer = THROTTLED
    region.pause_over()
    # All three have been told so, and pause each by itself.
    _turns(lambda: len(region.pausing) == 3)
    region.answer = OK
    for over in region.pausing:
        over.set()
    assert _statuses([asking, *held]) == [200] * 3
    assert region.channel.outcomes["throttled"] == 3


def test_other_kinds_of_requests_wait_as_well(region):
    asking = _asking(region)
    posting = gevent.spawn(region.user().post, "/", data=b"body")
    streaming = gevent.spawn(region.user().get, "/", stream=True)
    following = gevent.spawn(region.user(allow_redirects=True).get, "/")
    _turns(lambda: region.probe.waiting == 3)
    region.answer = OK
    region.pause_over()
    assert _statuses([asking, posting, following]) == [200] * 3
    with streaming.get(timeout=10) as response:
        assert response.content == b"hi"
    assert (region.requests, region.refused) == (5, 1)


def test_a_policy_has_one_of_two_names():
    assert ColdStartPolicy.parse("probe") is ColdStartPolicy.PROBE
    with pytest.raises(UsageError, match="expected retry or probe, got 'both'"):
        ColdStartPolicy.parse("both")
