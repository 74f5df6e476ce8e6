"""CPU of the generator's processes: each measures its own every second, and workers tell it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from locust.exception import RPCError, RPCSendError
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadgen.cpu_meter import CpuMeter, CpuSample

__all__ = ["CpuReports", "present_workers"]

_MESSAGE: Final = "flashgauge_cpu"
_EVERY_S: Final = 1.0


class CpuReports:
    """On one runner. ``measured`` is told what each process used during a run, but on a worker."""

    def __init__(self, runner: Runner, measured: Callable[[str, CpuSample], None]) -> None:
        self._runner = runner
        self._measured = measured
        self._meter = CpuMeter()
        self._of_workers: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<CpuReports, {self._meter!r}>"

    def listen(self) -> None:
        """To the workers of a master."""
        if isinstance(self._runner, MasterRunner):
            self._runner.register_message(_MESSAGE, self._on_worker)

    @property
    def due(self) -> bool:
        return self._meter.age_s >= _EVERY_S

    def measure(self, *, in_run: bool) -> None:
        """Measure this process since the last time, which was all in a run or all out of it."""
        sample = self._meter.measure()
        if isinstance(self._runner, WorkerRunner):
            try:
                self._runner.send_message(_MESSAGE, {**sample._asdict(), "in_run": in_run})
            except (RPCError, RPCSendError):
                pass  # Locust itself says that the master is gone
        elif in_run:
            self._measured(self._own_name, sample)

    def ratios(self) -> Mapping[str, float]:
        """CPU by process in the last second, 1 is one core; of workers that are present."""
        known = {self._own_name: self._meter.last.ratio}
        if isinstance(self._runner, MasterRunner):
            for client_id in present_workers(self._runner):
                name = _worker_name(self._runner, client_id)
                if name in self._of_workers:
                    known[name] = self._of_workers[name]
        return known

    @property
    def _own_name(self) -> str:
        return "master" if isinstance(self._runner, MasterRunner) else "local"

    def _on_worker(self, msg: Any, **_: Any) -> None:
        name = _worker_name(self._runner, msg.node_id)
        sample = CpuSample(float(msg.data["ratio"]), float(msg.data["seconds"]))
        self._of_workers[name] = sample.ratio
        if msg.data["in_run"]:
            self._measured(name, sample)


def _worker_name(master: Any, client_id: str) -> str:
    return f"worker-{master.get_worker_index(client_id)}"


def present_workers(runner: MasterRunner) -> list[str]:
    """The ids of a master's workers that are connected, and not on their way out."""
    clients = runner.clients
    return [client.id for client in (*clients.ready, *clients.spawning, *clients.running)]
