import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import re
from types import SimpleNamespace

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust.event import Events
from locust.stats import RequestStats

from loadgen import flash_client, session_client
from loadgen.client_config import ClientConfig
from loadgen.errors import SessionError, UsageError
from loadgen.flash_client import FlashClient
from loadgen.recorder import Recorder
from loadgen.session import UNLIMITED, IdSessions, Session, SessionLimit
from loadgen.session_client import SessionClient
from loadgen.statistics_feed import StatisticsFeed
from loadgen.traffic_request import TrafficRequest

REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"


class Platform:
    """Starts numbered sessions, each after a turn of the others, unless it is told to fail."""

    asks_platform = True

    def __init__(self) -> None:
        self.started = 0
        self.ended: list[str] = []
        self.fails = False

    def start(self) -> Session:
        gevent.sleep(0)
        if self.fails:
            raise SessionError("no session: the server is not sessioned")
        self.started += 1
        return Session(f"s{self.started}", "Modal-Authorization", f"Bearer secret{self.started}")

    def end(self, session: Session) -> None:
        self.ended.append(session.id)


class User:
    """A client in sessions; ``sent`` has what session each attempt carried, ``None`` for none."""

    def __init__(self, scripted, monkeypatch) -> None:
        self.refuse = 0
        self.containers = iter(())
        self.sent: list[str | None] = []
        self.url = scripted(self._serve).url
        self.recorder = Recorder()
        self.stats = RequestStats()
        self.feed = StatisticsFeed(SimpleNamespace(stats=self.stats, events=Events()))
        self.now = 100.0
        self.client: FlashClient | None = None
        monkeypatch.setattr(flash_client, "sleep", lambda seconds: None)
        monkeypatch.setattr(session_client, "perf_counter", lambda: self.now)

    def _serve(self, peer, _n) -> None:
        while request := peer.request():
            found = re.search(rb"modal-(?:session-id|authorization): (\S.*)\r", request, re.I)
            self.sent.append(found and found[1].decode())
            if self.refuse:
                self.refuse -= 1
                peer.send(REFUSED)
            else:
                container = next(self.containers, "a")
                head = f"HTTP/1.1 200 OK\r\nx-edge-container: {container}\r\ncontent-length: 2"
                peer.send(f"{head}\r\n\r\nhi".encode())

    def with_limit(self, limit=UNLIMITED, sessions=None, **options) -> SessionClient:
        options.setdefault("config", ClientConfig(trust_env=False))
        self.client = SessionClient(
            self.url,
            self.recorder.channel("us-east", "sticky"),
            self.recorder,
            self.feed,
            sessions=sessions or IdSessions(),
            limit=limit,
            **options,
        )
        return self.client

    @property
    def channel(self):
        (channel,) = self.recorder
        return channel


@pytest.fixture
def user(scripted, monkeypatch):
    made = User(scripted, monkeypatch)
    yield made
    if made.client is not None:
        made.client.close()


def test_a_session_makes_so_many_requests(user):
    client = user.with_limit(SessionLimit(requests=3))
    for _ in range(7):
        client.get("/")
    first, second, third = dict.fromkeys(user.sent)
    assert user.sent == [first] * 3 + [second] * 3 + [third]
    assert client.session == third


def test_a_session_lasts_so_many_seconds(user):
    client = user.with_limit(SessionLimit(seconds=10.0))
    for user.now in (100.0, 109.0, 110.0, 119.0, 125.0):
        client.get("/")
    first, second, third = dict.fromkeys(user.sent)
    assert user.sent == [first, first, second, second, third]


@given(
    st.none() | st.integers(1, 10),
    st.none() | st.floats(0, 10),
    st.integers(0, 20),
    st.floats(0, 20),
)
def test_whichever_comes_first_is_the_limit(most, oldest, requests, seconds):
    reached = SessionLimit(most, oldest).reached(requests=requests, seconds=seconds)
    by_requests = SessionLimit(requests=most).reached(requests=requests, seconds=0.0)
    by_age = oldest is not None and SessionLimit(seconds=oldest).reached(
        requests=0, seconds=seconds
    )
    assert reached == (by_requests or by_age)
    assert by_requests == (most is not None and requests >= most)


def test_the_attempts_of_one_request_are_in_one_session(user):
    client = user.with_limit(SessionLimit(requests=1))
    user.refuse = 3
    client.get("/")
    client.post("/", data=b"body")
    assert user.sent[0] is not None
    assert user.sent[:4] == [user.sent[0]] * 4
    assert user.sent[4] not in (None, user.sent[0])


def test_a_new_session_is_compared_with_none_before(user):
    client = user.with_limit(SessionLimit(requests=3))
    user.containers = iter("aabbbccca")
    for _ in range(9):
        client.get("/")
    # aab, bbc, cca: each session's own moves alone.
    assert (user.channel.same, user.channel.moved) == (3, 3)


def test_every_kind_of_request_is_in_the_session(user):
    client = user.with_limit(SessionLimit(requests=100))
    client.get("/", name="page")
    client.post("/", json={})
    client.get("/", allow_redirects=True)
    with client.get("/", stream=True) as response:
        assert response.content == b"hi"
    assert user.sent == [client.session] * 4


@pytest.mark.parametrize("redirects", [False, True])
def test_described_requests_are_in_the_session_and_count(user, redirects):
    config = ClientConfig(trust_env=False, allow_redirects=redirects)
    client = user.with_limit(SessionLimit(requests=2), config=config)
    for _ in range(3):
        client.send(TrafficRequest("GET", "/", "page"))
    client.send(TrafficRequest("GET", "/", "page", {"modal-session-id": "mine"}))
    first, _, second, mine = user.sent
    assert user.sent == [first, first, second, "mine"]
    assert len({first, second, mine}) == 3


def test_a_request_that_brings_a_session_counts_for_no_other(user):
    client = user.with_limit(SessionLimit(requests=2))
    client.get("/")
    client.get("/", headers={"modal-session-id": "mine"})
    client.get("/")
    client.get("/")
    first, second = user.sent[0], user.sent[3]
    assert user.sent == [first, "mine", first, second]
    assert second not in ("mine", first)


def test_a_session_can_be_renewed_by_hand(user):
    client = user.with_limit(SessionLimit(requests=2))
    client.get("/")
    client.renew_session()
    renewed = client.session
    client.get("/")
    client.get("/")
    assert user.sent[1:] == [renewed, renewed]
    assert user.sent[0] != renewed


def test_a_plain_client_can_renew_its_session_too_if_it_has_one(user):
    arguments = (user.url, user.recorder.channel("us-east", "sticky"), user.recorder, user.feed)
    config = ClientConfig(trust_env=False)
    client = user.client = FlashClient(*arguments, config=config, session="first")
    client.get("/")
    client.renew_session()
    client.get("/")
    assert user.sent == ["first", client.session]
    assert (user.channel.same, user.channel.moved) == (0, 0)
    without = FlashClient(*arguments, config=config)
    with pytest.raises(UsageError, match="sticky"):
        without.renew_session()


def test_a_platform_s_session_is_started_for_the_first_request_and_ended_when_it_is_over(user):
    platform = Platform()
    client = user.with_limit(SessionLimit(requests=2), platform)
    assert (platform.started, client.session) == (0, None)
    for _ in range(3):
        client.get("/")
    assert user.sent == ["Bearer secret1", "Bearer secret1", "Bearer secret2"]
    assert (client.session, platform.ended) == ("s2", ["s1"])
    client.close()
    assert (client.session, platform.ended) == (None, ["s1", "s2"])
    assert user.channel.session_start.total == 2


def test_a_session_that_is_its_user_s_own_is_not_timed(user):
    client = user.with_limit(SessionLimit(requests=1))
    client.get("/")
    client.get("/")
    assert user.channel.session_start.total == 0


def test_without_a_session_requests_fail_until_there_is_one(user):
    platform = Platform()
    client = user.with_limit(sessions=platform)
    platform.fails = True
    for _ in range(2):
        response = client.get("/", name="page")
        assert (response.status_code, response.ok) == (0, False)
        assert isinstance(response.error, SessionError)
    assert user.sent == []
    platform.fails = False
    assert client.get("/", name="page").status_code == 200
    assert user.sent == ["Bearer secret1"]
    user.feed.flush()
    entry = user.stats.entries["page", "GET"]
    assert (entry.num_requests, entry.num_failures) == (3, 2)
    (error,) = user.stats.errors.values()
    assert "the server is not sessioned" in str(error.error)
    assert user.channel.outcomes["connection_error"] == 2
    assert user.channel.requests == 3


def test_greenlets_that_share_a_client_share_its_session(user):
    platform = Platform()
    client = user.with_limit(sessions=platform)
    both = [gevent.spawn(client.get, "/") for _ in range(2)]
    assert [one.get(timeout=10).status_code for one in both] == [200, 200]
    assert (platform.started, user.sent) == (1, ["Bearer secret1"] * 2)


def test_a_token_is_not_shown():
    session = Session("s1", "Modal-Authorization", "Bearer secret")
    assert "secret" not in repr(session)
    assert "secret" not in str(session)
