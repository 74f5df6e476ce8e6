"""Containers and edge that break under load: every request is accounted for, and all goes on.

The users name their requests. What they say of each, what the containers wrote down of each, what
the load generator counted and what the edge counted is compared.
"""

import json
import os
import signal
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.end_to_end

HERE = Path(__file__).parent
NO_RESPONSE, GOOD, BAD_GATEWAY, COLD = "0", "200", "502", "503"


class Trial:
    """An edge in front of faulty containers, and Locust's users on it."""

    def __init__(self, start, http, free_ports, folder: Path) -> None:
        self._start, self._http, self._folder = start, http, folder
        self.admin, self.region, self.metrics = free_ports(3)
        self._fault, self._log = folder / "fault.txt", folder / "containers.txt"
        self.book, self.summary = folder / "users.txt", folder / "summary.json"
        self.say("good")

    def say(self, word: str) -> None:
        """Have all containers do something from now on."""
        new = self._folder / "new.txt"
        new.write_text(word)
        new.replace(self._fault)

    def start_edge(self, *options: str):
        edge = self._start(
            *("-m", "flash.edge", "--region", "us-east", "--no-rtt", "--boot-delay", "0.2"),
            *("--admin-port", str(self.admin), "--first-port", str(self.region), *options),
            *("--", sys.executable, str(HERE / "faulty_server.py")),
            FAULT_FILE=str(self._fault),
            FAULT_LOG=str(self._log),
        )
        self._http.until(
            lambda: self._http.get(f"{self.url}/healthz").status == 200,
            within_s=30,
            what=f"the edge answers: {edge.output()}",
        )
        return edge

    def start_users(self, number: int):
        return self._start(
            *("-m", "locust", "-f", str(HERE / "counting_users.py"), "--headless"),
            *("--flash-url", f"us-east=http://127.0.0.1:{self.region}", "--stop-timeout", "10"),
            *("-u", str(number), "-r", "100", "-t", "110s", "--metrics-port", str(self.metrics)),
            *("--summary-json", str(self.summary)),
            COUNTING_LOG=str(self.book),
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.admin}"

    def live(self) -> int:
        containers = self._http.get(f"{self.url}/containers").json()
        return sum(container["state"] == "live" for container in containers)

    def processes(self) -> list[int]:
        """Of the containers that live, oldest first."""
        numbers = [int(of) for word, of in self.written_down() if word == "process"]
        return [number for number in numbers if psutil.pid_exists(number)]

    def written_down(self) -> list[tuple[str, str]]:
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        return [(word, name) for word, _, name in (line.partition(" ") for line in lines)]

    def results(self) -> dict[str, str]:
        """What the users say of their requests."""
        lines = self.book.read_text().splitlines() if self.book.exists() else []
        pairs = [line.split() for line in lines]
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    def until_results(self, status: str, more: int) -> None:
        """Until so many more requests have ended with a status."""

        def count() -> int:
            return Counter(self.results().values())[status]

        before = count()
        self._http.until(
            lambda: count() >= before + more,
            within_s=25,
            what=f"{more} more requests than {before} end with {status}",
        )

    @contextmanager
    def fault(self, word: str):
        self.say(word)
        yield
        self.say("good")
        self.until_results(GOOD, 50)

    def edge_codes(self) -> Counter[str]:
        return Counter(
            {
                dict(labels)["code"]: int(value)
                for (name, labels), value in self._http.samples(f"{self.url}/metrics").items()
                if name == "edge_requests_total"
            }
        )

    def end(self, users) -> Counter[str]:
        """Stop the users, check every single request; the outcomes that were counted."""
        users.terminate(within_s=30)
        results = self.results()
        served = [(word, name) for word, name in self.written_down() if word != "process"]
        seen, words = Counter(name for _, name in served), {name: word for word, name in served}
        assert seen.keys() <= results.keys()
        assert max(seen.values()) == 1  # nothing was done twice
        for name, status in results.items():
            if status == GOOD:
                assert seen[name] == 1, name
                assert words[name] in ("good", "deaf"), name
        totals = json.loads(self.summary.read_text())["totals"]
        outcomes = Counter({name: count for name, count in totals["outcomes"].items() if count})
        statuses = Counter(results.values())
        assert totals["requests"] == len(results)
        assert outcomes["ok"] == statuses[GOOD]
        assert outcomes["server_error"] == statuses[BAD_GATEWAY]
        assert outcomes["timeout"] + outcomes["connection_error"] == statuses[NO_RESPONSE]
        assert totals["giveups"] == statuses[COLD] == 0
        assert sum(statuses.values()) == len(results)
        return outcomes


@pytest.fixture
def trial(start, http, free_ports, tmp_path) -> Trial:
    return Trial(start, http, free_ports, tmp_path)


def test_broken_containers_cost_their_own_requests_alone(trial, http) -> None:
    edge = trial.start_edge("--min-containers", "2", "--max-containers", "2")
    http.until(lambda: trial.live() == 2, within_s=20, what="two containers are live")
    users = trial.start_users(8)
    trial.until_results(GOOD, 50)

    with trial.fault("garbage"):
        trial.until_results(BAD_GATEWAY, 20)
    with trial.fault("reset"):
        trial.until_results(NO_RESPONSE, 20)
    with trial.fault("slow"):
        trial.until_results(NO_RESPONSE, 8)
    with trial.fault("deaf"):
        http.until(lambda: trial.live() == 0, within_s=10, what="none takes connections")
    killed, hung = trial.processes()
    os.kill(killed, signal.SIGKILL)
    http.until(lambda: len(trial.processes()) == 2, within_s=15, what="it is replaced")
    trial.until_results(GOOD, 50)
    os.kill(hung, signal.SIGSTOP)
    try:
        trial.until_results(NO_RESPONSE, 2)
        trial.until_results(GOOD, 50)  # by the other one
    finally:
        os.kill(hung, signal.SIGCONT)
    http.until(lambda: trial.live() == 2, within_s=15, what="two containers are live again")
    trial.until_results(GOOD, 50)

    outcomes = trial.end(users)
    words = Counter(word for word, _ in trial.written_down())
    assert outcomes["server_error"] >= words["garbage"] >= 20
    assert outcomes["connection_error"] == words["reset"] >= 20
    assert outcomes["timeout"] >= words["slow"] + 2
    assert outcomes["cold_start"] > 0
    codes = http.until(
        lambda: (found := trial.edge_codes()).total() == outcomes.total() and found,
        within_s=5,
        what=f"the edge counts {outcomes.total()} attempts, not {trial.edge_codes()}",
    )
    assert codes[BAD_GATEWAY] == outcomes["server_error"]
    assert codes[COLD] == outcomes["cold_start"]
    assert codes[GOOD] + codes["499"] == outcomes.total() - codes[BAD_GATEWAY] - codes[COLD]
    assert codes.keys() <= {GOOD, BAD_GATEWAY, COLD, "499"}

    told = edge.output()
    for line, most in {
        "answered with what is no HTTP response: malformed response head": 4,
        "broke off within a response": 4,
        "takes no connections; it gets no requests until it does": 4,
        "takes connections again": 4,
        "exited with status -9": 1,
    }.items():
        assert 1 <= told.count(line) <= most, (line, told)
    assert "Traceback" not in told
    for error in ("ConnectionLost", "TotalTimeout", "502 Server Error"):
        assert error in users.output(), users.output()[-3000:]


def test_an_edge_that_dies_takes_nothing_but_what_it_was_serving(trial, http) -> None:
    edge = trial.start_edge("--max-containers", "1")
    users = trial.start_users(8)
    trial.until_results(GOOD, 100)
    (container,) = trial.processes()
    os.kill(edge.process.pid, signal.SIGKILL)
    http.until(lambda: not psutil.pid_exists(container), within_s=10, what="its container is gone")
    trial.until_results(NO_RESPONSE, 50)
    again = trial.start_edge("--max-containers", "1")
    trial.until_results(GOOD, 100)

    outcomes = trial.end(users)
    assert outcomes["timeout"] == 0
    assert outcomes["connection_error"] >= 50
    assert outcomes["cold_start"] > 0
    # What the dead edge was serving is all that the new one and the containers cannot tell of.
    good = sum(word == "good" for word, _ in trial.written_down())
    assert outcomes["ok"] <= good <= outcomes["ok"] + 8
    assert trial.edge_codes()[GOOD] < outcomes["ok"]
    assert "ConnectError" in users.output()
    assert "Traceback" not in again.output()
    assert again.terminate(within_s=20) == 0
    assert trial.processes() == []
