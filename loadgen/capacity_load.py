"""Runs a capacity search with Locust's runs, on one process or on a master, and its result."""

import logging
import random
from collections.abc import Callable
from typing import Any, Final

import gevent
from gevent import Greenlet, getcurrent
from locust.env import Environment
from locust.runners import MasterRunner, Runner, WorkerRunner

from loadgen.capacity_judgement import CapacityStep
from loadgen.capacity_report import capacity_json, capacity_lines, exit_status, step_text
from loadgen.capacity_run import CapacityPlan, CapacityRun
from loadgen.errors import UsageError
from loadgen.fleet import LocalFleet, MasterFleet, WorkerEnd
from loadgen.generator import Generator
from loadgen.options import Options
from loadgen.step_model import StepModel
from loadgen.summary_json import JsonValue

__all__ = ["CapacityLoad", "prepare_search"]

_log = logging.getLogger("loadgen")

_USERS_PER_REGION: Final = 100
_USERS_PER_S: Final = 100.0


class CapacityLoad:
    """The search on one runner; ``report`` sends what a worker has recorded.

    It begins when all users are there, ends the run when it is over, and sets Locust's exit status.
    """

    def __init__(self, generator: Generator, runner: Runner, report: Callable[[], None]) -> None:
        self._generator = generator
        self._runner = runner
        self._fleet: LocalFleet | MasterFleet | None = None
        self._worker: WorkerEnd | None = None
        if isinstance(runner, WorkerRunner):
            self._worker = WorkerEnd(generator, runner, report)
        elif isinstance(runner, MasterRunner):
            self._fleet = MasterFleet(generator, runner)
        else:
            self._fleet = LocalFleet(generator)
        self._run: CapacityRun | None = None
        self._searching: Greenlet | None = None

    def __repr__(self) -> str:
        return f"<CapacityLoad, {self._run!r}>"

    def listen(self) -> None:
        """To Locust's events, after whatever applies a run's options."""
        events = self._generator.environment.events
        events.test_start.add_listener(self.on_test_start)
        events.test_stopping.add_listener(self._on_test_stopping)
        if self._worker is not None:
            self._worker.listen()
            return
        if isinstance(self._fleet, MasterFleet):
            self._fleet.listen()
        events.spawning_complete.add_listener(self._on_spawning_complete)

    def on_test_start(self, **_: Any) -> None:
        """A run begins; for those that could not listen yet."""
        generator = self._generator
        generator.step_model, self._run = None, None
        if generator.options.find_capacity and not isinstance(self._runner, MasterRunner):
            generator.step_model = StepModel(
                generator.options.arrival_process,
                loop=gevent.get_hub().loop,
                uniform=random.Random().random,
            )

    @property
    def rate(self) -> float | None:
        """Arrivals per second that are tried now, 0 while none are; ``None`` without a search."""
        if not self._generator.options.find_capacity:
            return None
        offered = None if self._run is None or self._searching is None else self._run.offered
        return offered or 0.0

    def lines(self) -> list[str]:
        """The last search's result for a terminal; nothing without one."""
        run = self._run
        return [] if run is None else capacity_lines(run.plan, run.found)

    def to_json(self) -> dict[str, JsonValue] | None:
        """The last search's result with plain values, ``None`` without one."""
        run = self._run
        return None if run is None else capacity_json(run.plan, run.found)

    def _on_spawning_complete(self, **_: Any) -> None:
        options = self._generator.options
        if not options.find_capacity or self._run is not None or self._fleet is None:
            return
        self._run = CapacityRun(plan_of(options), self._fleet, sleep=gevent.sleep, say=_say)
        # Whoever ends it before it has found anything has no judgement.
        self._set_status(1)
        self._searching = gevent.spawn(self._search, self._run)

    def _search(self, run: CapacityRun) -> None:
        regions = list(self._generator.urls)
        try:
            run.search(regions)
            self._set_status(exit_status(run.found, len(regions)))
        except Exception:
            _log.exception("the capacity search failed")
            self._set_status(2)
        if self._is_headless:
            self._runner.quit()  # at its end the lines are below Locust's own tables
            return
        for line in self.lines():
            _log.info(line)
        self._runner.stop()

    def _on_test_stopping(self, **_: Any) -> None:
        searching, self._searching = self._searching, None
        if searching is not None and searching is not getcurrent():
            searching.kill(block=False)
        model = self._generator.step_model
        if model is not None:
            model.dispatcher.end()

    @property
    def _is_headless(self) -> bool:
        return bool(getattr(self._generator.environment.parsed_options, "headless", False))

    def _set_status(self, status: int) -> None:
        # A page that served many runs ends well, whatever the last one's result was.
        if self._is_headless:
            self._generator.environment.process_exit_code = status


def plan_of(options: Options) -> CapacityPlan:
    """The search that the options describe."""
    return CapacityPlan(
        objectives=options.find_capacity,
        rates=options.capacity_rates,
        resolution=options.capacity_resolution,
        hold_s=options.capacity_hold_s,
        settle_s=options.capacity_settle_s,
        warmup_s=options.capacity_warmup_s,
    )


def prepare_search(environment: Environment, regions: int) -> None:
    """Without ``--users`` a search has a hundred in each region, and starts them at once.

    Raises:
        UsageError: the locustfile has a shape, which would change the users meanwhile.
    """
    if environment.shape_class is not None:
        raise UsageError(
            "--find-capacity and the locustfile's shape "
            f"{type(environment.shape_class).__name__} contradict each other: the search decides "
            "itself how many requests start"
        )
    parsed: Any = environment.parsed_options
    if parsed is not None and getattr(parsed, "num_users", None) is None:
        parsed.num_users = _USERS_PER_REGION * regions
        if getattr(parsed, "spawn_rate", None) is None:
            parsed.spawn_rate = _USERS_PER_S


def _say(region: str, step: CapacityStep) -> None:
    _log.info(step_text(region, step))
