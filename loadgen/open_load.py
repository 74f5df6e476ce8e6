"""Starts, splits and ends the open load model with Locust's runs, on one process or on many."""

import logging
import random
import time
from dataclasses import asdict
from typing import Any, Final, NoReturn

import gevent
from gevent import Greenlet
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadgen.arrival_schedule import Share
from loadgen.dispatcher import Arrived, sum_arrived
from loadgen.generator import Generator
from loadgen.lease import Lease, Lessor
from loadgen.open_model import OpenModel

__all__ = ["OpenLoad"]

_log = logging.getLogger("loadgen")

_LEASE_MESSAGE: Final = "flashgauge_lease"
_ARRIVED_MESSAGE: Final = "flashgauge_arrived"
_LEASE_EVERY_S: Final = 1.0


class OpenLoad:
    """The open model on one runner.

    The schedule begins when all users are there, so that none of its arrivals waits for a user to
    be spawned. From then on a master tells its workers every second which share of the arrivals is
    theirs; at the end they tell it what became of these.
    """

    def __init__(self, generator: Generator, runner: Runner) -> None:
        self._generator = generator
        self._runner = runner
        self._began: float | None = None
        self._leasing: Greenlet | None = None
        self._lessees: set[str] = set()
        self._awaited: set[str] = set()
        self._arrived: list[Arrived] = []
        self._told = True

    @property
    def arrived(self) -> Arrived | None:
        """What became of the run's arrivals, as far as is known; ``None`` in the closed model."""
        model = self._generator.open_model
        if model is not None:
            return model.dispatcher.arrived()
        return sum_arrived(self._arrived) if self._arrived else None

    @property
    def rate(self) -> float | None:
        """Arrivals per second that the schedule means now, 0 while it has not begun or is over;
        ``None`` in the closed model."""
        schedule = self._generator.schedule
        if schedule is None:
            return None
        return 0.0 if self._began is None else schedule.rate(time.monotonic() - self._began)

    def listen(self) -> None:
        """To Locust's events; the generator has to know its options by then."""
        events = self._generator.environment.events
        events.test_start.add_listener(self.on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.test_stop.add_listener(self._on_test_stop)
        if isinstance(self._runner, WorkerRunner):
            self._runner.register_message(_LEASE_MESSAGE, self._on_lease)
            return
        events.spawning_complete.add_listener(self._on_spawning_complete)
        if isinstance(self._runner, MasterRunner):
            self._runner.register_message(_ARRIVED_MESSAGE, self._on_arrived)
            events.quit.add_listener(self._tell_arrived)

    def on_test_start(self, **_: Any) -> None:
        """A run begins; for those that could not listen yet."""
        self._tell_arrived()
        self._arrived, self._told = [], True
        self._end_leases()
        generator = self._generator
        generator.open_model = None
        schedule = generator.schedule
        if schedule is not None and not isinstance(self._runner, MasterRunner):
            generator.open_model = OpenModel(
                schedule,
                generator.options.arrival_process,
                loop=gevent.get_hub().loop,
                uniform=random.Random().random,
            )

    def _on_spawning_complete(self, **_: Any) -> None:
        if self._began is not None:
            return
        model = self._generator.open_model
        if model is not None:
            self._began = time.monotonic()
            model.begin()
        elif isinstance(self._runner, MasterRunner) and self._generator.options.arrival_rate:
            self._began = time.monotonic()
            self._leasing = gevent.spawn(self._lease_for_ever, self._runner, self._began)

    def _on_test_stopping(self, **_: Any) -> None:
        if isinstance(self._runner, MasterRunner):
            clients = self._runner.clients
            there = {client.id for client in (*clients.spawning, *clients.running)}
            self._awaited = self._lessees & there
            _log_silent(self._lessees - there)
        self._end_leases()
        model = self._generator.open_model
        if model is not None:
            model.end()

    def _on_test_stop(self, **_: Any) -> None:
        model = self._generator.open_model
        if model is None:
            return
        arrived = model.dispatcher.arrived()
        _log_arrived(arrived)
        if isinstance(self._runner, WorkerRunner):
            self._runner.send_message(_ARRIVED_MESSAGE, asdict(arrived))

    # Of a master.

    def _end_leases(self) -> None:
        if self._leasing is not None:
            self._leasing.kill(block=False)
        self._began, self._leasing, self._lessees = None, None, set()

    def _lease_for_ever(self, runner: MasterRunner, began: float) -> NoReturn:
        lessor = Lessor()
        while True:
            # Locust misses a worker only some seconds after its heart has stopped to beat.
            busy = [
                one.id for one in runner.clients.running if one.user_count and one.heartbeat > 0
            ]
            busy.sort(key=runner.get_worker_index)
            elapsed_s = time.monotonic() - began
            for name, lease in lessor.lease(busy, elapsed_s).items():
                self._lessees.add(name)
                data = {**asdict(lease), "elapsed_s": elapsed_s}
                runner.send_message(_LEASE_MESSAGE, data, name)
            gevent.sleep(_LEASE_EVERY_S)

    def _on_arrived(self, msg: Any, **_: Any) -> None:
        self._arrived.append(Arrived(**msg.data))
        self._told = False
        self._awaited.discard(msg.node_id)
        if not self._awaited:
            self._tell_arrived()

    def _tell_arrived(self, **_: Any) -> None:
        """Log what became of the workers' arrivals, unless that has been done."""
        _log_silent(self._awaited)
        if not self._told:
            _log_arrived(sum_arrived(self._arrived))
        self._awaited, self._told = set(), True

    # Of a worker.

    def _on_lease(self, msg: Any, **_: Any) -> None:
        model = self._generator.open_model
        if model is not None:
            data = msg.data
            lease = Lease(Share(**data["share"]), data["from_s"], data["until_s"])
            model.take_lease(lease, elapsed_s=data["elapsed_s"])


def _log_silent(workers: set[str]) -> None:
    if workers:
        names = ", ".join(sorted(workers))
        _log.warning("open model: these workers did not tell of their arrivals: %s", names)


def _log_arrived(arrived: Arrived) -> None:
    _log.log(
        logging.WARNING if arrived.dropped else logging.INFO,
        "open model: %d arrivals came due, %d were begun, and %d dropped because no user was free "
        "before the end; %d waited for a user",
        arrived.intended,
        arrived.started,
        arrived.dropped,
        arrived.waited,
    )
