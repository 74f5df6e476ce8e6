"""Starts, splits and ends the open load model with Locust's runs, on one process or on many."""

import logging
import random
import time
from typing import Any, Final

import gevent
from gevent import Greenlet
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadgen.arrival_schedule import Share
from loadgen.generator import Generator
from loadgen.open_model import OpenModel

__all__ = ["OpenLoad"]

_log = logging.getLogger("loadgen")

_MESSAGE: Final = "flashgauge_share"
_LOOK_EVERY_S: Final = 1.0


class OpenLoad:
    """The open model on one runner.

    The schedule begins when all users are there, so that none of its arrivals waits for a user to
    be spawned. A master tells its workers then, and whenever others have users, which share of the
    arrivals is theirs.
    """

    def __init__(self, generator: Generator, runner: Runner) -> None:
        self._generator = generator
        self._runner = runner
        self._began: float | None = None
        self._shares: dict[str, Share] = {}
        self._watch: Greenlet | None = None

    def listen(self) -> None:
        """To Locust's events; the generator has to know its options by then."""
        events = self._generator.environment.events
        events.test_start.add_listener(self._on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.test_stop.add_listener(self._on_test_stop)
        if isinstance(self._runner, WorkerRunner):
            self._runner.register_message(_MESSAGE, self._on_share)
        else:
            events.spawning_complete.add_listener(self._on_spawning_complete)

    def _on_test_start(self, **_: Any) -> None:
        generator, options = self._generator, self._generator.options
        generator.open_model = None
        if options.arrival_rate is not None and not isinstance(self._runner, MasterRunner):
            generator.open_model = OpenModel(
                options.arrival_rate,
                options.arrival_process,
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
        if self._watch is not None:
            self._watch.kill(block=False)
            self._watch = None
        self._began = None
        self._shares = {}
        model = self._generator.open_model
        if model is not None:
            model.end()

    def _on_test_stop(self, **_: Any) -> None:
        model = self._generator.open_model
        if model is None:
            return
        arrived = model.dispatcher.arrived()
        _log.log(
            logging.WARNING if arrived.dropped else logging.INFO,
            "open model: %d arrivals came due, %d were begun, and %d dropped because no user was "
            "free before the end; %d waited for a user",
            arrived.intended,
            arrived.started,
            arrived.dropped,
            arrived.waited,
        )

    # Of a master.

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
            runner.send_message(_MESSAGE, data, client.id)

    # Of a worker.

    def _on_share(self, msg: Any, **_: Any) -> None:
        model = self._generator.open_model
        if model is not None:
            count = int(msg.data["count"])
            share = Share(int(msg.data["index"]), count) if count else None
            model.take_share(share, elapsed_s=float(msg.data["elapsed_s"]))
