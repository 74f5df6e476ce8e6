"""What a master makes of its workers' reports: it counts each once, and says so to its worker."""

import logging
import time
from collections.abc import Callable
from typing import Any, Final

import gevent
from locust.runners import MasterRunner

from loadgen.cpu_reports import present_workers
from loadgen.generator import Generator
from loadgen.ledger import Ledger
from loadgen.worker_reports import RECEIPT_MESSAGE, REPORT_MESSAGE, Report
from loadgen.worker_roll import WorkerRoll

__all__ = ["MasterReports"]

_log = logging.getLogger("loadgen")

_LOOK_EVERY_S: Final = 1.0
_POLL_S: Final = 0.05
_NOTICED_WITHIN_S: Final = 10.0  # Locust misses a worker that is dead after five seconds or so
_REGISTERED_WITHIN_S: Final = 10.0
_OVERDUE_AFTER_S: Final = 1.1  # reports come once a second
_AWAITED_S: Final = 0.4


class MasterReports:
    """Of one master runner; ``results`` and ``changes`` count reports and workers.

    ``sleep`` is what it does while it waits for reports, for seconds of ``clock``.
    """

    def __init__(
        self,
        generator: Generator,
        runner: MasterRunner,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = gevent.sleep,
    ) -> None:
        self._generator = generator
        self._runner = runner
        self._clock, self._sleep = clock, sleep
        self._ledger = Ledger()
        self._roll = WorkerRoll()
        self._processes: dict[str, str] = {}  # of workers, by Locust's id
        self._unfinished: set[str] = set()
        self._registered: set[str] = set()
        self._claimed: dict[str, float] = {}  # workers of other masters, and when to ask again
        self._heard: dict[str, float] = {}  # when the newest report of each worker came
        self._quitting = False
        self.results = self._ledger.results
        self.changes = self._roll.changes

    def __repr__(self) -> str:
        return f"<MasterReports, {self._ledger!r}, {self._roll!r}>"

    def listen(self) -> None:
        """To workers, and to the end of runs."""
        self._runner.register_message(REPORT_MESSAGE, self._on_report)
        events = self._generator.environment.events
        events.test_stopping.add_listener(self._on_test_stopping)
        events.worker_connect.add_listener(self._on_worker_connect)
        self._registered.update(self._runner.clients)
        locusts_quit = self._runner.quit

        def quit_() -> None:
            self._quitting = True
            locusts_quit()

        self._runner.quit = quit_  # type: ignore[method-assign] # there is no event before its end
        self._runner.greenlet.spawn(self._keep_looking)

    def await_last(self) -> None:
        """Until the workers of a run have reported the last of it, or are missed.

        A master that quits, as at the end of a headless run, would else be gone before the requests
        that its workers finish in their ``--stop-timeout`` are counted.
        """
        if self._quitting:
            # They stop when they are told to quit, and the master tells them only after this.
            for worker in self._unfinished:
                self._runner.send_message("quit", client_id=worker)
        give_up = self._clock() + self._runner.environment.stop_timeout + _NOTICED_WITHIN_S
        while self._unfinished & set(present_workers(self._runner)) and self._clock() < give_up:
            self._sleep(_POLL_S)
        if self._unfinished:
            names = ", ".join(sorted(self._unfinished))
            _log.warning("no last report of the run from %s: its last requests are missing", names)
        self._unfinished = set()

    def await_overdue(self) -> None:
        """Until no worker that is there is late with its report, or for a moment at most.

        A scrape that is answered before it comes shows a second in which nothing was done.
        """
        give_up = self._clock() + _AWAITED_S
        while (now := self._clock()) < give_up and any(
            now - self._heard.get(worker, now) > _OVERDUE_AFTER_S
            for worker in present_workers(self._runner)
        ):
            self._sleep(_POLL_S)

    # What Locust and the workers tell.

    def _on_test_stopping(self, **_: Any) -> None:
        clients = self._runner.clients
        self._unfinished = {client.id for client in (*clients.spawning, *clients.running)}

    def _on_worker_connect(self, client_id: str, **_: Any) -> None:
        self._registered.add(client_id)

    def _on_report(self, msg: Any, **_: Any) -> None:
        if msg.node_id not in self._registered:
            self._claim(msg.node_id)
        self._heard[msg.node_id] = self._clock()
        report: Report = msg.data
        process = report["process"]
        entry = self._ledger.enter(process, report["number"], report["oldest"])
        self._runner.send_message(
            RECEIPT_MESSAGE, dict(self._ledger.receipt(process)), client_id=msg.node_id
        )
        if not entry.new:
            return
        if entry.missed:
            _log.warning(
                "worker %s: %d of its reports did not arrive, and are asked for again",
                msg.node_id,
                len(entry.missed),
            )
        self._processes[msg.node_id] = process
        self._generator.recorder.merge(msg.node_id, report["recorded"], gauges=entry.latest)
        statistics = report["statistics"]
        # Locust would say every second that it does not know a worker that has stopped.
        if msg.node_id in self._runner.clients or statistics["stats"] or statistics["errors"]:
            self._runner.environment.events.worker_report.fire(
                client_id=msg.node_id, data=statistics
            )
        if report["last"]:
            self._unfinished.discard(msg.node_id)

    def _claim(self, worker: str) -> None:
        """Have a worker stop what another master told it, and register with this one.

        It is of a master that died and was started anew; by itself it would register with one
        master only, and leave when that is silent for a minute.
        """
        now = self._clock()
        if now < self._claimed.get(worker, 0.0):
            return
        # It finishes its requests, and sleeps for as long again before it registers.
        self._claimed[worker] = (
            now + 2 * self._runner.environment.stop_timeout + _REGISTERED_WITHIN_S
        )
        _log.warning(
            "worker %s is of a master that was here before: it is told to stop its users and to "
            "register with this one",
            worker,
        )
        self._runner.send_message("stop", client_id=worker)

    # What goes on meanwhile.

    def _keep_looking(self) -> None:
        while True:
            self.look()
            gevent.sleep(_LOOK_EVERY_S)

    def look(self) -> None:
        """Notice who has come and gone; done every second."""
        missing = {client.id for client in self._runner.clients.missing}
        changed = self._roll.look(set(present_workers(self._runner)), missing)
        for worker in changed.lost:
            lacking = self._ledger.lacking(self._processes.get(worker, ""))
            _log.warning(
                "worker %s is lost, with what it had not reported%s",
                worker,
                f" and {len(lacking)} reports that did not arrive" if lacking else "",
            )
