"""Ties the load generator to Locust: options, recording, merging, pages, runs, and the summary."""

import gc
import logging
import sys
import time
from argparse import Namespace
from functools import partial
from typing import Any, NoReturn

import gevent
import locust
from locust import runners as locust_runners
from locust import stats as locust_stats
from locust.dispatch import UsersDispatcher
from locust.env import Environment
from locust.runners import STATE_SPAWNING, STATE_STOPPED, MasterRunner, Runner, WorkerRunner

from flash.platform import FlashError
from loadgen.capacity_load import CapacityLoad, prepare_search
from loadgen.cpu_reports import present_workers
from loadgen.errors import Error, UsageError
from loadgen.exposition import Process, render
from loadgen.generator import Generator
from loadgen.interrupts import take_between_turns
from loadgen.load_shape import use_profile
from loadgen.master_reports import MasterReports
from loadgen.metrics_server import MetricsServer
from loadgen.open_load import OpenLoad
from loadgen.options import Options, add_options
from loadgen.run_reports import RunReports
from loadgen.statistics_feed import FLUSH_EVERY_S, next_flush_s
from loadgen.steady_clock import SteadyClock, keep_time
from loadgen.user_dispatch import EvenDispatcher
from loadgen.worker_reports import RECEIPT_MESSAGE, REPORT_MESSAGE, WorkerReports

__all__ = ["install"]

_log = logging.getLogger("loadgen")

_installed: list[bool] = []


def install() -> None:
    """Register with Locust's events; doing it again changes nothing."""
    if _installed:
        return
    _installed.append(True)
    events = locust.events
    events.init_command_line_parser.add_listener(add_options)
    events.init.add_listener(_on_init)


def _on_init(environment: Environment, runner: Runner, web_ui: Any, **_: Any) -> None:
    try:
        options = Options.of(environment.parsed_options or Namespace())
        generator = Generator(environment, options)
        attached = _Attached(generator, runner, web_ui)
        if not isinstance(runner, WorkerRunner):
            use_profile(environment, options.load_profile, options.arrival_rate)
            if options.find_capacity:
                prepare_search(environment, len(generator.urls))
            attached.prepare_reports()
    except (FlashError, Error) as error:
        _leave(error)
    attached.listen()
    take_between_turns()
    if isinstance(runner, WorkerRunner) and runner.last_received_spawn_timestamp:
        # A worker that joins a run is told to start before it is ready to hear of it.
        attached.catch_up(environment)


def _leave(error: Exception) -> NoReturn:
    print(f"loadgen: {error}", file=sys.stderr, flush=True)
    # Locust would treat any other exception of an event handler as its own, with a trace.
    raise SystemExit(2)


class _Attached:
    """A generator on a runner."""

    def __init__(self, generator: Generator, runner: Runner, web_ui: Any) -> None:
        self._generator = generator
        self._runner = runner
        self._web_ui = web_ui
        self._metrics: MetricsServer | None = None
        self._under_load = False
        # What Locust tells its processes of each other has to go on by the same clock for ever;
        # its statistics may follow the machine's between two runs, as ours do.
        keep_time(locust_runners, SteadyClock())
        keep_time(locust_stats, generator.clock)
        self._open_load = OpenLoad(generator, runner)
        self._reports: WorkerReports | None = None
        self._of_workers: MasterReports | None = None
        if isinstance(runner, WorkerRunner):
            self._reports = WorkerReports(
                generator.recorder,
                partial(_take_statistics, runner),
                partial(runner.send_message, REPORT_MESSAGE),
            )
        elif isinstance(runner, MasterRunner):
            self._of_workers = MasterReports(generator, runner)
            if generator.environment.dispatcher_class is UsersDispatcher:
                generator.environment.dispatcher_class = EvenDispatcher
        self._capacity_load = CapacityLoad(generator, runner, self._report)
        self._run_reports = RunReports(
            generator,
            runner,
            self._open_load,
            capacity=self._capacity_load.to_json,
            with_page=web_ui is not None,
        )

    def prepare_reports(self) -> None:
        """What cannot be told later had better be known before the load.

        Raises:
            Error: the summary cannot be written, or the metrics cannot be served.
        """
        self._run_reports.check()
        options = self._generator.options
        self._metrics = MetricsServer(
            options.metrics_host,
            options.metrics_port,
            self._page,
            self._generator.recorder.refused_sessions.since,
        )

    def listen(self) -> None:
        events = self._generator.environment.events
        events.test_start.add_listener(self._on_test_start)
        events.test_stop.add_listener(self._on_test_stop)
        events.quitting.add_listener(self._on_quitting)
        events.quit.add_listener(self._close_sessions)
        # Locust's statistics leave with its own listeners of these; ours must fill them before.
        events.report_to_master._handlers.insert(0, self._on_report_to_master)
        events.spawning_complete._handlers.insert(0, self._on_spawning_complete)
        if not isinstance(self._runner, WorkerRunner):
            events.quit.add_listener(self._on_quit)
        # Before the open model, which forgets the last run when the next one starts.
        self._run_reports.listen()
        self._open_load.listen()
        self._capacity_load.listen()
        events.quit.add_listener(self._tell_capacity)
        gevent.spawn(self._flush_forever)
        reports = self._reports
        if reports is not None and isinstance(self._runner, WorkerRunner):
            self._runner.register_message(
                RECEIPT_MESSAGE, lambda msg, **_: reports.acknowledged(msg.data)
            )
            # What Locust sends by itself would not be counted with ours, nor sent again.
            self._runner._send_stats = reports.report  # type: ignore[method-assign] # no other way
            gevent.spawn(reports.run)
        elif self._of_workers is not None:
            self._of_workers.listen()
        if self._web_ui is not None:
            from loadgen.web_form import check_form
            from loadgen.web_profile import follow_form
            from loadgen.web_tab import add_tab

            check_form(self._generator.environment, self._web_ui)
            follow_form(self._generator.environment, self._web_ui)
            add_tab(
                self._generator.environment,
                self._web_ui,
                self._run_reports.recorded,
                self._generator.options.dashboard_url,
            )

    def catch_up(self, environment: Environment) -> None:
        """A run has begun already; its users wait for the generator."""
        # First what they look at, without giving way to them.
        self._apply_options(environment)
        self._open_load.on_test_start()
        self._capacity_load.on_test_start()
        self._on_test_start(environment)
        self._run_reports.on_test_start()

    def _report(self) -> None:
        """Tell the master what was recorded; for workers."""
        if self._reports is not None:
            self._reports.report()

    # What Locust tells.

    def _on_test_start(self, environment: Environment, **_: Any) -> None:
        generator = self._generator
        generator.feed.flush()
        if generator.host_changed():
            try:
                generator.find_target()
            except FlashError as error:
                _log.error("%s; the target stays %s", error, generator.platform.describe())
        self._apply_options(environment)
        self._under_load = True
        if isinstance(self._runner, WorkerRunner) and self._runner.state == STATE_STOPPED:
            # Locust's worker says so only when all users are there, and until then takes no stop:
            # it would go on spawning, and its master, which thinks it gone, would have it quit.
            self._runner.update_state(STATE_SPAWNING)
        generator.run_started()

    def _apply_options(self, environment: Environment) -> None:
        if environment.parsed_options is not None:
            try:
                self._generator.apply(Options.of(environment.parsed_options))
            except UsageError as error:
                if isinstance(self._runner, WorkerRunner):
                    # It is to send what its master says, and something else must not pass for it.
                    _leave(error)
                _log.error("%s; the options stay as they were", error)

    def _on_test_stop(self, **_: Any) -> None:
        gc.unfreeze()
        self._generator.feed.flush()
        if self._of_workers is not None:
            self._of_workers.await_last()
        self._generator.run_stopped()
        if self._reports is not None:
            # The master calls the run over once its workers say that they stopped: without one more
            # report now the run's last requests would come late.
            self._reports.report(last=True)
        self._under_load = False
        # The users of the run are garbage now, and were kept from being found.
        gc.collect()

    def _on_spawning_complete(self, **_: Any) -> None:
        # Locust may reset its statistics now: what came before belongs to what is forgotten.
        self._generator.feed.flush()
        # What users are made of stays as long as they do. To look through all of it for garbage
        # stops everybody, for 50 ms with a thousand users, and their latencies would show that.
        gc.freeze()

    def _on_report_to_master(self, **_: Any) -> None:
        self._generator.feed.flush()

    def _on_quitting(self, **_: Any) -> None:
        self._generator.feed.flush()
        self._generator.run_stopped()

    def _on_quit(self, **_: Any) -> None:
        self._let_csv_catch_up()
        if self._metrics is not None:
            self._metrics.await_last_look()
            self._metrics.close()

    def _close_sessions(self, **_: Any) -> None:
        # Locust has stopped all users by then.
        self._generator.close_sessions()

    def _tell_capacity(self, **_: Any) -> None:
        logger = logging.getLogger("locust.stats_logger")
        for line in self._capacity_load.lines():
            logger.info(line)

    def _let_csv_catch_up(self) -> None:
        options = self._generator.environment.parsed_options
        if options is not None and getattr(options, "csv_prefix", None):
            # Locust writes these files every second, and not once more at the end: what the run's
            # last second brought would be missing from them.
            gevent.sleep(locust_stats.CSV_STATS_INTERVAL_SEC * 1.1)

    # What goes on meanwhile.

    def _flush_forever(self) -> None:
        rest_s = FLUSH_EVERY_S
        while True:
            gevent.sleep(rest_s)
            rest_s = next_flush_s(rest_s, self._generator.feed.pending)
            if time.perf_counter() >= self._generator.feed.turn:
                self._generator.feed.turned()
            else:
                self._generator.feed.flush()
            self._generator.recorder.settle()
            if not self._under_load:
                self._generator.clock.look()
            # Not with the turn of the second: under load a request comes before this to that.
            self._run_reports.tick()

    def _page(self, content_type: str) -> bytes:
        generator = self._generator
        runner = self._runner
        workers = 1
        reports = changes = None
        if self._of_workers is not None and isinstance(runner, MasterRunner):
            self._of_workers.await_overdue()
            present = present_workers(runner)
            generator.recorder.keep_workers(set(present))
            workers = len(present)
            reports, changes = self._of_workers.results, self._of_workers.changes
        process = Process(
            cpu_ratio=self._run_reports.cpu.ratios(),
            workers=workers,
            arrival_rate=self._arrival_rate(),
            worker_reports=reports,
            worker_changes=changes,
            started=generator.started,
        )
        return render(generator.recorder, generator.runs, process, content_type)

    def _arrival_rate(self) -> float | None:
        search = self._capacity_load.rate
        return self._open_load.rate if search is None else search


def _take_statistics(runner: WorkerRunner) -> dict[str, Any]:
    """What Locust's own report of a worker would be; it counts as sent then."""
    data: dict[str, Any] = {}
    runner.environment.events.report_to_master.fire(client_id=runner.client_id, data=data)
    return data
