import os
from collections import Counter

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import pytest
from hypothesis import given
from hypothesis import strategies as st
from locust.exception import RPCSendError

from loadgen.ledger import Ledger
from loadgen.outbox import MOST_UNACKNOWLEDGED, SEND_AGAIN_AFTER_S
from loadgen.recorder import Recorder
from loadgen.worker_reports import WorkerReports, until_report_s


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Master:
    """Counts reports as the real one does, and Locust's statistics beside them."""

    def __init__(self) -> None:
        self.ledger, self.recorder, self.statistics = Ledger(), Recorder(), 0

    def receive(self, report) -> dict:
        entry = self.ledger.enter(report["process"], report["number"], report["oldest"])
        if entry.new:
            self.recorder.merge("worker", report["recorded"], gauges=entry.latest)
            self.statistics += report["statistics"]["requests"]
        return self.ledger.receipt(report["process"])

    @property
    def ok(self) -> int:
        return self.recorder.channel("us-east", "sticky").outcomes["ok"]


class Worker:
    """A recorder and statistics of the same requests, and the wire to the master."""

    def __init__(self) -> None:
        self.recorder, self.clock = Recorder(), Clock()
        self.wire: list[dict] = []
        self.connected = True
        self.made = self._unreported = 0
        self.reports = WorkerReports(self.recorder, self._statistics, self._send, clock=self.clock)

    def answer(self, times: int) -> None:
        self.made += times
        self._unreported += times
        channel = self.recorder.channel("us-east", "sticky")
        for _ in range(times):
            channel.answered(200, 0.0, 0.0, 0.1, 0.2)
        channel.gauges.users = self.made

    def report(self, **how: bool) -> None:
        self.clock.now += 1.0
        self.reports.report(**how)

    def settle(self, *masters: Master) -> None:
        """With a wire that works again, until everything is acknowledged."""
        self.connected = True
        for _ in range(20):
            self.report()
            while self.wire:
                report = self.wire.pop(0)
                for master in masters:
                    receipt = master.receive(report)
                self.reports.acknowledged(receipt)

    def _statistics(self) -> dict:
        taken, self._unreported = {"requests": self._unreported}, 0
        return taken

    def _send(self, report) -> None:
        if not self.connected:
            raise RPCSendError("no master")
        self.wire.append(report)


def test_each_report_has_what_was_recorded_since_the_one_before():
    worker, master = Worker(), Master()
    totals = []
    for times in (3, 0, 4):
        worker.answer(times)
        worker.report()
        worker.reports.acknowledged(master.receive(worker.wire.pop()))
        totals.append((master.ok, master.statistics))
    assert totals == [(3, 3), (3, 3), (7, 7)]


def test_what_cannot_be_sent_goes_with_the_next_report_once():
    worker, master = Worker(), Master()
    worker.connected = False
    for times in (3, 4):
        worker.answer(times)
        worker.report()
    assert worker.wire == []
    worker.connected = True
    worker.answer(5)
    worker.report()
    assert [report["number"] for report in worker.wire] == [1, 2, 3]
    for report in worker.wire:
        master.receive(report)
    assert (master.ok, master.statistics) == (12, 12)


def test_what_was_lost_on_its_way_is_sent_again_once_a_later_one_is_acknowledged():
    worker, master = Worker(), Master()
    worker.answer(3)
    worker.report()
    worker.wire.clear()
    worker.answer(4)
    worker.report()
    worker.reports.acknowledged(master.receive(worker.wire.pop()))
    assert (master.ok, master.ledger.results["missed"]) == (4, 1)
    worker.report()
    assert [report["number"] for report in worker.wire] == [1, 3]
    for report in worker.wire:
        master.receive(report)
    assert (master.ok, master.statistics) == (7, 7)


def test_receipts_that_are_lost_make_duplicates_that_are_dropped():
    worker, master = Worker(), Master()
    worker.answer(3)
    worker.report()
    master.receive(worker.wire.pop())
    worker.clock.now += SEND_AGAIN_AFTER_S
    worker.report()
    assert [report["number"] for report in worker.wire] == [2, 1]
    for report in worker.wire:
        master.receive(report)
    assert (master.ok, master.ledger.results["duplicate"]) == (3, 1)


def test_the_receipt_of_another_process_is_not_ours():
    worker = Worker()
    worker.report()
    worker.reports.acknowledged({"process": "another", "upto": 1, "beyond": []})
    worker.clock.now += SEND_AGAIN_AFTER_S
    worker.report()
    assert [report["number"] for report in worker.wire] == [1, 2, 1]


def test_while_no_master_answers_the_recorder_keeps_what_no_report_has():
    worker, master = Worker(), Master()
    for _ in range(3 * MOST_UNACKNOWLEDGED):
        worker.answer(1)
        worker.report()
    assert len({report["number"] for report in worker.wire}) == MOST_UNACKNOWLEDGED
    worker.wire.clear()
    worker.settle(master)
    assert (master.ok, master.statistics) == (worker.made, worker.made)


def test_the_last_report_of_a_run_is_sent_also_when_no_other_would_be():
    worker, master = Worker(), Master()
    for _ in range(MOST_UNACKNOWLEDGED + 10):
        worker.answer(1)
        worker.report()
    worker.report(last=True)
    assert worker.wire[-1]["last"]
    for report in worker.wire:
        master.receive(report)
    assert (master.ok, master.statistics) == (worker.made, worker.made)


def test_the_last_report_of_a_run_says_so_also_when_it_is_sent_again():
    worker = Worker()
    worker.report(last=True)
    worker.clock.now += SEND_AGAIN_AFTER_S
    worker.report()
    assert [(report["number"], report["last"]) for report in worker.wire] == [
        (1, True),
        (2, False),
        (1, True),
    ]


def test_a_report_that_comes_late_leaves_the_gauges_as_they_are():
    worker, master = Worker(), Master()
    for times in (1, 2):
        worker.answer(times)
        worker.report()
    late, latest = worker.wire
    master.receive(latest)
    master.receive(late)
    channel = master.recorder.channel("us-east", "sticky")
    assert (master.ok, master.recorder.users(channel)) == (3, 3)


def test_a_worker_that_is_gone_is_counted_as_far_as_it_reported():
    worker, master = Worker(), Master()
    worker.answer(3)
    worker.report()
    worker.answer(100)  # of these it never tells
    last = worker.wire.pop()
    master.recorder.keep_workers(set())
    master.receive(last)
    master.receive(last)
    channel = master.recorder.channel("us-east", "sticky")
    master.recorder.keep_workers(set())
    assert (master.ok, master.statistics) == (3, 3)
    assert master.recorder.users(channel) == 0


def test_a_master_that_begins_anew_counts_what_is_sent_to_it_once():
    worker, first, second = Worker(), Master(), Master()
    worker.answer(3)
    worker.report()
    worker.reports.acknowledged(first.receive(worker.wire.pop()))
    worker.answer(4)
    worker.report()
    worker.wire.clear()  # lost with the first master
    worker.answer(5)
    worker.settle(second)
    assert (first.ok, second.ok) == (3, 9)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("answer"), st.integers(0, 5)),
        st.tuples(st.just("report"), st.just(0)),
        st.tuples(st.just("wait"), st.just(0)),
        st.tuples(st.just("cut"), st.just(0)),
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(
            st.sampled_from(["deliver", "deliver quietly", "deliver and keep", "lose"]),
            st.integers(0, 20),
        ),
    ),
    max_size=80,
)


@given(st.lists(STEPS, min_size=1, max_size=3))
def test_whatever_the_wire_does_every_request_is_counted_once(workers_steps):
    """Loss, duplicates, other orders and cut connections, by several workers to one master."""
    master, made = Master(), 0
    for steps in workers_steps:
        worker = Worker()
        for step, n in steps:
            at = n % len(worker.wire) if worker.wire else None
            match step:
                case "answer":
                    worker.answer(n)
                case "report":
                    worker.report()
                case "wait":
                    worker.clock.now += SEND_AGAIN_AFTER_S
                case "cut" | "join":
                    worker.connected = step == "join"
                case "lose" if at is not None:
                    del worker.wire[at]
                case "deliver" if at is not None:
                    worker.reports.acknowledged(master.receive(worker.wire.pop(at)))
                case "deliver quietly" if at is not None:
                    master.receive(worker.wire.pop(at))
                case "deliver and keep" if at is not None:
                    worker.reports.acknowledged(master.receive(worker.wire[at]))
        assert master.ok <= made + worker.made
        worker.settle(master)
        made += worker.made
        assert (master.ok, master.statistics) == (made, made)
    channel = master.recorder.channel("us-east", "sticky")
    assert Counter(channel.codes) == Counter({200: made} if made else {})
    assert channel.request_duration.total == made


@pytest.mark.parametrize(
    ("now", "wait"), [(10.0, 0.5), (10.25, 0.25), (10.5, 1.0), (10.75, 0.75), (11.0, 0.5)]
)
def test_reports_are_due_in_the_middle_of_each_second(now, wait):
    assert until_report_s(now) == wait
