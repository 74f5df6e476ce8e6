import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import pytest
from locust.exception import RPCSendError

from loadgen.recorder import Recorder
from loadgen.worker_reports import WorkerReports, until_report_s


def answer(recorder: Recorder, times: int) -> None:
    for _ in range(times):
        recorder.channel("us-east", "sticky").answered(200, 0.0, 0.0, 0.1, 0.2)


def ok(recorder: Recorder) -> int:
    return recorder.channel("us-east", "sticky").outcomes["ok"]


def test_each_report_has_what_was_recorded_since_the_one_before():
    recorder, master, sent = Recorder(), Recorder(), []
    reports = WorkerReports(recorder, sent.append)
    for times in (3, 0, 4):
        answer(recorder, times)
        reports.report()
    totals = []
    for delta in sent:
        master.merge("worker", delta)
        totals.append(ok(master))
    assert totals == [3, 3, 7]


def test_what_cannot_be_sent_goes_with_the_next_report_once():
    recorder, master = Recorder(), Recorder()
    connected = False

    def send(delta) -> None:
        if not connected:
            raise RPCSendError("no master")
        master.merge("worker", delta)

    reports = WorkerReports(recorder, send)
    for times in (3, 4):
        answer(recorder, times)
        reports.report()
    assert ok(master) == 0
    connected = True
    answer(recorder, 5)
    reports.report()
    assert ok(master) == 12
    reports.report()
    assert ok(master) == 12


@pytest.mark.parametrize(
    ("now", "wait"), [(10.0, 0.5), (10.25, 0.25), (10.5, 1.0), (10.75, 0.75), (11.0, 0.5)]
)
def test_reports_are_due_in_the_middle_of_each_second(now, wait):
    assert until_report_s(now) == wait
