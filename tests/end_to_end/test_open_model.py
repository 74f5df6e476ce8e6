"""The open model against a server that stalls: what people would wait, and nothing left out."""

import re
from itertools import pairwise
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

SERVER = str(Path(__file__).with_name("stalling_server.py"))
DUE = re.compile(r"open model: (\d+) arrivals came due, (\d+) were begun, and (\d+) dropped")


@pytest.fixture
def server(start, http):
    """Start a server that stalls so long in every period; its address, and how many it served."""

    def run(stall_s: float, period_s: float):
        running = start(SERVER, str(stall_s), str(period_s))
        port = int(http.until(running.output, within_s=10, what="the server's port"))
        url = f"http://127.0.0.1:{port}"
        return url, lambda: int(http.get(f"{url}/served").body)

    return run


def locust(*arguments: str) -> tuple[str, ...]:
    return ("-m", "locust", "-f", "loadgen", "--headless", "--only-summary", *arguments)


def due(output: str) -> tuple[int, ...]:
    found = [tuple(map(int, groups)) for groups in DUE.findall(output)]
    assert len(found) == 1, output
    return found[0]


class Read:
    """A histogram of one region and routing from a metrics page."""

    def __init__(self, samples, name: str) -> None:
        buckets = {
            float(dict(labels)["le"]): value
            for (sample, labels), value in samples.items()
            if sample == f"{name}_bucket"
        }
        self.buckets = [(0.0, 0.0), *sorted(buckets.items())]
        (self.sum,) = (value for (sample, _), value in samples.items() if sample == f"{name}_sum")

    @property
    def count(self) -> float:
        return self.buckets[-1][1]

    def quantile(self, q: float) -> float:
        """Interpolated linearly within its bucket: exact where values lie evenly in it."""
        rank = q * self.count
        for (below, before), (bound, upto) in pairwise(self.buckets):
            if upto >= rank:
                return below + (bound - below) * (rank - before) / (upto - before)
        raise AssertionError("no rank beyond the last bucket")


def test_a_server_that_stalls_is_seen_as_people_would_see_it(start, server, http, free_ports):
    """1,000 requests/s for 10 s to a server that does nothing at all for 1 s in every 10.

    One arrival in ten meets the stall and waits for what is left of it, evenly from 0 to 1 s, so
    1 in 100 waits more than 0.9 s. Evenly means that linear interpolation within a histogram's
    bucket is right: that of 0.841 to 0.917 s adds no error of its own to the 3 %.
    """
    url, served = server(1.0, 10.0)
    (port,) = free_ports(1)
    page = f"http://127.0.0.1:{port}/metrics"
    ran = start(
        *locust("--flash-url", f"us-east={url}", "--metrics-port", str(port), "NonStickyUser"),
        *("--arrival-rate", "0:1000,10:1000,10:0", "-u", "100", "-r", "100", "-t", "14s"),
    )
    name = "loadgen_requests_total"
    http.until(
        lambda: http.total(page, name, outcome="ok") >= 10_000, within_s=30, what="its requests"
    )
    samples = http.samples(page)
    assert ran.wait(within_s=30) == 0, ran.output()
    assert due(ran.output()) == (10_000, 10_000, 0)
    assert served() == 10_000
    response_time = Read(samples, "loadgen_response_time_seconds")
    assert response_time.count == 10_000
    assert Read(samples, "loadgen_schedule_lag_seconds").count == 10_000
    assert response_time.quantile(0.99) == pytest.approx(0.9, rel=0.03)
    # Most of the stall's arrivals waited for one of the 100 users: the requests themselves, which
    # are all that a closed model has, tell of it in 1 of 100 cases.
    assert response_time.quantile(0.93) > 0.2
    assert Read(samples, "loadgen_request_duration_seconds").quantile(0.93) < 0.05


def test_several_workers_make_the_schedules_arrivals_together(start, server, free_ports):
    """A ramp from 0 to 400/s in 2 s is 400 arrivals, for two workers as for one."""
    url, served = server(0.0, 3600.0)
    metrics, master = free_ports(2)
    ran = start(
        *locust("--master", "--expect-workers", "2", "--master-bind-host", "127.0.0.1"),
        *("--master-bind-port", str(master), "--metrics-port", str(metrics)),
        *("--flash-url", f"us-east={url}", "--flash-url", f"eu-west={url}"),
        *("--arrival-rate", "0:0,2:400,2:0", "-u", "20", "-r", "100", "-t", "5s"),
    )
    workers = [
        start(
            *("-m", "locust", "-f", "loadgen", "--worker", "--master-port", str(master)),
            *("--flash-url", f"us-east={url}", "--flash-url", f"eu-west={url}"),
        )
        for _ in range(2)
    ]
    assert ran.wait(within_s=40) == 0, ran.output()
    for worker in workers:
        assert worker.wait(within_s=20) == 0, worker.output()
        assert due(worker.output()) == (200, 200, 0)
    assert due(ran.output()) == (400, 400, 0)
    assert served() == 400


def test_a_worker_that_joins_late_takes_its_share_from_the_others(start, server, http, free_ports):
    """200/s for 14 s, begun by one worker and ended by two: not more, and not less."""
    url, served = server(0.0, 3600.0)
    metrics, master = free_ports(2)
    ran = start(
        *locust("--master", "--expect-workers", "1", "--master-bind-host", "127.0.0.1"),
        *("--master-bind-port", str(master), "--metrics-port", str(metrics)),
        *("--flash-url", f"us-east={url}", "--arrival-rate", "0:200,14:200,14:0"),
        *("-u", "20", "-r", "100", "-t", "17s"),
    )
    work = ("-m", "locust", "-f", "loadgen", "--worker", "--master-port", str(master))
    workers = [start(*work, "--flash-url", f"us-east={url}")]
    http.until(lambda: served() > 100, within_s=20, what="the first worker's requests")
    assert http.total(f"http://127.0.0.1:{metrics}/metrics", "loadgen_arrival_rate") == 200
    workers.append(start(*work, "--flash-url", f"us-east={url}"))
    assert ran.wait(within_s=40) == 0, ran.output()
    for worker in workers:
        assert worker.wait(within_s=20) == 0, worker.output()
    assert served() == 2800
    first, second = (due(worker.output()) for worker in workers)
    assert due(ran.output()) == (first[0] + second[0], 2800, 0)
    assert second[0] > 200


def test_what_no_user_was_free_for_is_told(start, server, free_ports):
    """Two users meet a server that stalls for good: both wait, and everybody else in vain."""
    url, _ = server(3600.0, 0.01)
    ran = start(
        *locust("--flash-url", f"us-east={url}", "--metrics-port", str(free_ports(1)[0])),
        *("--arrival-rate", "0:100,1:100,1:0", "-u", "2", "-t", "3s", "NonStickyUser"),
    )
    ran.wait(within_s=30)
    assert due(ran.output()) == (100, 2, 98)
    assert "WARNING/loadgen: open model" in ran.output()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--arrival-rate", "soon"), "expected a rate per second, such as 100, or a schedule"),
        (("--arrival-rate", "0:1,5:-1"), "expected a rate from 0 to 1e+06 per second, got -1"),
        (
            ("--arrival-rate", "1", "--arrival-process", "pareto"),
            "expected constant or poisson, got 'pareto'",
        ),
    ],
)
def test_a_rate_that_is_none_is_refused_before_anything_starts(start, arguments, complaint):
    ran = start(*locust(*arguments))
    assert ran.wait(within_s=20) == 2
    assert complaint in ran.output()
    assert "Traceback" not in ran.output()
