"""What benchmarks read out of wrk's own words."""

import pytest

from benchmarks.wrk_output import WrkOutput

_PRINTED = """Running 8s test @ http://127.0.0.1:1/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   300.00us  100.00us  20.00ms   72.50%
    Req/Sec   200.00k     1.00k  210.00k    99.50%
  Latency Distribution
     50%  250.00us
     75%  300.00us
     90%  350.00us
     99%    1.50ms
  1600000 requests in 8.00s, 300.00MB read
Requests/sec: 200000.50
Transfer/sec:     37.50MB
"""


def test_percentiles_are_those_of_the_distribution() -> None:
    assert WrkOutput.read(_PRINTED) == WrkOutput(
        requests=1_600_000, rate=200_000.5, p50_ms=0.25, p99_ms=1.5, failed=0
    )


def test_socket_errors_and_other_statuses_are_failures() -> None:
    told = (
        "  Socket errors: connect 1, read 2, write 3, timeout 4\n"
        "  Non-2xx or 3xx responses: 5\nRequests/sec"
    )
    assert WrkOutput.read(_PRINTED.replace("Requests/sec", told)).failed == 15


def test_what_wrk_does_not_print_ends_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="in this output"):
        WrkOutput.read("unable to connect")
