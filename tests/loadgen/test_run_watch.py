import pytest

from flash.generator_limit import CpuUse, Evidence
from loadgen.cpu_meter import CpuSample
from loadgen.dispatcher import Arrived
from loadgen.exposition import Run
from loadgen.recorder import Recorder
from loadgen.run_watch import RunWatch, Workers

RUN = Run("r2", 1000.0, 1060.0)


def answer(recorder: Recorder, took_s: float, times: int = 1) -> None:
    for _ in range(times):
        recorder.channel("us-east", "sticky").answered(200, 0.0, 0.0, 0.0, took_s)


def test_a_run_has_the_figures_of_its_own_time_alone():
    recorder = Recorder()
    answer(recorder, 4.0, times=3)
    watch = RunWatch(recorder, {"users": 5})
    answer(recorder, 0.1, times=2)
    summary = watch.summary(RUN, None, now=0.0)
    (channel,) = summary.recorded
    assert channel.requests == 2
    assert channel.request_duration.quantile(1.0) == pytest.approx(0.1, rel=0.045)
    assert recorder.channel("us-east", "sticky").requests == 5
    assert (summary.seconds, summary.options) == (60.0, {"users": 5})
    assert (summary.arrivals, summary.workers) == (None, None)


def test_a_run_that_goes_on_lasts_until_now():
    summary = RunWatch(Recorder(), {}).summary(Run("r", 1000.0), None, now=1007.5)
    assert summary.seconds == 7.5


def test_what_workers_report_after_the_end_belongs_to_the_run():
    master, worker = Recorder(), Recorder()
    watch = RunWatch(master, {})
    assert watch.recorded().total().requests == 0
    answer(worker, 0.1)
    master.merge("worker", worker.take())
    assert watch.recorded().total().requests == 1


def test_cpu_is_kept_by_process():
    watch = RunWatch(Recorder(), {})
    watch.measured("worker-0", CpuSample(0.5, 1.0))
    watch.measured("master", CpuSample(0.1, 1.0))
    watch.measured("worker-0", CpuSample(1.0, 1.0))
    cpu = watch.summary(RUN, None, now=0.0).cpu
    assert cpu == {"master": CpuUse(0.1, 0.1), "worker-0": CpuUse(0.75, 1.0)}


def test_a_worker_that_was_away_is_lost_whether_it_came_back_or_not():
    watch = RunWatch(Recorder(), {})
    for present in ({"a", "b"}, {"a", "b", "c"}, {"a", "c"}, {"a", "b", "c"}, {"a", "b"}):
        watch.workers(present)
    watch.missing({"a", "stranger"})
    assert watch.summary(RUN, None, now=0.0).workers == Workers(seen=3, lost=3)


def test_the_evidence_is_of_all_channels_together():
    recorder = Recorder()
    watch = RunWatch(recorder, {})
    for region, lag_s in (("a", 0.001), ("b", 0.5)):
        channel = recorder.channel(region, "sticky")
        channel.answered(200, 0.0, 0.0, 0.0, 2.0)
        channel.schedule_lag.record(lag_s)
    watch.measured("local", CpuSample(0.5, 1.0))
    watch.workers({"w"})
    watch.workers(set())
    arrived = Arrived(intended=7, started=6, dropped=1, waiting=0, waited=3)
    found = watch.summary(RUN, arrived, now=0.0).evidence()
    assert found == Evidence(
        cpu={"local": CpuUse(0.5, 0.5)},
        schedule_lag_p99_s=pytest.approx(0.5, rel=0.045),
        latency_p99_s=pytest.approx(2.0, rel=0.045),
        arrivals=7,
        arrivals_waited=3,
        workers_lost=1,
    )
