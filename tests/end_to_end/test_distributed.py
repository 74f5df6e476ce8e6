"""Workers that die, freeze and come late: nothing is counted twice, and little is missing."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

SERVER = str(Path(__file__).with_name("stalling_server.py"))
DUE = re.compile(r"open model: (\d+) arrivals came due, (\d+) were begun, and (\d+) dropped")


class Distributed:
    """A master with a page, and workers, that send at a rate to a server that counts."""

    def __init__(self, start, http, free_ports, rate: str, run_time_s: int) -> None:
        self._start, self._http = start, http
        server = start(SERVER, "0", "3600")
        port = int(http.until(server.output, within_s=10, what="the server's port"))
        self.url = f"http://127.0.0.1:{port}"
        web, metrics, self._port = free_ports(3)
        self.web, self.page = f"http://127.0.0.1:{web}", f"http://127.0.0.1:{metrics}/metrics"
        self.master = start(
            *("-m", "locust", "-f", "loadgen", "--master", "--master-bind-host", "127.0.0.1"),
            *("--master-bind-port", str(self._port), "--metrics-port", str(metrics)),
            *("--web-port", str(web), "--autostart", "--expect-workers", "2"),
            *("--flash-url", f"us-east={self.url}", "--arrival-rate", rate),
            *("-u", "24", "-r", "100", "-t", f"{run_time_s}s", "--stop-timeout", "5"),
        )
        self.workers = [self.worker() for _ in range(2)]

    def worker(self, *arguments: str):
        return self._start(
            *("-m", "locust", "-f", "loadgen", "--worker", "--master-port", str(self._port)),
            *("--flash-url", f"us-east={self.url}", *arguments),
        )

    def served(self) -> int:
        return int(self._http.get(f"{self.url}/served").body)

    def until_served(self, count: int) -> None:
        self._http.until(
            lambda: self.served() >= count,
            within_s=30,
            what=f"{count} requests are served: {self.master.output()[-3000:]}",
        )

    def table(self) -> int:
        """How many requests are in Locust's own table, once the run is over."""
        stats = self._http.until(
            lambda: stopped(self._http.get(f"{self.web}/stats/requests").json()),
            within_s=40,
            what=f"the run is over: {self.master.output()[-3000:]}",
        )
        (total,) = (row for row in stats["stats"] if row["name"] == "Aggregated")
        return int(total["num_requests"])

    def total(self, name: str, **labels: str) -> float:
        return self._http.total(self.page, name, **labels)


def stopped(stats: dict) -> dict | None:
    return stats if stats["state"] == "stopped" else None


def test_a_worker_that_is_killed_takes_with_it_a_second_at_most(start, http, free_ports):
    """200/s for 14 s, 100/s of it by a worker that is killed after two seconds or three."""
    ran = Distributed(start, http, free_ports, "0:200,14:200,14:0", 17)
    ran.until_served(500)
    os.kill(ran.workers[0].process.pid, signal.SIGKILL)
    http.until(
        lambda: ran.total("loadgen_worker_changes_total", change="lost") == 1,
        within_s=10,
        what="the worker is missed",
    )
    assert ran.total("loadgen_workers") == 1
    assert ran.total("loadgen_users") < 24
    in_table = ran.table()
    counted = ran.total("loadgen_requests_total", outcome="ok")
    served = ran.served()
    # The two counts are of the same reports; the server saw what the dead worker did not report.
    assert in_table == counted == ran.total("loadgen_requests_total")
    assert ran.total("loadgen_request_duration_seconds_count") == counted
    assert 0 <= served - counted <= 100 * 1.5
    # Its share of what was leased to it, and until it was missed, is nobody's.
    assert 2800 - 100 * 9 <= served <= 2800
    assert ran.total("loadgen_worker_changes_total", change="joined") == 2
    assert ran.total("loadgen_worker_changes_total", change="lost") == 1
    assert ran.total("loadgen_worker_reports_total", result="counted") > 10
    assert ran.total("loadgen_users") == 0
    assert "is lost, with what it had not reported" in ran.master.output()


def test_a_worker_that_was_frozen_and_one_that_comes_late_leave_the_counts_exact(
    start, http, free_ports
):
    """150/s for 16 s: one worker of two stands still for 7 s, and a third joins meanwhile."""
    ran = Distributed(start, http, free_ports, "0:150,16:150,16:0", 21)
    ran.until_served(300)
    frozen = ran.workers[1].process.pid
    os.kill(frozen, signal.SIGSTOP)
    try:
        began = time.monotonic()
        ran.workers.append(ran.worker())
        http.until(
            lambda: ran.total("loadgen_worker_changes_total", change="lost") == 1,
            within_s=10,
            what="the worker is missed",
        )
        ran.until_served(300 + 10)
        time.sleep(max(0.0, 7.0 - (time.monotonic() - began)))
    finally:
        os.kill(frozen, signal.SIGCONT)
    in_table = ran.table()
    counted = ran.total("loadgen_requests_total", outcome="ok")
    assert in_table == counted == ran.total("loadgen_requests_total") == ran.served() == 2400
    assert ran.total("loadgen_response_time_seconds_count") == 2400
    assert ran.total("loadgen_worker_changes_total", change="joined") == 3
    assert ran.total("loadgen_worker_changes_total", change="returned") == 1
    # Only those who have told that they are ready for another run are told that there is none.
    http.until(lambda: ran.total("loadgen_workers") == 3, within_s=15, what="all are ready again")
    assert ran.master.terminate(within_s=20) == 0
    told = []
    for worker in ran.workers:
        assert worker.wait(within_s=20) == 0, worker.output()
        told += [tuple(map(int, found)) for found in DUE.findall(worker.output())]
    assert [sum(one) for one in zip(*told, strict=True)] == [2400, 2400, 0]
    assert len(told) == 3


def test_regions_of_clients_are_told_apart(start, http, free_ports):
    """Two workers in two regions, at 40/s together: each has half of it under its own label."""
    (port, metrics) = free_ports(2)
    server = start(SERVER, "0", "3600")
    url = f"http://127.0.0.1:{http.until(server.output, within_s=10, what='its port').strip()}"
    page = f"http://127.0.0.1:{metrics}/metrics"
    master = start(
        *("-m", "locust", "-f", "loadgen", "--master", "--master-bind-host", "127.0.0.1"),
        *("--master-bind-port", str(port), "--metrics-port", str(metrics), "--headless"),
        *("--expect-workers", "2", "--flash-url", f"us-east={url}"),
        *("--arrival-rate", "0:40,5:40,5:0", "-u", "8", "-r", "100", "-t", "8s"),
    )
    for environ in ({"LOADGEN_CLIENT_REGION": "eu-west"}, {"MODAL_REGION": "ap-south-1"}):
        start(
            *("-m", "locust", "-f", "loadgen", "--worker", "--master-port", str(port)),
            *("--flash-url", f"us-east={url}"),
            **environ,
        )
    http.until(
        lambda: http.total(page, "loadgen_requests_total", outcome="ok") == 200,
        within_s=30,
        what=f"200 requests are counted: {master.output()[-2000:]}",
    )
    for name in ("loadgen_requests_total", "loadgen_response_time_seconds_count"):
        for client_region in ("eu-west", "ap-south-1"):
            labels = {"region": "us-east", "client_region": client_region}
            assert http.total(page, name, **labels) == 100
    assert master.wait(within_s=30) == 0, master.output()
    assert "eu-west>us-east" in master.output()
