"""Masters that die and workers that are cut off: the fleet finds together again by itself."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

pytestmark = pytest.mark.end_to_end


def test_a_master_that_is_killed_and_started_again_gets_its_workers_back(fleet, http):
    """100/s for 8 s, of which the first master sees two or three: the second has all of it."""
    ran = fleet("0:100,8:100,8:0", 11)
    ran.until_served(200)
    os.kill(ran.master.process.pid, signal.SIGKILL)
    ran.master.wait(within_s=10)
    ran.start_master()
    table = ran.run_over(within_s=60)
    assert table["num_requests"] == 800
    served = ran.served()
    http.until(lambda: ran.total("loadgen_workers") == 2, within_s=15, what="both are ready again")
    told = ran.master.output()
    assert told.count("is of a master that was here before") == 2
    for worker in ran.workers:
        assert worker.process.poll() is None
        assert "Traceback" not in worker.output() + told

    # What the dead master had not shown any more is missing, a second at most. The rest is there
    # once, whichever of the two counted it.
    http.until(
        lambda: sum(filter(None, ran.charted().values())) >= served - 100 * 1.5,
        within_s=10,
        what=f"the dashboard counts {served}, or little less: {ran.dashboard.output()[-2000:]}",
    )
    charted = ran.charted()
    assert round(sum(filter(None, charted.values()))) <= served
    # Between the two runs nothing was sent.
    busy = [at for at, value in charted.items() if value]
    idle = [at for at in range(busy[0], busy[-1]) if charted[at] == 0]
    assert idle == list(range(idle[0], idle[-1] + 1))


class Network:
    """A network of its own beside this one, by two cables, of which one can be pulled out.

    ``kept`` and ``pulled`` are this side's addresses on them.
    """

    def __init__(self, ip: str) -> None:
        self._ip = ip
        number = random.SystemRandom().randrange(1 << 14)
        self.name = f"flashgauge-{number:x}"
        # A part of what is set aside for tests of networks: eight addresses, four for each cable.
        first = IPv4Address("198.18.0.0") + 8 * number
        self.kept, self.pulled = str(first + 1), str(first + 5)
        self._cables = [(f"fg{number:x}k", first), (f"fg{number:x}p", first + 4)]

    def open(self) -> None:
        """Make it; the test is skipped where that cannot be done."""
        if error := self._told("netns", "add", self.name):
            pytest.skip(f"this system makes no network namespaces: {error}")
        for cable, net in self._cables:
            self._do("link", "add", cable, "type", "veth", "peer", cable, "netns", self.name)
            self._do("address", "add", f"{net + 1}/30", "dev", cable)
            self._do("link", "set", cable, "up")
            self._do("-n", self.name, "address", "add", f"{net + 2}/30", "dev", cable)
            self._do("-n", self.name, "link", "set", cable, "up")

    def pull_out(self) -> None:
        """What is sent over the second cable from now on gets lost, in both directions."""
        self._do("-n", self.name, "link", "set", self._cables[1][0], "down")

    def plug_in(self) -> None:
        self._do("-n", self.name, "link", "set", self._cables[1][0], "up")

    def close(self) -> None:
        # A cable goes with either end, but only once nobody uses the other network any more.
        for cable, _ in self._cables:
            self._told("link", "delete", cable)
        self._told("netns", "delete", self.name)

    def _do(self, *words: str) -> None:
        if error := self._told(*words):
            pytest.fail(f"ip {' '.join(words)}: {error}")

    def _told(self, *words: str) -> str:
        return subprocess.run([self._ip, *words], capture_output=True, text=True).stderr.strip()


@pytest.fixture
def network(program) -> Iterator[Network]:
    if sys.platform != "linux":
        pytest.skip("only Linux has network namespaces")
    made = Network(program("ip"))
    try:
        made.open()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("away_s", [7, pytest.param(30, marks=pytest.mark.long)])
def test_a_worker_that_is_cut_off_from_its_master_loses_nothing(fleet, program, network, away_s):
    """100/s, half of it by a worker whose way to its master, but not to the server, is cut."""
    seconds = 16 + 2 * away_s
    ran = fleet(
        *(f"0:100,{seconds}:100,{seconds}:0", seconds + 5),
        workers=1,
        host=network.pulled,
        server_host=network.kept,
    )
    away = ran.start_worker(
        program=program("ip"), before=("netns", "exec", network.name, sys.executable)
    )
    ran.until_served(300)
    network.pull_out()
    began = time.monotonic()
    ran.until_changed("lost")
    assert ran.total("loadgen_workers") == 1
    time.sleep(away_s - (time.monotonic() - began))
    network.plug_in()
    ran.until_changed("returned", within_s=away_s + 15)
    table = ran.run_over(within_s=seconds + 30)
    counted = ran.total("loadgen_requests_total", outcome="ok")
    assert table["num_requests"] == counted == ran.served() == 100 * seconds
    assert ran.total("loadgen_response_time_seconds_count") == counted
    ran.assert_charts_tell(counted)
    assert ran.master.output().count("is lost, with what it had not reported") == 1
    assert away.process.poll() is None
    assert "Traceback" not in away.output() + ran.master.output()
