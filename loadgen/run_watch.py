"""One run by itself: what was recorded since its start, and how its generator did."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from flash.generator_limit import CpuUse, Evidence
from loadgen.cpu_meter import CpuSample, CpuTotal
from loadgen.dispatcher import Arrived
from loadgen.exposition import Run
from loadgen.recorder import Recorder

__all__ = ["OptionValue", "RunSummary", "RunWatch", "Workers"]

OptionValue = str | int | float | bool | None | list[str]


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers a run had, all in all, and how many of them were lost before its end."""

    seen: int
    lost: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a run came to.

    ``recorded`` is of this run alone, in ``seconds``. ``options`` are those that it was made with,
    by name. ``arrivals`` is ``None`` in the closed model, ``workers`` where Locust has none.
    """

    run: Run
    seconds: float
    recorded: Recorder
    options: Mapping[str, OptionValue]
    cpu: Mapping[str, CpuUse]
    arrivals: Arrived | None
    workers: Workers | None

    def evidence(self) -> Evidence:
        """What tells whether the generator was the limit."""
        total, arrivals, workers = self.recorded.total(), self.arrivals, self.workers
        return Evidence(
            cpu=self.cpu,
            schedule_lag_p99_s=total.schedule_lag.quantile(0.99),
            latency_p99_s=total.request_duration.quantile(0.99),
            arrivals=0 if arrivals is None else arrivals.intended,
            arrivals_waited=0 if arrivals is None else arrivals.waited,
            workers_lost=0 if workers is None else workers.lost,
        )


class RunWatch:
    """Watches one run from its start, where all of it comes together: not on a worker."""

    def __init__(self, recorder: Recorder, options: Mapping[str, OptionValue]) -> None:
        self._recorder = recorder
        self._before = recorder.since(Recorder())
        self._options = options
        self._cpu: dict[str, CpuTotal] = {}
        self._seen: set[str] = set()
        self._lost: set[str] = set()

    def __repr__(self) -> str:
        return f"<RunWatch of {', '.join(self._cpu)}>"

    def measured(self, process: str, sample: CpuSample) -> None:
        """CPU that a process used during the run."""
        self._cpu.setdefault(process, CpuTotal()).add(sample)

    def workers(self, present: Set[str]) -> None:
        """These workers are there now, during the run; who was and is not any more is lost."""
        self._seen |= present
        self._lost |= self._seen - present

    def missing(self, workers: Set[str]) -> None:
        """These workers did not come to the run's end."""
        self._lost |= self._seen & workers

    def recorded(self) -> Recorder:
        """What was recorded since the run's start."""
        return self._recorder.since(self._before)

    def summary(self, run: Run, arrivals: Arrived | None, *, now: float) -> RunSummary:
        """What the run has come to by ``now`` (Unix seconds), or came to if it is over."""
        uses = ((process, total.use()) for process, total in sorted(self._cpu.items()))
        return RunSummary(
            run=run,
            seconds=(run.ended or now) - run.started,
            recorded=self.recorded(),
            options=self._options,
            cpu={process: use for process, use in uses if use is not None},
            arrivals=arrivals,
            workers=Workers(len(self._seen), len(self._lost)) if self._seen else None,
        )
