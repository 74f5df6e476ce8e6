"""Starts, splits and ends the open load model with Locust's runs, on one process or on many."""

import logging
import random
import time
from dataclasses import asdict
from typing import Any, Final

import gevent
from gevent import Greenlet
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadgen.arrival_schedule import Share
from loadgen.dispatcher import Arrived, sum_arrived
from loadgen.generator import Generator
from loadgen.open_model import OpenModel

__all__ = ["OpenLoad"]

_log = logging.getLogger("loadgen")

_SHARE_MESSAGE: Final = "flashgauge_share"
_ARRIVED_MESSAGE: Final = "flashgauge_arrived"
_LOOK_EVERY_S: Final = 1.0


class OpenLoad:
    """The open model on one runner.

    The schedule begins when all users are there, so that none of its arrivals waits for a user to
    be spawned. A master tells its workers then, and whenever others have users, which share of the
    arrivals is theirs; at the end they tell it what became of these.
    """

    def __init__(self, generator: Generator, runner: Runner) -> None:
        self._generator = generator
        self._runner = runner
        self._began: float | None = None
        self._shares: dict[str, Share] = {}
        self._watch: Greenlet | None = None
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

    def listen(self) -> None:
        """To Locust's events; the generator has to know its options by then."""
        events = self._generator.environment.events
        events.test_start.add_listener(self.on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.test_stop.add_listener(self._on_test_stop)
        if isinstance(self._runner, WorkerRunner):
            self._runner.register_message(_SHARE_MESSAGE, self._on_share)
            return
        events.spawning_complete.add_listener(self._on_spawning_complete)
        if isinstance(self._runner, MasterRunner):
            self._runner.register_message(_ARRIVED_MESSAGE, self._on_arrived)
            events.quit.add_listener(self._tell_arrived)

    def on_test_start(self, **_: Any) -> None:
        """A run begins; for those that could not listen yet."""
        self._tell_arrived()
        self._arrived, self._told = [], True
        self._forget_shares()
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
        model = self._generator.open_model
        if model is not None:
            model.begin()
        elif isinstance(self._runner, MasterRunner) and self._generator.options.arrival_rate:
            if self._began is None:
                self._began = time.monotonic()
                self._watch = gevent.spawn(self._keep_sharing, self._runner)
            self._share_out(self._runner, self._began)

    def _on_test_stopping(self, **_: Any) -> None:
        self._awaited = set(self._shares)
        self._forget_shares()
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

    def _forget_shares(self) -> None:
        if self._watch is not None:
            self._watch.kill(block=False)
        self._began, self._shares, self._watch = None, {}, None

    def _keep_sharing(self, runner: MasterRunner) -> None:
        while True:
            gevent.sleep(_LOOK_EVERY_S)
            if self._began is not None:
                self._share_out(runner, self._began)

    def _share_out(self, runner: MasterRunner, began: float) -> None:
        """Tell every worker its share, if that of any is another than before."""
        busy = [client.id for client in runner.clients.running if client.user_count]
        busy.sort(key=runner.get_worker_index)
        shares = {name: Share(index, len(busy)) for index, name in enumerate(busy)}
        if shares == self._shares:
            return
        self._shares = shares
        for client in runner.clients.all:
            share = shares.get(client.id)
            index, count = (0, 0) if share is None else (share.index, share.count)
            elapsed_s = time.monotonic() - began
            data = {"index": index, "count": count, "elapsed_s": elapsed_s}
            runner.send_message(_SHARE_MESSAGE, data, client.id)

    def _on_arrived(self, msg: Any, **_: Any) -> None:
        self._arrived.append(Arrived(**msg.data))
        self._told = False
        self._awaited.discard(msg.node_id)
        if not self._awaited:
            self._tell_arrived()

    def _tell_arrived(self, **_: Any) -> None:
        """Log what became of the workers' arrivals, unless that has been done."""
        if self._awaited:
            names = ", ".join(sorted(self._awaited))
            _log.warning("open model: these workers did not tell of their arrivals: %s", names)
        if not self._told:
            _log_arrived(sum_arrived(self._arrived))
        self._awaited, self._told = set(), True

    # Of a worker.

    def _on_share(self, msg: Any, **_: Any) -> None:
        model = self._generator.open_model
        if model is not None:
            count = int(msg.data["count"])
            share = Share(int(msg.data["index"]), count) if count else None
            model.take_share(share, elapsed_s=float(msg.data["elapsed_s"]))


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
