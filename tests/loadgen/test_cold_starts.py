import json

from hypothesis import given
from hypothesis import strategies as st

from loadgen.cold_starts import ColdStarts

EAST = "us-east"


class Process:
    """The windows of one process whose clock is ``ahead`` of the true time."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.now = 0.0
        self.ahead = ahead
        self.ended: list[float] = []
        self.cold_starts = ColdStarts(lambda: self.now + self.ahead)
        self.window = self.cold_starts.window(EAST, self.ended.append)

    def refused(self, at: float) -> None:
        self.window.refused(at + self.ahead, at + self.ahead)

    def answered(self, at: float) -> None:
        self.window.answered(at + self.ahead, at + self.ahead)
        self.window.settle()

    def report(self, at: float) -> dict:
        self.now = at
        return json.loads(json.dumps(self.cold_starts.take()))

    def settle(self, at: float) -> None:
        self.now = at
        self.cold_starts.settle()

    def hear(self, worker: str, delta: dict, at: float) -> None:
        self.now = at
        self.cold_starts.merge(worker, delta)


def test_of_one_worker_a_master_sees_the_same_windows():
    master, worker = Process(), Process(ahead=1e6)
    worker.refused(1.0)
    master.hear("w", worker.report(1.5), 1.625)
    master.settle(4.0)
    assert master.window.opened is not None
    worker.answered(4.25)
    master.hear("w", worker.report(4.5), 4.75)
    master.settle(7.0)
    assert (master.window.opened, master.ended) == (None, [3.25])
    assert worker.ended == [3.25]


def test_of_two_workers_it_is_from_the_first_503_of_either_to_the_first_answer():
    master, one, other = Process(), Process(ahead=50.0), Process(ahead=-3.0)
    one.refused(1.25)
    other.refused(1.0)
    one.answered(3.5)
    other.answered(4.5)
    # The one whose window began later is heard first.
    master.hear("one", one.report(5.5), 5.5)
    master.hear("other", other.report(5.5), 5.5)
    master.settle(10.0)
    assert (master.window.opened, master.ended) == (None, [2.5])


def test_a_503_after_the_first_answer_opens_the_next_one():
    master, one, other = Process(), Process(), Process()
    one.refused(1.0)
    one.answered(2.0)
    other.refused(3.0)
    other.answered(4.5)
    for name, worker in (("other", other), ("one", one)):
        master.hear(name, worker.report(5.0), 5.0)
    master.settle(10.0)
    assert master.ended == [1.0, 1.5]


def test_nothing_is_put_in_order_before_every_worker_has_told():
    master, one, other = Process(), Process(), Process()
    one.refused(1.0)
    one.answered(1.25)
    master.hear("one", one.report(1.5), 1.5)
    master.settle(2.25)
    assert master.ended == []
    other.refused(0.75)
    other.answered(1.5)
    master.hear("other", other.report(2.5), 2.5)
    master.settle(4.0)
    assert master.ended == [0.5]


def test_reports_that_come_late_do_not_make_a_window_longer():
    master, worker = Process(), Process(ahead=-7.0)
    master.hear("w", worker.report(0.5), 0.5)
    worker.refused(1.0)
    opened = worker.report(1.5)
    worker.answered(2.0)
    closed = worker.report(2.5)
    master.hear("w", opened, 30.0)
    master.hear("w", closed, 30.0)
    master.settle(40.0)
    assert master.ended == [1.0]


def test_a_report_that_is_quicker_than_the_first_moves_no_end_of_an_open_window():
    master, worker = Process(), Process()
    worker.refused(1.0)
    master.hear("w", worker.report(1.5), 2.5)
    worker.answered(1.75)
    master.hear("w", worker.report(2.75), 2.75)
    master.settle(10.0)
    assert master.ended == [0.75]


def test_a_worker_that_goes_leaves_no_window_open_by_itself():
    master, worker, other = Process(), Process(), Process()
    worker.refused(1.0)
    master.hear("w", worker.report(1.5), 1.5)
    master.hear("other", other.report(1.5), 1.5)
    master.settle(4.0)
    assert master.window.opened is not None
    master.cold_starts.keep_workers({"w", "other"})
    master.settle(5.0)
    assert master.window.opened is not None
    master.cold_starts.keep_workers({"other"})
    master.settle(6.0)
    assert (master.window.opened, master.ended) == (None, [])


def test_the_window_of_a_worker_that_goes_is_ended_by_another_that_met_a_503_too():
    master, worker, other = Process(), Process(), Process()
    worker.refused(1.0)
    other.refused(1.25)
    master.hear("w", worker.report(1.5), 1.5)
    master.hear("other", other.report(1.5), 1.5)
    master.cold_starts.keep_workers({"other"})
    master.settle(4.0)
    other.answered(4.0)
    master.hear("other", other.report(4.5), 4.5)
    master.settle(7.0)
    assert master.ended == [3.0]


def test_the_end_of_a_run_ends_what_is_open_without_a_duration():
    worker, master = Process(), Process()
    worker.refused(1.0)
    worker.cold_starts.run_ended()
    assert worker.window.opened is None
    master.hear("w", worker.report(1.5), 1.5)
    master.cold_starts.run_ended()
    assert (master.window.opened, master.ended) == (None, [])


def test_a_process_without_workers_keeps_its_own_window_open():
    process = Process()
    process.refused(1.0)
    process.settle(100.0)
    assert process.window.opened == 1.0


EVENTS = st.lists(
    st.tuples(st.integers(0, 2), st.booleans(), st.integers(1, 400)),
    max_size=30,
    unique_by=lambda event: event[2],
)


@given(EVENTS, st.lists(st.integers(-1000, 1000), min_size=3, max_size=3))
def test_workers_with_any_clocks_add_up_to_what_one_process_sees_of_their_windows(events, ahead):
    workers = [Process(ahead=float(seconds)) for seconds in ahead]
    master, whole = Process(), Process()
    for index, refused, at in sorted(events, key=lambda event: event[2]):
        window = workers[index].window
        before = window.opened
        (workers[index].refused if refused else workers[index].answered)(float(at))
        if window.opened != before:
            (whole.refused if refused else whole.answered)(float(at))
    for index, worker in enumerate(workers):
        master.hear(str(index), worker.report(401.0), 401.0)
    master.settle(500.0)
    assert master.ended == whole.ended
