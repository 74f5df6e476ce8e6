"""Users that name each of their requests, and write down what became of it: "ID STATUS"."""

import itertools
import os
from pathlib import Path

from locust import constant, task

from loadgen import FlashUser

NUMBERS = itertools.count()
BOOK = Path(os.environ["COUNTING_LOG"]).open("a", buffering=1)


class CountingUser(FlashUser):
    wait_time = constant(0.02)

    @task
    def ask(self):
        name = f"{os.getpid()}-{next(NUMBERS)}"
        # A POST is sent once: whatever is told of it happened once, or never.
        answer = self.client.post("/", data=b"x", headers={"X-Id": name}, name="/", timeout=2)
        print(name, answer.status_code, file=BOOK)
