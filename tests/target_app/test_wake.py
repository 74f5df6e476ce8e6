"""Waking a server: 503s are tried again with growing waits, and told per region."""

import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from target_app.wake import Reply, Woken, report, send, wake_all, wake_and_report, wake_one

URL = "https://acme--app-target.eu-west.modal.direct"
WALL = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


class Scripted:
    """A server that answers one reply after the other, the last one for ever; and its clock."""

    def __init__(self, *replies: Reply, each_takes_s: float = 0.0) -> None:
        self.replies = list(replies)
        self.each_takes_s = each_takes_s
        self.now = 50.0
        self.waits: list[float] = []
        self.timeouts: list[float] = []

    def send(self, url: str, timeout_s: float) -> Reply:
        assert url == URL
        self.timeouts.append(timeout_s)
        self.now += self.each_takes_s
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def woken(self, within_s: float = 120.0) -> Woken:
        return wake_one(
            URL,
            send=self.send,
            clock=lambda: self.now,
            wall=lambda: WALL,
            sleep=self.sleep,
            rng=random.Random(7),
            within_s=within_s,
        )


def test_a_warm_server_answers_at_once() -> None:
    woken = Scripted(Reply(200), each_takes_s=0.25).woken()
    assert woken == Woken(region="eu-west", refused=0, answered_after_s=0.25, code=200)


def test_every_503_is_counted_and_the_waits_grow() -> None:
    server = Scripted(*[Reply(503)] * 4, Reply(200))
    woken = server.woken()
    assert woken == Woken(
        region="eu-west", refused=4, answered_after_s=pytest.approx(sum(server.waits)), code=200
    )
    for wait, longest in zip(server.waits, (0.1, 0.2, 0.4, 0.8), strict=True):
        assert longest / 2 <= wait <= longest


def test_no_response_is_tried_again_with_growing_waits_and_is_no_503() -> None:
    server = Scripted(*[Reply(None)] * 3, Reply(200))
    assert server.woken().refused == 0
    assert server.waits[0] <= 0.1 < server.waits[2]


def test_retry_after_goes_before_the_schedule() -> None:
    server = Scripted(
        Reply(503, "7"), Reply(503, "Sun, 06 Nov 1994 08:49:40 GMT"), Reply(503, "soon"), Reply(200)
    )
    server.woken()
    assert server.waits[:2] == [7.0, 3.0]
    assert server.waits[2] <= 0.4


def test_any_other_code_is_an_answer() -> None:
    assert Scripted(Reply(500)).woken().code == 500


@pytest.mark.parametrize("reply", [Reply(503), Reply(None), Reply(503, "3600")])
def test_a_server_that_never_answers_is_given_up_within_the_deadline(reply: Reply) -> None:
    server = Scripted(reply, each_takes_s=0.01)
    woken = server.woken(within_s=10.0)
    assert woken.answered_after_s is None
    assert woken.code == reply.code
    assert server.now - 50.0 <= 10.01


def test_an_attempt_may_take_all_the_time_that_is_left() -> None:
    server = Scripted(Reply(503, "4"), Reply(200), each_takes_s=1.0)
    server.woken(within_s=10.0)
    assert server.timeouts == [10.0, 5.0]


def test_the_report_has_a_line_a_region() -> None:
    answers = [
        Woken(region="us-east", refused=12, answered_after_s=3.456, code=200),
        Woken(region="ap-south", refused=120, answered_after_s=None, code=503),
    ]
    assert report(answers).splitlines() == [
        "region         503s  first answer",
        "us-east          12  3.46 s (200)",
        "ap-south        120         never",
    ]
    assert report([]) == "The server has no flash URL."


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code = int(self.path[1:])
        self.send_response(code)
        self.send_header("Content-Length", "0")
        if code == 503:
            self.send_header("Retry-After", "4")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_any_response_is_a_reply_and_none_is_one_without_a_code() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        replies = [send(f"{address}/{code}", 5.0) for code in (200, 404, 503)]
        woken = wake_all([f"{address}/200", f"{address}/204"])
        status = wake_and_report([f"{address}/200"])
        server.shutdown()
        thread.join()
    assert replies == [Reply(200), Reply(404), Reply(503, "4")]
    assert [answer.code for answer in woken] == [200, 204]
    assert status == 0
    assert send(f"{address}/200", 5.0) == Reply(None)


def test_nothing_to_wake_is_nothing_woken() -> None:
    assert wake_all([]) == []
    assert wake_and_report([]) == 1
