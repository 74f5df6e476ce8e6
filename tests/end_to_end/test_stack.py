"""The local metrics stack, whole: from an engine by docker-compose.yml, and as plain processes.

Both have the same Prometheus configuration, rules and Grafana boards, and pass the same checks.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import pytest

pytestmark = [pytest.mark.end_to_end, pytest.mark.stack, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
STACK = ROOT / "stack"
REGIONS = {"us-east", "eu-west", "ap-south"}
JOBS = {"edge", "target_app", "dashboard", "prometheus"}
WORKERS = 2
# Requests of an open model have a schedule to be late against, so that no panel stays empty.
LOAD = {"LOADGEN_ARRIVAL_RATE": "30", "LOADGEN_GENERATE": "0.2", "LOCUST_USERS": "60"}
LOAD |= {"LOCUST_SPAWN_RATE": "60", "LOCUST_STOP_TIMEOUT": "20"}


class Stack(Protocol):
    """A running stack, however it is run."""

    prometheus: str
    dashboard: str

    def token(self) -> str: ...

    def kill_worker(self) -> None:
        """As a crash does; another takes its place."""

    def kill_dashboard(self) -> None:
        """The same."""

    def down(self) -> None:
        """Stop everything as asked for, and check that it ended well and that nothing is left."""


class Processes:
    """The services as processes, without an engine: what supervises them is this class."""

    def __init__(self, start, ports: list[int], program: str, folder: Path) -> None:
        self._start, self._folder = start, folder
        self._edge, self._web, self._master, self._metrics, board, metrics_store = ports[3:9]
        self._first_region = ports[0]
        self._board = board
        self.dashboard = f"http://127.0.0.1:{board}"
        self.prometheus = f"http://127.0.0.1:{metrics_store}"
        self._services = [
            start(
                *("-m", "flash.edge", "--admin-port", str(self._edge), "--boot-delay", "3"),
                *("--first-port", str(self._first_region)),
            )
        ]
        self._prometheus = self._start_prometheus(program, metrics_store)
        self._dashboard = self._start_dashboard()

    def start_load(self) -> None:
        self._services.append(
            self._locust(
                *("--master", "--master-bind-port", str(self._master), "--autostart"),
                *("--web-port", str(self._web), "--metrics-port", str(self._metrics)),
                *("--expect-workers", str(WORKERS)),
            )
        )
        self._workers = [self._worker() for _ in range(WORKERS)]

    def token(self) -> str:
        return (self._folder / "token").read_text()

    def kill_worker(self) -> None:
        self._workers.pop(0).process.kill()
        self._workers.append(self._worker())

    def kill_dashboard(self) -> None:
        self._dashboard.process.kill()
        self._dashboard.wait(within_s=10)
        self._dashboard = self._start_dashboard()

    def down(self) -> None:
        for service in (*self._workers, *reversed(self._services), self._dashboard):
            assert service.terminate(within_s=40) == 0, service.output()[-2000:]
        assert self._prometheus.terminate(within_s=20) == 0

    def _start_prometheus(self, program: str, port: int):
        folder = self._folder / "prometheus"
        shutil.copytree(STACK / "prometheus", folder)
        config = (folder / "prometheus.yml").read_text()
        for name, here in (
            ("dashboard:8000", f"127.0.0.1:{self._board}"),
            ("127.0.0.1:9090", f"127.0.0.1:{port}"),
            ("/token/dashboard", str(self._folder / "token")),
        ):
            assert name in config
            config = config.replace(name, here)
        (folder / "prometheus.yml").write_text(config)
        return self._start(
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{port}",
            program=program,
        )

    def _start_dashboard(self):
        return self._start(
            *("-m", "dashboard", "--host", "0.0.0.0", "--port", str(self._board)),
            *("--store", str(self._folder / "dashboard.sqlite")),
            *("--scrape", f"http://127.0.0.1:{self._metrics}/metrics"),
            *("--flash-edge", f"http://127.0.0.1:{self._edge}"),
            DASHBOARD_PROMETHEUS=self.prometheus,
            DASHBOARD_TOKEN_FILE=str(self._folder / "token"),
        )

    def _worker(self):
        return self._locust("--worker", "--master-port", str(self._master))

    def _locust(self, *arguments: str):
        edge = f"http://127.0.0.1:{self._edge}"
        return self._start("-m", "locust", "-f", "loadgen", *arguments, FLASH_EDGE=edge, **LOAD)


class Compose:
    """The services as docker-compose.yml has them, in a project of its own."""

    def __init__(self, ports: list[int], images: dict[str, str], command: list[str]) -> None:
        names = ("EDGE", "LOCUST", "DASHBOARD", "PROMETHEUS", "GRAFANA")
        self._ports = dict(zip(names, ports, strict=False))
        self.dashboard = f"http://127.0.0.1:{self._ports['DASHBOARD']}"
        self.prometheus = f"http://127.0.0.1:{self._ports['PROMETHEUS']}"
        self.grafana = f"http://127.0.0.1:{self._ports['GRAFANA']}" if not images else None
        self._project = f"flashgauge-test-{os.getpid()}"
        self._command = [*command, "--project-name", self._project]
        profiles = "edge,grafana" if self.grafana else "edge"
        self._environ = {**os.environ, **images, **LOAD, "COMPOSE_PROFILES": profiles}
        self._environ |= {f"STACK_{name}_PORT": str(port) for name, port in self._ports.items()}

    def aim_at(self, urls: str) -> None:
        """From now on the services of the profile for real servers; their names differ."""
        self._environ |= {"COMPOSE_PROFILES": "modal", "FLASH_URLS": urls}

    def up(self, *options: str) -> None:
        self.compose("up", "--detach", *options)

    def token(self) -> str:
        return self.compose("exec", "-T", "dashboard", "cat", "/token/dashboard")

    def kill_worker(self) -> None:
        self._kill("loadgen-worker")

    def kill_dashboard(self) -> None:
        self._kill("dashboard")

    def down(self) -> None:
        self.compose("stop")
        codes = {told["Name"]: told["State"]["ExitCode"] for told in self.inspect()}
        assert set(codes.values()) == {0}, codes
        self.compose("down", "--volumes")
        assert self.left() == []

    def left(self) -> list[str]:
        """Whatever there is of the project in the engine."""
        mark = f"label=com.docker.compose.project={self._project}"
        return [
            line
            for kind in (["ps", "--all"], ["volume", "ls"], ["network", "ls"])
            for line in docker(*kind, "--quiet", "--filter", mark).split()
        ]

    def inspect(self) -> list[dict[str, Any]]:
        """Every container of the project as the engine tells it."""
        found: list[dict[str, Any]] = json.loads(
            docker("inspect", *self.compose("ps", "--all", "--quiet").split())
        )
        return found

    def healthy(self) -> bool:
        return all(
            told["State"].get("Health", {}).get("Status") == "healthy" for told in self.inspect()
        )

    def compose(self, *arguments: str) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def _kill(self, service: str) -> None:
        # From within: what the engine itself kills it does not start again. Spares process 1, the
        # init, which ends when there is nothing left to wait for.
        container = self.compose("ps", "--quiet", service).split()[0]
        everybody = "import os, signal; os.kill(-1, signal.SIGKILL)"
        subprocess.run(["docker", "exec", container, "python", "-c", everybody], timeout=60)


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def runs(*command: str, within_s: float = 60) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=within_s).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


def pulled() -> bool:
    """Whether the images that docker-compose.yml names can be had."""
    text = (ROOT / "docker-compose.yml").read_text()
    return all(
        runs("docker", "image", "inspect", image) or runs("docker", "pull", image, within_s=300)
        for image in sorted(set(re.findall(r"_IMAGE:-([^}]+)\}", text)))
    )


@pytest.fixture
def compose(free_ports) -> Iterator[Compose]:
    """The stack in an engine, where there is one; taken away whatever happens."""
    if not runs("docker", "info"):
        pytest.skip("no Docker engine answers")
    command = ["docker", "compose"] if runs("docker", "compose", "version") else ["docker-compose"]
    if not runs(*command, "version"):
        pytest.skip("neither docker compose nor docker-compose is installed")
    images: dict[str, str] = {}
    if not pulled():
        if shutil.which("debootstrap") is None or os.geteuid() != 0:
            pytest.skip("no images can be pulled, and stand-ins need root and debootstrap")
        script = Path(__file__).with_name("stand_in_images.py")
        built = subprocess.run([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
        assert built.returncode == 0
        images = dict(line.split("=") for line in built.stdout.split())
    stack = Compose(free_ports(5), images, command)
    yield stack
    stack.compose("down", "--volumes", "--timeout", "5")


@pytest.fixture
def processes(start, free_ports, program, tmp_path) -> Processes:
    return Processes(start, free_ports(9), program("prometheus"), tmp_path)


def asked(http, stack: Stack, path: str, **parameters: str) -> Any:
    answer = http.get(f"{stack.prometheus}/api/v1/{path}?{urlencode(parameters)}").json()
    assert answer["status"] == "success", answer
    return answer["data"]


def values(http, stack: Stack, query: str, label: str) -> dict[str, float]:
    """The newest values of an expression, by one label."""
    found = asked(http, stack, "query", query=query)["result"]
    return {series["metric"].get(label, ""): float(series["value"][1]) for series in found}


def check_figures(http, stack: Stack, since: float) -> None:
    """503s and latencies of every region are in Prometheus and on the dashboard."""
    for query in (
        'sum by (region) (loadgen_requests_total{outcome="cold_start"}) > 0',
        "sum by (region) (region_routing:loadgen_request_duration_seconds:p99_1m) > 0",
    ):
        http.until(
            lambda q=query: set(values(http, stack, q, "region")) >= REGIONS,
            within_s=90,
            what=f"every region in {query}",
        )
    http.until(
        lambda: set(values(http, stack, "min by (job) (up) == 1", "job")) >= JOBS,
        within_s=30,
        what=f"all of {JOBS} are scraped",
    )
    assert not values(http, stack, 'up{job!="target_app"} == 0', "instance")
    for panel in ("responses_503", "latency"):
        http.until(
            lambda p=panel: regions_on_dashboard(http, stack, p, since) >= REGIONS,
            within_s=30,
            what=f"every region in panel {panel}",
        )


def regions_on_dashboard(http, stack: Stack, panel: str, since: float) -> set[str]:
    end = max(time.time(), since + 1)
    window = urlencode({"start": f"{since:.0f}", "end": f"{end:.0f}"})
    answer = http.get(
        f"{stack.dashboard}/api/panels/{panel}/data?{window}",
        headers={"Authorization": f"Bearer {stack.token()}"},
    )
    assert answer.status == 200, answer.body
    return {
        line["labels"]["region"]
        for line in answer.json()["lines"]
        if any(value is not None and value > 0 for _, value in line["points"])
    }


def check_token(http, stack: Stack) -> None:
    """The dashboard answers to nobody without its token, and to others' names not at all."""
    assert http.get(f"{stack.dashboard}/api/panels").status == 401
    assert http.get(f"{stack.dashboard}/sd/targets").status == 401
    headers = {"Authorization": f"Bearer {stack.token()}", "Host": "evil.example"}
    assert http.get(f"{stack.dashboard}/api/panels", headers=headers).status == 421


def check_boards(http, stack: Stack, since: float) -> None:
    """Every expression of every board has data somewhere in the run."""
    boards = sorted((STACK / "grafana" / "boards").glob("*.json"))
    assert boards
    for file in boards:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"].replace("$__rate_interval", "10s")
                expression = expression.replace("$region", ".*").replace("$routing", ".*")
                assert "$" not in expression
                http.until(
                    lambda e=expression: series_with_numbers(http, stack, e, since),
                    within_s=30,
                    what=f"numbers for {expression}",
                )


def series_with_numbers(http, stack: Stack, expression: str, since: float) -> int:
    found = asked(
        http,
        stack,
        "query_range",
        query=expression,
        start=f"{since:.0f}",
        end=f"{time.time():.0f}",
        step="1",
    )["result"]
    return sum(any(not isnan(float(value)) for _, value in series["values"]) for series in found)


def check_rules(http, stack: Stack) -> None:
    """Every rule is evaluated without an error, and the figures can be trusted."""
    groups = asked(http, stack, "rules")["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert len(health) == 19
    assert set(health.values()) == {"ok"}, health
    assert not values(http, stack, 'ALERTS{alertname="GeneratorMissing"}', "alertname")


def check_recovery(http, stack: Stack) -> None:
    """The load goes on without a worker, the page comes back without what it knew being lost."""
    served = 'sum(loadgen_requests_total{outcome="ok"})'

    def total() -> float:
        return values(http, stack, served, "").get("", 0.0)

    stack.kill_worker()
    before = total()
    http.until(lambda: total() > before + 60, within_s=40, what="the load goes on")
    http.until(
        lambda: values(http, stack, "sum(loadgen_workers)", "") == {"": WORKERS},
        within_s=40,
        what="another worker took its place",
    )
    token = stack.token()
    killed = time.time()
    stack.kill_dashboard()
    http.until(
        lambda: http.get(f"{stack.dashboard}/healthz").status == 200,
        within_s=40,
        what="the dashboard is back",
    )
    assert stack.token() == token
    http.until(
        lambda: regions_on_dashboard(http, stack, "latency", killed + 1) >= REGIONS,
        within_s=40,
        what="the page goes on",
    )
    http.until(
        lambda: values(http, stack, 'up{job="dashboard"}', "job") == {"dashboard": 1},
        within_s=20,
        what="Prometheus scrapes the dashboard again",
    )


def check(http, stack: Stack, since: float) -> None:
    """All that both kinds of stack must do."""
    check_figures(http, stack, since)
    check_token(http, stack)
    check_boards(http, stack, since)
    check_rules(http, stack)
    check_recovery(http, stack)


def test_the_stack_as_processes(processes: Processes, http) -> None:
    since = time.time()
    # The first cold start must not begin before there is somebody to see it.
    http.until(
        lambda: values(http, processes, 'up{job="edge"}', "job"),
        within_s=60,
        what="Prometheus has the dashboard's targets",
    )
    processes.start_load()
    check(http, processes, since)
    processes.down()


@pytest.mark.docker
def test_the_stack_in_an_engine(compose: Compose, http) -> None:
    since = time.time()
    compose.compose("build")
    began = time.monotonic()
    compose.up()
    http.until(compose.healthy, within_s=60, what="all services are healthy")
    assert time.monotonic() - began < 60
    check_hardening(compose)
    check(http, compose, since)
    restarted = [told["Name"] for told in compose.inspect() if told["RestartCount"]]
    assert len(restarted) == 2, restarted  # the worker and the dashboard that were killed
    compose.up("--scale", "loadgen-worker=4")
    http.until(
        lambda: values(http, compose, "sum(loadgen_workers)", "") == {"": 4},
        within_s=60,
        what="four workers make load",
    )
    if compose.grafana:
        board = http.get(f"{compose.grafana}/api/dashboards/uid/flashgauge")
        assert board.status == 200
        assert http.get(f"{compose.grafana}/api/admin/settings").status in (401, 403)
    compose.down()


@pytest.mark.docker
def test_the_stack_in_an_engine_aims_at_urls_without_an_edge(compose: Compose, http) -> None:
    compose.aim_at("us-east=https://flashgauge.invalid")
    # All of the profile but Grafana, whose image there may not be.
    compose.up("prometheus", "modal-master", "modal-worker", "modal-dashboard")
    http.until(compose.healthy, within_s=60, what="all services are healthy")
    names = {told["Config"]["Labels"]["com.docker.compose.service"] for told in compose.inspect()}
    assert names == {"prometheus", "modal-master", "modal-worker", "modal-dashboard"}
    check_hardening(compose)
    http.until(
        lambda: values(http, compose, "sum(loadgen_workers)", "") == {"": WORKERS},
        within_s=30,
        what="the workers are there",
    )
    # A run against a server that costs money is begun by hand.
    assert not values(http, compose, "sum(loadgen_requests_total)", "")
    assert not values(http, compose, "loadgen_run_start_timestamp_seconds", "run")
    compose.down()


def check_hardening(compose: Compose) -> None:
    """What docker-compose.yml promises, as the engine has it."""
    for told in compose.inspect():
        name, host, config = told["Name"], told["HostConfig"], told["Config"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert not host["Privileged"], name
        assert config["User"].split(":")[0] not in ("", "0", "root"), name
        for bindings in host["PortBindings"].values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}, name
