import contextlib
import gzip
import math
import os
import random
from types import SimpleNamespace

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import gevent.event
import pytest
from locust.event import Events
from locust.stats import RequestStats

from loadgen import flash_client
from loadgen.client_config import ClientConfig, Timeouts
from loadgen.errors import ClientError, UsageError
from loadgen.flash_client import FlashClient, RetryPolicy
from loadgen.recorder import Recorder
from loadgen.request_body import Body
from loadgen.statistics_feed import StatisticsFeed
from loadgen.traffic_request import TrafficRequest

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
THROTTLED = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"


def _ok(*headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return f"HTTP/1.1 200 OK\r\n{lines}content-length: 2\r\n\r\nhi".encode()


class Bench:
    """A client with everything that it reports to; its waits pass at once and are kept."""

    def __init__(self, url: str, monkeypatch, **options) -> None:
        self.waits: list[float] = []
        monkeypatch.setattr(flash_client, "sleep", self.waits.append)
        self.stats = RequestStats()
        self.events = Events()

        def on_request(request_type, name, response_time, response_length, exception=None, **_):
            self.stats.log_request(request_type, name, response_time, response_length)

        # As if it were Locust's own, so that a request told twice would be counted twice.
        on_request.__module__ = "locust.runners"
        self.events.request.add_listener(on_request)
        self.feed = StatisticsFeed(SimpleNamespace(stats=self.stats, events=self.events))
        self.recorder = Recorder()
        self.client = FlashClient(
            url,
            self.recorder.channel("us-east", "sticky"),
            self.recorder,
            self.feed,
            **{"config": ClientConfig(trust_env=False), "rng": random.Random(1), **options},
        )

    @property
    def channel(self):
        (channel,) = self.recorder
        return channel

    @property
    def outcomes(self) -> dict[str, int]:
        return {name: count for name, count in self.channel.outcomes.items() if count}

    def entry(self, name: str = "/", method: str = "GET"):
        self.feed.flush()
        assert self.stats.total.num_requests == sum(
            one.num_requests for one in self.stats.entries.values()
        )
        return self.stats.entries[name, method]


@pytest.fixture
def serve(scripted, monkeypatch):
    """A client of a server that gives these answers, one a request, and keeps the requests."""
    made = []

    def start(*answers: bytes, **options) -> Bench:
        left, seen = list(answers), []

        def script(peer, _n):
            while request := peer.request():
                seen.append(request)
                peer.send(left.pop(0))

        bench = Bench(scripted(script).url, monkeypatch, **options)
        bench.seen = seen
        made.append(bench)
        return bench

    yield start
    for bench in made:
        bench.client.close()
        assert bench.channel.gauges.in_flight == 0


def test_an_answer_is_one_request_and_one_attempt(serve):
    bench = serve(OK)
    response = bench.client.get("/")
    assert (response.status_code, response.text) == (200, "hi")
    assert bench.outcomes == {"ok": 1}
    assert bench.channel.codes == {200: 1}
    assert (bench.channel.requests, bench.channel.affected) == (1, 0)
    entry = bench.entry()
    assert (entry.num_requests, entry.num_failures, entry.total_content_length) == (1, 0, 2)
    assert entry.total_response_time == pytest.approx(bench.channel.request_duration.sum * 1e3)
    assert bench.channel.time_to_first_byte.total == bench.channel.response_time.total == 1
    assert bench.recorder.connects("us-east").total == 1
    assert bench.channel.cold_start_wait.total == 0


def test_refusals_are_waited_out_and_stay_out_of_locusts_statistics(serve):
    bench = serve(REFUSED, REFUSED, REFUSED, OK)
    assert bench.client.get("/").status_code == 200
    assert bench.outcomes == {"cold_start": 3, "ok": 1}
    assert bench.channel.codes == {503: 3, 200: 1}
    assert (bench.channel.requests, bench.channel.affected, bench.channel.giveups) == (1, 1, 0)
    assert bench.channel.cold_start_wait.total == bench.channel.response_time.total == 1
    assert bench.channel.request_duration.total == 1
    assert [0.05 <= bench.waits[0] <= 0.1, 0.1 <= bench.waits[1] <= 0.2] == [True, True]
    assert 0.2 <= bench.waits[2] <= 0.4
    entry = bench.entry()
    assert (entry.num_requests, entry.num_failures) == (1, 0)
    assert entry.total_response_time == pytest.approx(bench.channel.request_duration.sum * 1e3)
    assert bench.channel.response_time.sum > bench.channel.request_duration.sum


def test_throttling_is_waited_out_and_counted_apart(serve):
    bench = serve(THROTTLED, OK)
    assert bench.client.get("/").ok
    assert bench.outcomes == {"throttled": 1, "ok": 1}
    assert (bench.channel.affected, bench.channel.cold_start_wait.total) == (0, 0)
    assert bench.entry().num_requests == 1


def test_the_wait_that_a_refusal_asks_for_is_the_wait(serve):
    bench = serve(REFUSED.replace(b"content-", b"retry-after: 7\r\ncontent-"), OK)
    bench.client.get("/")
    assert bench.waits == [7.0]


@pytest.mark.parametrize(("answer", "giveups"), [(REFUSED, 1), (THROTTLED, 0)])
def test_the_deadline_makes_a_failure_without_a_time(serve, answer, giveups):
    bench = serve(answer, policy=RetryPolicy(0.0))
    response = bench.client.get("/")
    assert response.status_code in (503, 429)
    assert not response.ok
    assert (bench.channel.giveups, bench.channel.requests, bench.waits) == (giveups, 1, [])
    assert bench.channel.request_duration.total == 0
    assert bench.channel.cold_start_wait.total == 0
    entry = bench.entry()
    assert (entry.num_requests, entry.num_failures, entry.num_none_requests) == (1, 1, 1)
    assert entry.response_times == {}


def test_a_body_from_an_iterator_is_not_sent_again(serve):
    bench = serve(REFUSED)
    response = bench.client.post("/", data=iter([b"one", b"two"]))
    assert response.status_code == 503
    assert (len(bench.seen), bench.waits) == (1, [])
    entry = bench.entry(method="POST")
    assert (entry.num_requests, entry.num_failures) == (1, 1)
    assert "iterator" in repr(next(iter(bench.stats.errors.values())).error)


def test_bytes_are_sent_again(serve):
    bench = serve(REFUSED, OK)
    bench.client.post("/", data=b"whole")
    assert [request.endswith(b"whole") for request in bench.seen] == [True, True]


@pytest.mark.parametrize(("status", "outcome"), [(404, "client_error"), (500, "server_error")])
def test_an_error_status_is_a_failure_and_is_not_tried_again(serve, status, outcome):
    bench = serve(f"HTTP/1.1 {status} Oh\r\ncontent-length: 0\r\n\r\n".encode())
    assert bench.client.get("/", name="page").status_code == status
    assert bench.outcomes == {outcome: 1}
    entry = bench.entry("page")
    assert (entry.num_requests, entry.num_failures, entry.num_none_requests) == (1, 1, 0)


def test_a_refused_connection_is_a_failure_with_status_0(serve, scripted):
    bench = serve()
    bench.client.close()
    gone = scripted(lambda peer, n: None)
    gone.server.stop()
    bench.client.http = type(bench.client.http)(gone.url, config=ClientConfig(trust_env=False))
    response = bench.client.get("/")
    assert (response.status_code, response.text, response.ok) == (0, "", False)
    assert bench.outcomes == {"connection_error": 1}
    assert bench.channel.codes == {}
    entry = bench.entry()
    assert (entry.num_requests, entry.num_failures) == (1, 1)


def test_a_locustfile_may_call_an_answer_a_failure(serve):
    bench = serve(OK)
    with bench.client.get("/", catch_response=True) as response:
        response.failure("not what was asked for")
    assert bench.entry().num_failures == 1
    assert bench.outcomes == {"ok": 1}


def test_a_locustfile_may_call_an_error_good(serve):
    bench = serve(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n")
    with bench.client.get("/", catch_response=True) as response:
        response.success()
    assert (bench.entry().num_requests, bench.entry().num_failures) == (1, 0)


def test_an_exception_in_the_block_is_the_verdict_and_goes_on(serve):
    bench = serve(OK)
    with pytest.raises(ZeroDivisionError), bench.client.get("/", catch_response=True):
        raise ZeroDivisionError
    assert (bench.entry().num_requests, bench.entry().num_failures) == (1, 1)


def test_a_stream_is_counted_at_its_end(serve):
    bench = serve(OK)
    response = bench.client.get("/", stream=True)
    assert (bench.channel.requests, bench.outcomes) == (0, {})
    assert b"".join(response.iter_content()) == b"hi"
    assert (bench.channel.requests, bench.outcomes) == (1, {"ok": 1})
    assert bench.channel.request_duration.total == 1
    assert bench.entry().num_requests == 1


def test_a_stream_that_breaks_off_is_a_connection_error(scripted, monkeypatch):
    def script(peer, _n):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhalf")

    bench = Bench(scripted(script).url, monkeypatch)
    with bench.client.get("/", stream=True) as response:
        assert b"".join(response.iter_content()) == b"half"
    assert bench.outcomes == {"connection_error": 1}
    assert (bench.entry().num_requests, bench.entry().num_failures) == (1, 1)
    assert bench.channel.request_duration.total == 0


def test_the_session_goes_with_every_request_and_attempt(serve):
    bench = serve(REFUSED, OK, OK, session="s-1")
    bench.client.get("/")
    bench.client.get("/", headers={"modal-session-id": "mine"})
    sent = [
        [line for line in request.lower().split(b"\r\n") if line.startswith(b"modal-session")]
        for request in bench.seen
    ]
    assert sent == [[b"modal-session-id: s-1"]] * 2 + [[b"modal-session-id: mine"]]


BAD = REFUSED.replace(b"content-length", b"x-edge-container: ta-bad\r\ncontent-length")


def beside_others(bench, monkeypatch) -> None:
    """From now on others are answered while the client waits to try again."""

    def answer_others(_seconds: float) -> None:
        bench.channel.watch.answers += 100

    monkeypatch.setattr(flash_client, "sleep", answer_others)


@pytest.mark.parametrize(("answers", "answered"), [([OK], True), ([], False)])
def test_a_session_that_is_refused_while_others_are_answered_is_told_of(
    serve, monkeypatch, answers, answered
):
    bench = serve(REFUSED, *[BAD] * 5, *answers, session="s1")
    beside_others(bench, monkeypatch)
    if not answered:
        # As when Locust stops the user while it waits.
        def stop(refusals: int, **_: object) -> float:
            if refusals == 5:
                raise gevent.GreenletExit
            return 0.0

        monkeypatch.setattr(flash_client, "delay_s", stop)
        with pytest.raises(gevent.GreenletExit):
            bench.client.get("/")
    else:
        assert bench.client.get("/").ok
    (one,) = bench.recorder.refused_sessions.since(0)
    assert (one.region, one.session, one.container) == ("us-east", "s1", "ta-bad")
    assert (one.refused, one.beside, one.others_refused, one.answered) == (6, 5, 0, answered)
    assert one.others_answered == 500 + 100 * answered
    assert bench.channel.refused_sessions == 1
    assert (bench.channel.container_refusals, bench.channel.outcomes["cold_start"]) == (5, 6)


@pytest.mark.parametrize(
    ("options", "headers"), [({}, None), ({"session": "s1"}, {"Modal-Session-ID": "another"})]
)
def test_a_request_that_is_not_of_the_clients_session_is_not_told_of(
    serve, monkeypatch, options, headers
):
    bench = serve(*[BAD] * 6, OK, **options)
    beside_others(bench, monkeypatch)
    assert bench.client.get("/", headers=headers).ok
    assert bench.recorder.refused_sessions.since(0) == []
    assert (bench.channel.container_refusals, bench.channel.refused_sessions) == (6, 0)


def test_without_a_session_none_is_sent(serve):
    bench = serve(OK)
    bench.client.get("/")
    assert b"modal-session-id" not in bench.seen[0].lower()


def test_a_container_is_compared_with_the_one_before(serve):
    named = [_ok(f"x-edge-container: {name}") for name in "aaba"]
    bench = serve(*named, OK, session="s")
    for _ in range(5):
        bench.client.get("/")
    assert (bench.channel.same, bench.channel.moved) == (1, 2)


def test_the_servers_own_time_is_taken_from_the_first_byte(serve):
    bench = serve(_ok("server-timing: app;dur=1.5"), OK)
    bench.client.get("/")
    first_s = bench.channel.time_to_first_byte.sum
    bench.client.get("/")
    assert bench.channel.edge_overhead.total == 1
    assert bench.channel.edge_overhead.sum == pytest.approx(first_s - 0.0015)


def test_other_listeners_are_told_each_request_once_as_locust_would(serve):
    bench = serve(REFUSED, OK, context=lambda: {"user": 1})
    told = []
    bench.events.request.add_listener(lambda **said: told.append(said))
    bench.client.get("/", name="page", context={"more": 2})
    (said,) = told
    assert (said["request_type"], said["name"]) == ("GET", "page")
    assert said["response_time"] == pytest.approx(bench.channel.request_duration.sum * 1e3)
    assert (said["response_length"], said["exception"]) == (2, None)
    assert said["context"] == {"user": 1, "more": 2}
    assert said["response"].status_code == 200
    assert said["url"] == f"{bench.client.base_url}/"
    assert {*said} >= {"start_time"}
    assert bench.entry("page").num_requests == 1


# Described requests.

DESCRIBED = TrafficRequest(
    *("PUT", "/items/7?x=1", "item", {"x-a": "1"}),
    body=Body(b"{}", content_type="application/json"),
)


def test_a_described_request_is_sent_as_it_says_under_its_name(serve):
    bench = serve(OK, OK, session="s1")
    for _ in range(2):
        assert bench.client.send(DESCRIBED).status_code == 200
    head, _, body = bench.seen[0].partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /items/7?x=1 HTTP/1.1\r\n")
    lines = head.split(b"\r\n")
    for line in (b"x-a: 1", b"content-type: application/json", b"Modal-Session-ID: s1"):
        assert lines.count(line) == 1
    assert body == b"{}"
    assert bench.seen[1] == bench.seen[0]
    assert bench.entry("item", "PUT").num_requests == 2


def test_a_described_request_is_prepared_once_and_not_for_another(serve):
    bench = serve(OK, OK, OK)
    twin = TrafficRequest("PUT", "/items/7?x=1", "twin", body=Body(b"[]"))
    for request in (DESCRIBED, twin, DESCRIBED):
        bench.client.send(request)
    assert set(bench.client.http.prepared) == {DESCRIBED, twin}
    assert [request.endswith(b"[]") for request in bench.seen] == [False, True, False]


def test_a_described_request_may_have_a_session_of_its_own(serve):
    bench = serve(OK, session="mine")
    bench.client.send(TrafficRequest("GET", "/", "/", {"modal-session-id": "told"}))
    assert b"modal-session-id: told\r\n" in bench.seen[0]
    assert b"mine" not in bench.seen[0]


def test_a_refused_described_request_is_sent_again_with_its_body(serve):
    bench = serve(REFUSED, OK)
    bench.client.send(DESCRIBED)
    assert bench.seen[0] == bench.seen[1]
    assert bench.seen[1].endswith(b"\r\n\r\n{}")
    assert bench.outcomes == {"cold_start": 1, "ok": 1}


def test_a_described_request_counts_from_its_intended_start(serve):
    bench = serve(OK)
    bench.client.intended_start = flash_client.perf_counter() - 5
    bench.client.send(DESCRIBED)
    assert bench.channel.response_time.sum == pytest.approx(5, abs=1)
    assert bench.channel.request_duration.sum < 1


# Tokens.


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize("way", ["iter_events", "iter_lines", "iter_content"])
def test_tokens_are_recorded_with_the_times_they_came(scripted, monkeypatch, way):
    gate = gevent.event.Event()

    def script(peer, _n):
        peer.request()
        peer.send(CHUNKED)
        for number in range(3):
            peer.send(_chunk(b"data: %d\n\n" % number))
            gate.wait()
            gate.clear()
        peer.send(b"0\r\n\r\n")

    bench = Bench(scripted(script).url, monkeypatch)
    with bench.client.get("/", stream=True) as answer:
        for piece in getattr(answer, way)():
            if piece:
                answer.record_token()
                gate.set()
        times = list(answer.event_times)
    channel = bench.channel
    assert channel.time_to_first_token.total == 1
    assert channel.time_to_first_token.sum == pytest.approx(times[0])
    assert channel.time_between_tokens.total == 2
    assert channel.time_between_tokens.sum == pytest.approx(times[-1] - times[0])
    assert channel.time_to_first_token.sum >= channel.time_to_first_byte.sum
    assert bench.outcomes == {"ok": 1}


def test_a_token_of_a_response_that_is_not_streamed_is_a_mistake(serve):
    bench = serve(OK, OK)
    with bench.client.get("/", catch_response=True) as whole:
        assert list(whole.iter_content()) == [b"hi"]
        with pytest.raises(UsageError, match="stream=True"):
            whole.record_token()
    with bench.client.get("/", stream=True) as unread, pytest.raises(UsageError, match="read"):
        unread.record_token()
    assert bench.channel.time_to_first_token.total == 0


# Cold regions.


def test_a_region_is_cold_from_the_first_503_to_the_first_byte_of_an_answer(serve):
    bench = serve(REFUSED, REFUSED, OK)
    bench.client.get("/")
    recorder, window = bench.recorder, bench.channel.window
    assert (recorder.windows["us-east"].total, window.opened) == (1, None)
    assert 0 < recorder.windows["us-east"].sum < bench.channel.response_time.sum


def test_a_region_is_no_longer_cold_once_a_stream_begins(serve):
    bench = serve(REFUSED, OK, REFUSED, OK)
    durations = bench.recorder.windows["us-east"]
    first = bench.client.get("/", stream=True)
    assert bench.channel.window.opened is None
    assert (durations.total, bench.channel.requests) == (1, 0)
    assert first.content == b"hi"
    with bench.client.get("/", stream=True) as second:
        assert second.content == b"hi"
    assert (bench.channel.window.opened, durations.total) == (None, 2)


def test_a_stream_that_was_never_refused_ends_the_cold_start_of_others(serve):
    bench = serve(REFUSED, OK, policy=RetryPolicy(0.0))
    assert bench.client.get("/").status_code == 503
    assert bench.channel.window.opened is not None
    with bench.client.get("/", stream=True) as response:
        assert bench.channel.window.opened is None
        assert response.content == b"hi"


# Broken servers.

GOOD = [
    OK,
    _ok("server-timing: app;dur=0.1", "x-edge-container: ta-1", "set-cookie: a=b; path=/"),
    _ok("content-type: text/event-stream; charset=utf-8", "location: /elsewhere"),
    CHUNKED + b"5;x=y\r\nhello\r\n3\r\nyou\r\n0\r\nx: y\r\n\r\n",
    CHUNKED + b"20\r\nevent: a\r\nid: 1\r\ndata: b\r\n\r\n:\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nto the end",
    b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" + OK,
    b"HTTP/1.1 302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\nserver-timing: app;dur=1\r\n\r\nno",
    b"HTTP/1.1 503 No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 24\r\n\r\n"
    + gzip.compress(b"ok", mtime=0)
    + b"..",
    b"HTTP/1.0 200 OK\r\n\r\nold",
    b"HTTP/1.1 204 None\r\n\r\n",
]
ODD = [b"\0", b"\n", b"\r", b"\r\n", b" ", b":", b";", b",", b"=", b"\x7f", b"\xff", b"9", b"-"]


def spoilt(rng: random.Random, wire: bytes) -> bytes:
    """Cut off, or with some bytes odd, doubled, missing, or altogether others."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(wire) + 1)
        end = at + rng.choice((0, 1, rng.randrange(40)))
        match rng.randrange(5):
            case 0:
                wire = wire[:at] + rng.choice(ODD) + wire[end:]
            case 1:
                wire = wire[:at] + wire[end:]
            case 2:
                wire = wire[:end] + wire[at:]
            case 3:
                wire = wire[:at] + rng.randbytes(end - at) + wire[end:]
            case _:
                wire = wire[: rng.choice((at, len(wire)))] + rng.choice(GOOD)
    return wire


def use(response, way: str) -> None:
    """Read it in one of the ways that a locustfile may."""
    match way:
        case "text":
            response.text  # noqa: B018 # decodes on access
        case "json":
            with contextlib.suppress(ValueError):
                response.json()
        case "lines":
            list(response.iter_lines())
        case "events":
            for event in response.iter_events():
                if event.data:
                    response.record_token()
        case "pieces":
            list(response.iter_content(7))


@pytest.mark.parametrize("seed", range(3))
def test_no_answer_does_more_than_fail_its_own_request(scripted, monkeypatch, seed):
    rng = random.Random(seed)
    sent = 0

    def script(peer, _n):
        nonlocal sent
        while peer.request():
            sent += 1
            wire = rng.choice(GOOD)
            broken = rng.random() < 0.7
            if broken:
                wire = spoilt(rng, wire)
            at = rng.randrange(len(wire) + 1)
            peer.send(wire[:at])
            if rng.random() < 0.3:
                gevent.idle()
            peer.send(wire[at:])
            if broken or b"content-length" not in wire:
                if rng.random() < 0.3:
                    peer.reset()
                return

    config = ClientConfig(trust_env=False, timeouts=Timeouts(5, 5, 5), cookies=seed == 1)
    bench = Bench(scripted(script).url, monkeypatch, config=config)
    made = 600
    for _ in range(made):
        way = rng.choice(("text", "json", "lines", "events", "pieces", "nothing"))
        method = rng.choice(("GET", "GET", "GET", "POST", "HEAD"))
        options = {"allow_redirects": True} if rng.random() < 0.1 else {}
        caught = rng.random() < 0.5
        response = bench.client.request(
            method, "/", catch_response=caught, stream=way in ("lines", "events"), **options
        )
        if caught or way in ("lines", "events"):
            with response:
                use(response, way)
        else:
            with contextlib.suppress(ClientError):
                use(response, way)
    bench.client.close()
    bench.feed.flush()
    channel = bench.channel
    assert channel.gauges.in_flight == 0
    assert bench.stats.total.num_requests == channel.requests == made
    outcomes = bench.outcomes
    ended = {name: count for name, count in outcomes.items() if name != "cold_start"}
    assert sum(ended.values()) + channel.giveups == made
    assert {"ok", "server_error", "connection_error"} <= set(ended)
    assert "timeout" not in ended  # every answer came to its end
    answered = made - ended["connection_error"] - channel.giveups
    for histogram in (channel.request_duration, channel.time_to_first_byte):
        assert histogram.total == answered
        assert 0 < histogram.sum < 60
    assert math.isfinite(channel.edge_overhead.sum)
    assert sent >= answered + outcomes["cold_start"]
