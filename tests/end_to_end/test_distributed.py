"""Workers that die, freeze and come late: nothing is counted twice, and little is missing."""

import os
import re
import signal
import time

import pytest

pytestmark = pytest.mark.end_to_end

DUE = re.compile(r"open model: (\d+) arrivals came due, (\d+) were begun, and (\d+) dropped")


def test_a_worker_that_is_killed_takes_with_it_a_second_at_most(fleet):
    """200/s for 14 s, 100/s of it by a worker that is killed after two seconds or three."""
    ran = fleet("0:200,14:200,14:0", 17)
    ran.until_served(500)
    os.kill(ran.workers[0].process.pid, signal.SIGKILL)
    ran.until_changed("lost")
    assert ran.total("loadgen_workers") == 1
    assert ran.total("loadgen_users") < 24
    in_table = ran.run_over()["num_requests"]
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
    assert ran.master.output().count("is lost, with what it had not reported") == 1
    ran.assert_charts_tell(counted)


@pytest.mark.parametrize("frozen_s", [7, pytest.param(30, marks=pytest.mark.long)])
def test_a_worker_that_was_frozen_and_one_that_comes_late_leave_the_counts_exact(
    fleet, http, frozen_s
):
    """150/s: one worker of two stands still for a while, and a third joins meanwhile."""
    seconds = 9 + frozen_s
    ran = fleet(f"0:150,{seconds}:150,{seconds}:0", seconds + 5)
    ran.until_served(300)
    frozen = ran.workers[1].process.pid
    os.kill(frozen, signal.SIGSTOP)
    try:
        began = time.monotonic()
        ran.start_worker()
        ran.until_changed("lost")
        ran.until_served(300 + 10)
        time.sleep(max(0.0, frozen_s - (time.monotonic() - began)))
    finally:
        os.kill(frozen, signal.SIGCONT)
    in_table = ran.run_over()["num_requests"]
    meant = 150 * seconds
    counted = ran.total("loadgen_requests_total", outcome="ok")
    assert in_table == counted == ran.total("loadgen_requests_total") == ran.served() == meant
    assert ran.total("loadgen_response_time_seconds_count") == meant
    assert ran.total("loadgen_worker_changes_total", change="joined") == 3
    assert ran.total("loadgen_worker_changes_total", change="returned") == 1
    ran.assert_charts_tell(counted)
    # Only those who have told that they are ready for another run are told that there is none.
    http.until(lambda: ran.total("loadgen_workers") == 3, within_s=15, what="all are ready again")
    assert ran.master.terminate(within_s=20) == 0
    told = []
    for worker in ran.workers:
        assert worker.wait(within_s=20) == 0, worker.output()
        told += [tuple(map(int, found)) for found in DUE.findall(worker.output())]
    assert [sum(one) for one in zip(*told, strict=True)] == [meant, meant, 0]
    assert len(told) == 3


def test_regions_of_clients_are_told_apart(start, http, free_ports, counting_server):
    """Two workers in two regions, at 40/s together: each has half of it under its own label."""
    (port, metrics) = free_ports(2)
    url = counting_server()
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
