import os
from types import SimpleNamespace

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

from locust.exception import RPCSendError
from locust.runners import MasterRunner, WorkerRunner

from loadgen.cpu_meter import CpuSample
from loadgen.cpu_reports import CpuReports, present_workers


class Worker(WorkerRunner):
    """A worker whose messages are kept, or fail."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict]] = []
        self.connected = True

    def __del__(self) -> None:
        pass

    def send_message(self, msg_type, data=None, client_id=None) -> None:
        if not self.connected:
            raise RPCSendError("no master")
        self.sent.append((msg_type, data))


class Master(MasterRunner):
    """A master whose workers are as told."""

    def __init__(self, **states: str) -> None:
        self.custom_messages = {}
        nodes = [SimpleNamespace(id=name, state=state) for name, state in states.items()]
        self.clients = SimpleNamespace(
            **{
                state: [node for node in nodes if node.state == state]
                for state in ("ready", "spawning", "running", "missing")
            }
        )

    def __del__(self) -> None:
        pass

    def get_worker_index(self, client_id) -> int:
        return {"b": 0, "a": 1}[client_id]


def hear(master: Master, worker: Worker, name: str) -> None:
    """Have the master hear what a worker sent."""
    for kind, data in worker.sent:
        listener, _ = master.custom_messages[kind]
        listener(environment=None, msg=SimpleNamespace(node_id=name, data=data))
    worker.sent.clear()


def test_a_worker_tells_its_master_and_the_master_keeps_what_was_in_a_run():
    told: list[tuple[str, CpuSample]] = []
    master, worker = Master(a="running", b="missing"), Worker()
    of_master = CpuReports(master, lambda *sample: told.append(sample))
    of_master.listen()
    reports = CpuReports(worker, lambda *sample: told.append(sample))
    reports.measure(in_run=True)
    sample = reports._meter.last
    hear(master, worker, "a")
    assert told == [("worker-1", sample)]
    assert of_master.ratios()["worker-1"] == sample.ratio
    reports.measure(in_run=False)
    hear(master, worker, "a")
    assert len(told) == 1
    of_master.measure(in_run=True)
    assert told[1][0] == "master"


def test_a_worker_that_is_gone_or_has_not_told_has_no_cpu():
    master, worker = Master(a="running", b="missing"), Worker()
    of_master = CpuReports(master, lambda *_: None)
    of_master.listen()
    assert set(of_master.ratios()) == {"master"}
    CpuReports(worker, lambda *_: None).measure(in_run=True)
    hear(master, worker, "b")
    assert set(of_master.ratios()) == {"master"}
    assert present_workers(master) == ["a"]


def test_without_a_master_a_worker_goes_on():
    worker = Worker()
    worker.connected = False
    CpuReports(worker, lambda *_: None).measure(in_run=True)
    assert worker.sent == []
