"""Users that note how late each request left, for the benchmark of it; a locustfile.

``LAG_TICKER=loop`` has gevent's timers set the pace, as gevent.sleep does, in place of the
kernel's. What was noted goes to the file ``LAG_FILE`` at the end, in seconds, one line each.
"""

import os
from pathlib import Path
from typing import Any

from locust import events, task

from loadgen import FlashUser, open_model
from loadgen.ticker import LoopTicker

_lags: list[float] = []

if os.environ.get("LAG_TICKER") == "loop":
    open_model.ticker_on = LoopTicker


class Lag(FlashUser):
    routing = "sticky"

    @task
    def one(self) -> None:
        intended = self.client.intended_start
        response = self.client.get("/")
        if intended is not None:
            _lags.append(response.started - intended)


@events.quit.add_listener
def _write(**_: Any) -> None:
    Path(os.environ["LAG_FILE"]).write_text("\n".join(map(repr, _lags)))
