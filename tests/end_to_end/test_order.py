"""Edge, dashboard and Locust in any order: they find together, and nothing is left of them."""

import os
import signal
from itertools import permutations

import psutil
import pytest

pytestmark = pytest.mark.end_to_end

PARTS = ("edge", "dashboard", "locust")
# In these each part is the first one, and the last one, once.
ORDERS = [PARTS[n:] + PARTS[:n] for n in range(3)]
OTHERS = [order for order in permutations(PARTS) if order not in ORDERS]


class Chain:
    """The three parts on ports of their own, to be started and stopped again and again."""

    def __init__(self, start, http, ports, store) -> None:
        admin, first, web, metrics, board = map(str, ports)
        self._start, self._http = start, http
        edge = f"http://127.0.0.1:{admin}"
        self.board = f"http://127.0.0.1:{board}"
        self.page = f"http://127.0.0.1:{metrics}/metrics"
        self.running = {}
        self.commands = {
            "edge": (
                *("-m", "flash.edge", "--admin-port", admin, "--first-port", first),
                *("--region", "us-east", "--boot-delay", "0", "--exit-grace-period", "1"),
            ),
            "dashboard": (
                *("-m", "dashboard", "--port", board, "--store", str(store)),
                *("--scrape", self.page, "--flash-edge", edge),
            ),
            "locust": (
                *("-m", "locust", "-f", "loadgen", "--flash-edge", edge, "--autostart"),
                *("--web-port", web, "--metrics-port", metrics, "--users", "4"),
                *("--think-time", "0.1", "--stop-timeout", "5"),
            ),
        }
        # Where it shows that a part has come as far as it can without the others.
        self._there = {
            "edge": f"{edge}/healthz",
            "dashboard": f"{self.board}/healthz",
            "locust": f"http://127.0.0.1:{web}/",
        }

    def start(self, part: str):
        self.running[part] = self._start(*self.commands[part])
        return self.running[part]

    def until_there(self, part: str) -> None:
        running = self.running[part]

        def there() -> bool:
            if "it has 10 s to come" in running.output():
                return True  # it waits for the edge
            return self._http.get(self._there[part]).status == 200

        self._http.until(there, within_s=20, what=f"{part} is there: {running.output()[-2000:]}")

    def until_working(self) -> None:
        """Requests are answered, and the dashboard has the newest of them and the container."""
        before = self._shown()
        self._http.until(
            lambda: self._shown() > before and len(self._live()) == 1,
            within_s=30,
            what=f"the chain works: {[r.output()[-1500:] for r in self.running.values()]}",
        )

    def _shown(self) -> float:
        try:
            data = self._http.get(f"{self.board}/api/panels/throughput/data").json()
        except OSError:
            return 0.0
        return sum(
            value or 0.0
            for line in data["lines"]
            if line["labels"]["outcome"] == "ok"
            for _, value in line["points"]
        )

    def _live(self) -> list[dict]:
        targets = self._http.get(f"{self.board}/api/targets").json()
        return [one for one in targets if one["job"] == "target_app" and one["up"]]


@pytest.mark.parametrize(
    "order",
    [*ORDERS, *(pytest.param(order, marks=pytest.mark.long) for order in OTHERS)],
    ids="-".join,
)
def test_any_order_of_starts_and_stops_works_twice_on_the_same_ports(
    start, http, free_ports, tmp_path, order
) -> None:
    chain = Chain(start, http, free_ports(5), tmp_path / "store.sqlite")
    for _ in range(2):
        for part in order:
            chain.start(part)
            chain.until_there(part)
        chain.until_working()
        family = [
            process
            for running in chain.running.values()
            for process in psutil.Process(running.process.pid).children(recursive=True)
        ]
        assert family  # the container at least
        for part in order:
            os.kill(chain.running[part].process.pid, signal.SIGINT)
            status = chain.running[part].wait(within_s=20)
            # Of Locust 1 says that requests failed, as they do when the edge goes first.
            assert status in ((0, 1) if part == "locust" else (0,)), chain.running[part].output()
            assert "Traceback" not in chain.running[part].output()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []


def test_a_second_one_of_each_is_refused_and_leaves_the_first_alone(
    start, http, free_ports, tmp_path
) -> None:
    chain = Chain(start, http, free_ports(5), tmp_path / "store.sqlite")
    for part in PARTS:
        chain.start(part)
        chain.until_there(part)
    first = dict(chain.running)
    for part in PARTS:
        second = chain.start(part)
        assert second.wait(within_s=20) == 2, second.output()
        assert "in use" in second.output()
        assert "Traceback" not in second.output()
    chain.running = first
    chain.until_working()
    assert all(running.process.poll() is None for running in first.values())
