"""Tells of each run by itself when it is over."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from locust.runners import MasterRunner, Runner, WorkerRunner

from loadgen.cpu_meter import CpuSample
from loadgen.cpu_reports import CpuReports, present_workers
from loadgen.errors import UsageError
from loadgen.generator import Generator
from loadgen.open_load import OpenLoad
from loadgen.recorder import Recorder
from loadgen.run_watch import RunSummary, RunWatch
from loadgen.summary import summary_lines
from loadgen.summary_file import STANDARD_OUTPUT, SummaryFile
from loadgen.summary_json import JsonValue, summary_json
from loadgen.told_options import told_options

__all__ = ["RunReports"]

_log = logging.getLogger("loadgen")

_STATS_LOG: Final = "locust.stats_logger"


class RunReports:
    """The runs of one generator on one runner; a worker only tells its CPU.

    With a web page a run is reported when it stops, for there may be many. Without one it is at the
    end of the process, below Locust's own tables, and after the last that workers had to tell.
    ``capacity`` is the result of a run that searched for it.
    """

    def __init__(
        self,
        generator: Generator,
        runner: Runner,
        open_load: OpenLoad,
        *,
        capacity: Callable[[], Mapping[str, JsonValue] | None],
        with_page: bool,
    ) -> None:
        self.cpu = CpuReports(runner, self._on_cpu)
        self._generator = generator
        self._runner = runner
        self._open_load = open_load
        self._capacity = capacity
        self._with_page = with_page
        path = generator.options.summary_json
        self._file = None if path is None else SummaryFile(path)
        self._written = ""
        self._failed = False
        self._watch: RunWatch | None = None
        self._run = ""
        self._under_load = False

    def check(self) -> None:
        """Find out whether the summaries can be written.

        Raises:
            UsageError: they cannot.
        """
        if self._file is not None:
            parsed = self._generator.environment.parsed_options
            if self._file.path == STANDARD_OUTPUT and getattr(parsed, "json", False):
                raise UsageError(
                    "--summary-json - and --json both write to standard output; "
                    "give one of them a file (--json-file)"
                )
            self._file.check()

    def listen(self) -> None:
        """To Locust's events; the generator has to know of a run's start and stop before."""
        events = self._generator.environment.events
        events.test_start.add_listener(self.on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        events.test_stop.add_listener(self._on_test_stop)
        self.cpu.listen()
        if not isinstance(self._runner, WorkerRunner):
            events.quit.add_listener(self._on_quit)

    def on_test_start(self, **_: Any) -> None:
        """A run begins; for those that could not listen yet."""
        self.cpu.measure(in_run=False)
        self._under_load = True
        if not isinstance(self._runner, WorkerRunner):
            self._write_late()
            generator = self._generator
            told = told_options(generator.options, generator.environment.parsed_options)
            self._watch = RunWatch(generator.recorder, told)
            self._run = generator.runs[-1].run

    def tick(self) -> None:
        """To be called many times a second."""
        if self.cpu.due:
            self.cpu.measure(in_run=self._under_load)
            if self._under_load and self._watch and isinstance(self._runner, MasterRunner):
                self._watch.workers(set(present_workers(self._runner)))

    def recorded(self) -> Recorder:
        """What was recorded in the newest run; before the first one all there is."""
        return self._generator.recorder if self._watch is None else self._watch.recorded()

    def _on_cpu(self, process: str, sample: CpuSample) -> None:
        if self._watch is not None:
            self._watch.measured(process, sample)

    def _on_test_stopping(self, **_: Any) -> None:
        self.cpu.measure(in_run=self._under_load)
        self._under_load = False

    def _on_test_stop(self, **_: Any) -> None:
        if self._watch is not None and isinstance(self._runner, MasterRunner):
            self._watch.missing({client.id for client in self._runner.clients.missing})
        if self._with_page:
            self._tell()

    def _on_quit(self, **_: Any) -> None:
        if self._with_page:
            self._write_late()
        else:
            self._tell()
        if self._failed:
            # Whoever reads the file must not take an old one for this run's.
            raise SystemExit(2)

    def _tell(self) -> None:
        summary = self._summary()
        if summary is not None:
            logger = logging.getLogger(_STATS_LOG)
            for line in summary_lines(summary):
                logger.info(line)
            self._write(summary)

    def _write_late(self) -> None:
        """Write the last summary again, if workers had more to tell after it was written."""
        if self._written and (summary := self._summary()) is not None:
            self._write(summary)

    def _write(self, summary: RunSummary) -> None:
        if self._file is None:
            return
        run, text = summary.run.run, summary_json(summary, self._capacity())
        if text == self._written:
            return
        self._written = text
        try:
            where = self._file.write(run, text)
        except UsageError as error:
            self._failed = True
            _log.error("%s; it goes to standard output now", error)
            SummaryFile(STANDARD_OUTPUT).write(run, text)
        else:
            if where != STANDARD_OUTPUT:
                _log.info("the summary of run %s is in %s", run, where)

    def _summary(self) -> RunSummary | None:
        """Of the newest run, ``None`` before the first."""
        if self._watch is None:
            return None
        run = next(run for run in reversed(self._generator.runs) if run.run == self._run)
        return self._watch.summary(run, self._open_load.arrived, now=self._generator.clock())
