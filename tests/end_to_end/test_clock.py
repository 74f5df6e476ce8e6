"""The machine's clock is set while a run goes on: nobody leaves, and nothing takes hours."""

import struct
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.end_to_end

SET_CLOCK = str(Path(__file__).with_name("set_clock.py"))
HOUR_S = 3600.0


def test_a_clock_that_is_set_forward_and_back_changes_no_figure(fleet, http, tmp_path):
    """100/s for 9 s by two workers; all of Locust is set an hour ahead, then an hour behind."""
    ahead = tmp_path / "ahead"

    def set_clock(seconds: float) -> None:
        ahead.write_bytes(struct.pack("d", seconds))

    set_clock(0.0)
    began = time.time()
    ran = fleet("0:100,9:100,9:0", 12, python=(SET_CLOCK, str(ahead), "locust"))
    ran.until_served(200)
    set_clock(HOUR_S)
    ran.until_served(400)
    set_clock(-HOUR_S)
    rates = []
    while ran.served() < 800:
        rates.append(http.get(f"{ran.web}/stats/requests").json()["total_rps"])
    table = ran.run_over()
    counted = ran.total("loadgen_requests_total", outcome="ok")
    assert table["num_requests"] == counted == ran.served() == 900

    # Locust's own rates stay what they are.
    assert len(rates) > 5
    assert min(rates) > 20
    assert 0 < table["avg_response_time"] < 1000

    # Nobody took the other for dead.
    assert ran.total("loadgen_worker_changes_total", change="lost") == 0
    assert "Didn't get heartbeat" not in "".join(one.output() for one in ran.workers)
    http.until(lambda: ran.total("loadgen_workers") == 2, within_s=15, what="both are ready again")

    # The run lasted as long as it did, and began when it did.
    start = ran.total("loadgen_run_start_timestamp_seconds")
    end = ran.total("loadgen_run_end_timestamp_seconds")
    assert began < start < time.time()
    assert 12 <= end - start < 20
    for name in ("response_time", "request_duration", "schedule_lag"):
        assert ran.total(f"loadgen_{name}_seconds_count") == 900
        assert 0 <= ran.total(f"loadgen_{name}_seconds_sum") < 900 * 0.5
    ran.assert_charts_tell(900)

    # The workers, whose clock is behind that of the last run, start the next one, too.
    form = {"user_count": 4, "spawn_rate": 10, "run_time": "2s", "arrival_rate": "0:50,1:50,1:0"}
    assert http.submit(f"{ran.web}/swarm", **form).json()["success"] is True
    http.until(lambda: ran.served() == 950, within_s=20, what=ran.master.output()[-3000:])
    assert ran.run_over()["num_requests"] == 50
