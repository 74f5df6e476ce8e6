"""A locustfile beside another: ends the run after so many requests, and saves the metrics page.

``ACCURACY_REQUESTS`` is the number, ``ACCURACY_PAGE`` the file. The page is saved when the last
user has stopped: afterwards Locust without its web page ends at once, and the page with it.
"""

import os
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import gevent
from locust import events
from locust.env import Environment


@events.init.add_listener
def _on_init(environment: Environment, **_: Any) -> None:
    requests = int(os.environ.get("ACCURACY_REQUESTS", "0"))
    if requests:
        gevent.spawn(_stop_after, environment, requests)


def _stop_after(environment: Environment, requests: int) -> None:
    runner = environment.runner
    assert runner is not None
    while runner.stats.total.num_requests < requests:
        gevent.sleep(0.02)
    runner.quit()


@events.test_stop.add_listener
def _on_test_stop(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None
    url = f"http://127.0.0.1:{options.metrics_port}/metrics"
    page = build_opener(ProxyHandler({})).open(url, timeout=30).read()
    Path(os.environ["ACCURACY_PAGE"]).write_bytes(page)
