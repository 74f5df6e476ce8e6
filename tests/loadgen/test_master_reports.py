import gc
import os
from collections.abc import Callable
from types import SimpleNamespace

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from locust.env import Environment
from locust.runners import WorkerNode

from loadgen.generator import Generator
from loadgen.master_reports import MasterReports
from loadgen.options import Options
from loadgen.recorder import Recorder
from loadgen.worker_reports import RECEIPT_MESSAGE, REPORT_MESSAGE, WorkerReports


class Bench:
    """A real master without a network: what it sends is noted, and reports are handed to it."""

    def __init__(self, **how) -> None:
        self.environment = Environment()
        self.runner = self.environment.create_master_runner("127.0.0.1", 0)
        self.runner.server.send_to_client = self.sent_message
        self.runner.clients["w"] = WorkerNode("w")
        self.sent: list[tuple] = []
        self.generator = Generator(
            self.environment, Options(flash_urls=("us-east=http://127.0.0.1:1",))
        )
        self.master = MasterReports(self.generator, self.runner, **how)
        self.master.listen()
        self.recorder, self.taken = Recorder(), 0
        self.wire: list[dict] = []
        self.worker = WorkerReports(self.recorder, self._statistics, self.wire.append)

    def sent_message(self, message) -> None:
        self.sent.append((message.type, message.data, message.node_id))

    def answer(self, times: int) -> None:
        for _ in range(times):
            self.recorder.channel("us-east", "sticky").answered(200, 0.0, 0.0, 0.1, 0.2)
        self.taken = times

    def receive(self, report, worker: str = "w") -> None:
        message = SimpleNamespace(type=REPORT_MESSAGE, data=report, node_id=worker)
        self.runner.handle_message(worker, message)

    def register(self, worker: str) -> None:
        message = SimpleNamespace(type="client_ready", data=-1, node_id=worker)
        self.runner.handle_message(worker, message)

    def _statistics(self) -> dict:
        count, self.taken = self.taken, 0
        stats = Environment().stats
        for _ in range(count):
            stats.log_request("GET", "/", 1.0, 1)
        return {
            "stats": stats.serialize_stats(),
            "stats_total": stats.total.get_stripped_report(),
            "errors": {},
            "user_count": 3,
            "user_classes_count": {"User": 3},
        }

    def counts(self) -> tuple[int, int]:
        channel = self.generator.recorder.channel("us-east", "sticky")
        return channel.outcomes["ok"], self.environment.stats.total.num_requests


@pytest.fixture
def make_bench():
    made = []

    def make(**how) -> Bench:
        made.append(Bench(**how))
        return made[-1]

    yield make
    while made:
        one = made.pop()
        one.runner.greenlet.kill()
        one.runner.server.socket.context.destroy(linger=0)
        # What Locust has in cycles would else be found when others look for garbage of theirs.
        del one
    gc.collect()


@pytest.fixture
def bench(make_bench):
    return make_bench()


def test_a_report_is_in_both_counts_and_acknowledged(bench):
    bench.answer(3)
    bench.worker.report()
    bench.receive(bench.wire[0])
    assert bench.counts() == (3, 3)
    assert bench.runner.user_count == 3
    process = bench.wire[0]["process"]
    assert bench.sent == [
        (RECEIPT_MESSAGE, {"process": process, "upto": 1, "beyond": []}, "w"),
    ]


def test_a_duplicate_is_in_neither_and_acknowledged_again(bench):
    bench.answer(3)
    bench.worker.report()
    for _ in range(3):
        bench.receive(bench.wire[0])
    assert bench.counts() == (3, 3)
    assert len(bench.sent) == 3
    assert bench.master.results == {"counted": 1, "duplicate": 2, "missed": 0}


def test_a_worker_that_locust_does_not_know_any_more_is_counted_in_both(bench, caplog):
    bench.answer(3)
    bench.worker.report()
    bench.worker.report()
    del bench.runner.clients["w"]
    for report in bench.wire:
        bench.receive(report)
    assert bench.counts() == (3, 3)
    # Of the empty report nobody needs to hear.
    assert caplog.text.count("Discarded report from unrecognized worker") <= 1


def test_a_gap_is_told_in_one_line(bench, caplog):
    for _ in range(4):
        bench.worker.report()
    for n in (0, 3, 1, 2):
        bench.receive(bench.wire[n])
    assert caplog.text.count("worker w: 2 of its reports did not arrive") == 1
    assert bench.master.results == {"counted": 4, "duplicate": 0, "missed": 2}


def test_a_master_that_quits_awaits_the_last_report_of_each_busy_worker(bench):
    client = bench.runner.clients["w"]
    client.state = bench.runner.state = "running"
    client.user_classes_count = {"User": 3}
    stopped = []
    bench.environment.events.test_stop.add_listener(
        lambda **_: (bench.master.await_last(), stopped.append(bench.counts()))
    )
    quitting = gevent.spawn(bench.runner.quit)
    gevent.sleep(0)
    assert ("quit", None, "w") in bench.sent
    assert stopped == []
    bench.answer(5)
    bench.worker.report(last=True)
    bench.receive(bench.wire[0])
    quitting.join(timeout=10)
    assert stopped == [(5, 5)]


def test_a_worker_that_is_missed_is_awaited_no_more(bench, caplog):
    client = bench.runner.clients["w"]
    client.state = bench.runner.state = "running"
    bench.environment.events.test_stopping.fire(environment=bench.environment)
    client.state = "missing"
    bench.master.await_last()
    assert "no last report of the run from w" in caplog.text


def test_workers_that_are_lost_are_counted_and_told(bench, caplog):
    gevent.sleep(0)
    client = bench.runner.clients["w"]
    bench.master.look()
    client.state = "missing"
    bench.master.look()
    client.state = "ready"
    bench.master.look()
    assert bench.master.changes == {"joined": 1, "lost": 1, "returned": 1}
    assert "worker w is lost, with what it had not reported" in caplog.text


def test_a_worker_of_another_master_is_counted_and_told_once_to_register_here(bench, caplog):
    bench.answer(3)
    for _ in range(3):
        bench.worker.report()
    for report in bench.wire:
        bench.receive(report, "stray")
    assert bench.counts() == (3, 3)
    assert [one for one in bench.sent if one[0] == "stop"] == [("stop", None, "stray")]
    assert caplog.text.count("worker stray is of a master that was here before") == 1


def test_a_worker_that_has_registered_here_is_never_told_that(bench):
    bench.register("new")
    del bench.runner.clients["new"]  # it stopped, and will say itself when it is ready again
    for worker in ("new", "w"):
        bench.worker.report()
        bench.receive(bench.wire[-1], worker)
    assert [one for one in bench.sent if one[0] == "stop"] == []


class Passing:
    """Time that passes while it is slept; what is to come at a moment comes then."""

    def __init__(self) -> None:
        self.now = 100.0
        self.coming: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self.coming and self.coming[0][0] <= self.now:
            self.coming.pop(0)[1]()


@pytest.fixture
def passing():
    return Passing()


@pytest.fixture
def timed(make_bench, passing):
    """One whose only worker has two reports, of which the first has come now."""
    bench = make_bench(clock=passing.clock, sleep=passing.sleep)
    for _ in range(2):
        bench.worker.report()
    bench.receive(bench.wire[0])
    return bench


@pytest.mark.parametrize(
    ("asked_after_s", "comes_after_s", "waits_s"),
    [(0.5, 1.0, 0.0), (1.0, 1.3, 0.0), (1.5, 1.6, 0.1), (1.5, 1.85, 0.35), (1.5, 9.0, 0.4)],
)
def test_a_scrape_waits_a_moment_for_a_report_that_is_overdue(
    timed, passing, asked_after_s, comes_after_s, waits_s
):
    passing.coming = [(passing.now + comes_after_s, lambda: timed.receive(timed.wire[1]))]
    passing.now += asked_after_s
    asked = passing.now
    timed.master.await_overdue()
    assert passing.now - asked == pytest.approx(waits_s, abs=0.051)


def test_no_scrape_waits_for_a_worker_that_is_missed(timed, passing):
    passing.now += 10.0
    timed.runner.clients["w"].state = "missing"
    timed.master.await_overdue()
    assert passing.now == 110.0


def test_no_scrape_waits_for_a_worker_that_has_reported_nothing_yet(make_bench, passing):
    make_bench(clock=passing.clock, sleep=passing.sleep).master.await_overdue()
    assert passing.now == 100.0
