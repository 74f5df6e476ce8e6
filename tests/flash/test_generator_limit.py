import pytest

from flash.generator_limit import CpuUse, Evidence, Limit, reasons, verdict

BUSY, QUICK = CpuUse(0.93, 1.0), CpuUse(0.34, 0.6)


@pytest.mark.parametrize(
    ("known", "limits"),
    [
        ({}, []),
        ({"cpu": {"local": QUICK}}, []),
        ({"cpu": {"local": BUSY}}, [Limit.CPU]),
        ({"cpu": {"local": CpuUse(0.9, 0.9)}}, [Limit.CPU]),
        # A second at full speed is no limit of the run.
        ({"cpu": {"local": CpuUse(0.5, 1.0)}}, []),
        ({"cpu": {"master": QUICK, "worker-0": BUSY, "worker-1": BUSY}}, [Limit.CPU] * 2),
        ({"schedule_lag_p99_s": 0.004, "latency_p99_s": 0.05}, []),
        ({"schedule_lag_p99_s": 0.006, "latency_p99_s": 0.05}, [Limit.SCHEDULE_LAG]),
        # A millisecond more or less says nothing of a server that answers within it.
        ({"schedule_lag_p99_s": 0.001, "latency_p99_s": 0.001}, []),
        ({"schedule_lag_p99_s": 0.002, "latency_p99_s": None}, [Limit.SCHEDULE_LAG]),
        ({"arrivals": 10_000, "arrivals_waited": 99}, []),
        ({"arrivals": 10_000, "arrivals_waited": 100}, [Limit.USERS]),
        ({"arrivals": 0, "arrivals_waited": 0}, []),
        ({"workers_lost": 1}, [Limit.WORKERS]),
        (
            {"cpu": {"worker-1": BUSY}, "workers_lost": 2, "arrivals": 10, "arrivals_waited": 10},
            [Limit.CPU, Limit.USERS, Limit.WORKERS],
        ),
    ],
)
def test_each_limit_has_its_rule(known, limits):
    assert [reason.limit for reason in reasons(Evidence(**known))] == limits


def test_the_verdict_says_which_limit_with_its_figures():
    evidence = Evidence(
        cpu={"worker-0": QUICK, "worker-1": BUSY},
        schedule_lag_p99_s=0.0123,
        latency_p99_s=0.04,
        arrivals=1000,
        arrivals_waited=120,
        workers_lost=1,
    )
    assert verdict(evidence) == (
        "the load generator was the limit: worker-1 used 93.0% of a core (at most 100.0% in a "
        "second), so add processes; requests started up to 12.3 ms late (p99), at a latency of "
        "40.0 ms; 120 of 1000 arrivals waited for a free user, so have more users; 1 worker was "
        "lost during the run"
    )


def test_one_that_kept_up_says_by_how_much():
    evidence = Evidence(
        cpu={"master": CpuUse(0.1, 0.2), "worker-0": QUICK},
        schedule_lag_p99_s=0.0002,
        latency_p99_s=0.04,
    )
    assert verdict(evidence) == (
        "the load generator kept up: worker-0 used 34.0% of a core (at most 60.0% in a second); "
        "requests started at most 0.20 ms late (p99)"
    )
    assert verdict(Evidence()) == "the load generator kept up"
