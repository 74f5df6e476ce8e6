"""What recording one answered request costs: ours in bulk, one by one, and prometheus-client's way.

All three put the same request into three histograms of the same buckets and count its status. Ours
is timed whole: noting it, and its share of settling five thousand at once, which is a tenth of a
second at 50,000/s.
"""

import argparse
import sys
import timeit
from collections.abc import Callable
from random import Random

from prometheus_client import CollectorRegistry, Counter, Histogram

from benchmarks.peers import machine
from flash.buckets import BOUNDS_S
from loadgen.recorder import Channel
from loadgen.recorder import Histogram as OwnHistogram

_REQUESTS = 5_000


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_recording", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=7, help="the best of so many (default 7)")
    rounds = parser.parse_args().rounds
    rng = Random(1)
    requests = [
        (0.0, 1e-5, 1e-5 + first, 1e-5 + first + rng.expovariate(100))
        for first in (rng.lognormvariate(-4, 1) for _ in range(_REQUESTS))
    ]
    rows: dict[str, Callable[[], None]] = {
        "ours, in bulk": _bulk(requests),
        "ours, one by one": _singly(requests),
        "prometheus-client, labels().observe()": _prometheus(requests),
    }
    empty_s = min(timeit.repeat(lambda: _nothing(requests), number=1, repeat=rounds))
    print(f"{machine()}\n\n| recording one request | ns |\n|---|--:|")
    for name, run in rows.items():
        took_s = min(timeit.repeat(run, number=1, repeat=rounds)) - empty_s
        print(f"| {name} | {took_s / _REQUESTS * 1e9:,.0f} |")
    return 0


Requests = list[tuple[float, float, float, float]]


def _nothing(requests: Requests) -> None:
    for _called, _started, _first_at, _last_at in requests:
        pass


def _bulk(requests: Requests) -> Callable[[], None]:
    channel = Channel("us-east", "sticky")

    def run() -> None:
        answered = channel.answered
        for called, started, first_at, last_at in requests:
            answered(200, called, started, first_at, last_at)
        channel.settle()

    return run


def _singly(requests: Requests) -> Callable[[], None]:
    duration, first_byte, response = OwnHistogram(), OwnHistogram(), OwnHistogram()
    codes: dict[int, int] = {}

    def run() -> None:
        for called, started, first_at, last_at in requests:
            duration.record(last_at - started)
            first_byte.record(first_at - started)
            response.record(last_at - called)
            codes[200] = codes.get(200, 0) + 1

    return run


def _prometheus(requests: Requests) -> Callable[[], None]:
    registry = CollectorRegistry()
    labels = ("region", "routing")
    duration, first_byte, response = (
        Histogram(name, name, labels, registry=registry, buckets=BOUNDS_S)
        for name in ("duration", "first_byte", "response")
    )
    codes = Counter("codes", "codes", (*labels, "code"), registry=registry)

    def run() -> None:
        for called, started, first_at, last_at in requests:
            duration.labels("us-east", "sticky").observe(last_at - started)
            first_byte.labels("us-east", "sticky").observe(first_at - started)
            response.labels("us-east", "sticky").observe(last_at - called)
            codes.labels("us-east", "sticky", "200").inc()

    return run


if __name__ == "__main__":
    sys.exit(main())
