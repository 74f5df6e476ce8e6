"""The local metrics stack, whole: from an engine by docker-compose.yml, and as plain processes.

Both have the same Prometheus configuration, rules and Grafana boards, and pass the same checks.
"""

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import isnan
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

import pytest
import trustme

pytestmark = [pytest.mark.end_to_end, pytest.mark.stack, pytest.mark.timeout(600)]

OPENER = build_opener(ProxyHandler({}))
ROOT = Path(__file__).parents[2]
STACK = ROOT / "stack"
REGIONS = {"us-east", "eu-west", "ap-south"}
JOBS = {"edge", "target_app", "dashboard", "prometheus"}
WORKERS = 2
RULES = sum(
    len(re.findall(r"^ +- (?:record|alert): ", file.read_text(), re.M))
    for file in (STACK / "prometheus").glob("*.yml")
)
# Requests of an open model have a schedule to be late against, so that no panel stays empty.
LOAD = {"LOADGEN_ARRIVAL_RATE": "30", "LOADGEN_GENERATE": "0.2", "LOCUST_USERS": "60"}
LOAD |= {"LOCUST_SPAWN_RATE": "60", "LOCUST_STOP_TIMEOUT": "20"}


class Stack(Protocol):
    """A running stack, however it is run."""

    prometheus: str
    dashboard: str
    regions: set[str]
    jobs: set[str]

    def token(self) -> str: ...

    def kill_worker(self) -> None:
        """As a crash does; another takes its place."""

    def kill_dashboard(self) -> None:
        """The same."""

    def page(self, url: str) -> str:
        """A target's page, as Prometheus gets it."""

    def promtool(self) -> list[str]:
        """The command."""

    def down(self) -> None:
        """Stop everything as asked for, and check that it ended well and that nothing is left."""


class Processes:
    """The services as processes, without an engine: what supervises them is this class."""

    regions = REGIONS
    jobs = JOBS | {"scrape"}  # a load generator at another port than its own is just a page

    def __init__(self, start, ports: list[int], program, folder: Path) -> None:
        self._start, self._folder, self._program = start, folder, program
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
        self._prometheus = start_prometheus(
            start, program, folder, port=metrics_store, dashboard_port=board
        )
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

    def page(self, url: str) -> str:
        with OPENER.open(url, timeout=10) as page:
            return page.read().decode()

    def promtool(self) -> list[str]:
        return [self._program("promtool")]

    def down(self) -> None:
        for service in (*self._workers, *reversed(self._services), self._dashboard):
            assert service.terminate(within_s=40) == 0, service.output()[-2000:]
        assert self._prometheus.terminate(within_s=20) == 0

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


def start_prometheus(
    start,
    program,
    folder: Path,
    *,
    port: int,
    dashboard_port: int,
    authority: Path | None = None,
):
    """Prometheus as in the stack, but with the addresses that hold here; its files in a folder.

    ``authority`` has the certificate that those of TLS targets are signed with.
    """
    copy = folder / "prometheus"
    shutil.copytree(STACK / "prometheus", copy)
    config = (copy / "prometheus.yml").read_text()
    for name, here in (
        ("dashboard:8000", f"127.0.0.1:{dashboard_port}"),
        ("127.0.0.1:9090", f"127.0.0.1:{port}"),
        ("/token/dashboard", str(folder / "token")),
    ):
        assert name in config
        config = config.replace(name, here)
    if authority is not None:
        job = "- job_name: flashgauge"
        config = config.replace(job, f"- tls_config: {{ca_file: {authority}}}\n    {job[2:]}")
    (copy / "prometheus.yml").write_text(config)
    return start(
        f"--config.file={copy / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        program=program("prometheus"),
    )


class Compose:
    """The services as docker-compose.yml has them, in a project of its own."""

    regions = REGIONS
    jobs = JOBS | {"loadgen"}

    def __init__(self, ports: list[int], images: dict[str, str], command: list[str]) -> None:
        names = ("EDGE", "LOCUST", "DASHBOARD", "PROMETHEUS", "GRAFANA")
        self._ports = dict(zip(names, ports, strict=False))
        self.dashboard = f"http://127.0.0.1:{self._ports['DASHBOARD']}"
        self.prometheus = f"http://127.0.0.1:{self._ports['PROMETHEUS']}"
        self.grafana = f"http://127.0.0.1:{self._ports['GRAFANA']}" if not images else None
        self.locust = f"http://127.0.0.1:{self._ports['LOCUST']}"
        self._dashboard = "dashboard"
        self._project = f"flashgauge-test-{os.getpid()}"
        self._command = [*command, "--project-name", self._project]
        profiles = "edge,grafana" if self.grafana else "edge"
        self._environ = {**os.environ, **images, **LOAD, "COMPOSE_PROFILES": profiles}
        self._environ |= {f"STACK_{name}_PORT": str(port) for name, port in self._ports.items()}

    def aim_at(self, urls: dict[str, str]) -> None:
        """From now on the services of the profile for real servers; their names differ."""
        told = ",".join(f"{region}={url}" for region, url in urls.items())
        self._environ |= {"COMPOSE_PROFILES": "modal", "FLASH_URLS": told}
        self.regions, self.jobs = set(urls), {"loadgen", "dashboard", "prometheus"}
        self._dashboard = "modal-dashboard"

    def up(self, *options: str) -> None:
        self.compose("up", "--detach", *options)

    def token(self) -> str:
        return self.compose("exec", "-T", self._dashboard, "cat", "/token/dashboard")

    def kill_worker(self) -> None:
        self._kill("loadgen-worker")

    def kill_dashboard(self) -> None:
        self._kill("dashboard")

    def page(self, url: str) -> str:
        return docker("exec", self._container("prometheus"), "wget", "-q", "-O", "-", url)

    def promtool(self) -> list[str]:
        return ["docker", "exec", "-i", self._container("prometheus"), "promtool"]

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
        everybody = "import os, signal; os.kill(-1, signal.SIGKILL)"
        command = ["docker", "exec", self._container(service), "python", "-c", everybody]
        subprocess.run(command, timeout=60)

    def _container(self, service: str) -> str:
        return self.compose("ps", "--quiet", service).split()[0]


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    return Processes(start, free_ports(9), program, tmp_path)


def asked(http, prometheus: str, path: str, **parameters: str) -> Any:
    answer = http.get(f"{prometheus}/api/v1/{path}?{urlencode(parameters)}")
    if answer.status == 503:
        raise ConnectionError("Prometheus listens, but has not begun")
    told = answer.json()
    assert told["status"] == "success", told
    return told["data"]


def values(http, prometheus: str, query: str, label: str) -> dict[str, float]:
    """The newest values of an expression, by one label."""
    found = asked(http, prometheus, "query", query=query)["result"]
    return {series["metric"].get(label, ""): float(series["value"][1]) for series in found}


def check_figures(http, stack: Stack, since: float) -> None:
    """503s and latencies of every region are in Prometheus and on the dashboard."""
    for query in (
        'sum by (region) (loadgen_requests_total{outcome="cold_start"}) > 0',
        "sum by (region) (region_routing:loadgen_request_duration_seconds:p99_1m) > 0",
    ):
        http.until(
            lambda q=query: set(values(http, stack.prometheus, q, "region")) == stack.regions,
            within_s=90,
            what=f"every region in {query}",
        )
    http.until(
        lambda: set(values(http, stack.prometheus, "min by (job) (up) == 1", "job")) == stack.jobs,
        within_s=30,
        what=f"{stack.jobs} and no others are scraped",
    )
    assert not values(http, stack.prometheus, 'up{job!="target_app"} == 0', "instance")
    for panel in ("responses_503", "latency"):
        http.until(
            lambda p=panel: regions_on_dashboard(http, stack, p, since) == stack.regions,
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
        stack.prometheus,
        "query_range",
        query=expression,
        start=f"{since:.0f}",
        end=f"{time.time():.0f}",
        step="1",
    )["result"]
    return sum(any(not isnan(float(value)) for _, value in series["values"]) for series in found)


def check_rules(http, stack: Stack) -> None:
    """Every rule is evaluated without an error, and the figures can be trusted."""
    groups = asked(http, stack.prometheus, "rules")["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert len(health) == RULES
    assert set(health.values()) == {"ok"}, health
    assert not values(http, stack.prometheus, 'ALERTS{alertname="GeneratorMissing"}', "alertname")


def check_pages(http, stack: Stack) -> None:
    """``promtool check metrics`` has nothing to say against any page that is scraped."""
    headers = {"Authorization": f"Bearer {stack.token()}"}
    pages = {"dashboard": http.get(f"{stack.dashboard}/metrics", headers=headers).body.decode()}
    for target in asked(http, stack.prometheus, "targets")["activeTargets"]:
        job = target["labels"]["job"]
        if job not in ("dashboard", "prometheus"):
            pages[job] = stack.page(target["scrapeUrl"])
    assert set(pages) == stack.jobs - {"prometheus"}
    for job, page in pages.items():
        done = subprocess.run(
            [*stack.promtool(), "check", "metrics"],
            input=page,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), job


def check_recovery(http, stack: Stack) -> None:
    """The load goes on without a worker, the page comes back without what it knew being lost."""
    served = 'sum(loadgen_requests_total{outcome="ok"})'

    def total() -> float:
        return values(http, stack.prometheus, served, "").get("", 0.0)

    stack.kill_worker()
    before = total()
    http.until(lambda: total() > before + 60, within_s=40, what="the load goes on")
    http.until(
        lambda: values(http, stack.prometheus, "sum(loadgen_workers)", "") == {"": WORKERS},
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
        lambda: regions_on_dashboard(http, stack, "latency", killed + 1) == stack.regions,
        within_s=40,
        what="the page goes on",
    )
    http.until(
        lambda: values(http, stack.prometheus, 'up{job="dashboard"}', "job") == {"dashboard": 1},
        within_s=20,
        what="Prometheus scrapes the dashboard again",
    )


def check(http, stack: Stack, since: float) -> None:
    """All that both kinds of stack must do."""
    check_figures(http, stack, since)
    check_token(http, stack)
    check_boards(http, stack, since)
    check_rules(http, stack)
    check_pages(http, stack)
    check_recovery(http, stack)


def test_the_stack_as_processes(processes: Processes, http) -> None:
    since = time.time()
    # The first cold start must not begin before there is somebody to see it.
    http.until(
        lambda: values(http, processes.prometheus, 'up{job="edge"}', "job"),
        within_s=60,
        what="Prometheus has the dashboard's targets",
    )
    processes.start_load()
    check(http, processes, since)
    processes.down()


class Tunnel(BaseHTTPRequestHandler):
    """What a container on Modal is reached through: TLS, then the container's own server."""

    def do_GET(self) -> None:
        with OPENER.open(f"{self.server.container}{self.path}", timeout=10) as page:
            body = page.read()
        self.send_response(200)
        self.send_header("Content-Type", page.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_server_on_modal_is_watched_without_being_woken(
    start, program, free_ports, http, serving, modal_account, tmp_path
) -> None:
    """The edge is the server's platform here, but only the stand-in for Modal tells of it."""
    region, admin, board, metrics_store = free_ports(4)
    edge = f"http://127.0.0.1:{admin}"
    start(
        *("-m", "flash.edge", "--region", "us-east", "--admin-port", str(admin)),
        *("--first-port", str(region), "--boot-delay", "0", "--min-containers", "1"),
    )
    start(
        *("-m", "dashboard", "--port", str(board), "--modal-app", "shop", "--modal-cls", "Server"),
        *("--store", str(tmp_path / "dashboard.sqlite")),
        DASHBOARD_PROMETHEUS=f"http://127.0.0.1:{metrics_store}",
        DASHBOARD_TOKEN_FILE=str(tmp_path / "token"),
        **modal_account.environ,
    )
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    start_prometheus(
        *(start, program, tmp_path),
        port=metrics_store,
        dashboard_port=board,
        authority=tmp_path / "authority.pem",
    )
    prometheus = f"http://127.0.0.1:{metrics_store}"
    (live,) = http.until(
        lambda: [c for c in http.get(f"{edge}/containers").json() if c["state"] == "live"],
        within_s=30,
        what="a container lives",
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Tunnel)
    server.container = f"http://127.0.0.1:{live['port']}"
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with serving(server):
        modal_account.tell(
            urls=[f"http://127.0.0.1:{region}"],
            containers=[(live["task_id"], "127.0.0.1", server.server_port)],
        )
        http.until(
            lambda: values(http, prometheus, "target_start_timestamp_seconds > 0", "container"),
            within_s=60,
            what="Prometheus has the container's metrics",
        )
        found = values(http, prometheus, "target_start_timestamp_seconds", "container")
        assert set(found) == {live["task_id"]}
    # It scales to zero: there is nothing to be scraped, and nobody wakes it.
    http.send("PATCH", f"{edge}/config", body={"min_containers": 0})
    http.send("POST", f"{edge}/containers/{live['task_id']}/stop")
    modal_account.tell(urls=[f"http://127.0.0.1:{region}"])
    http.until(
        lambda: not values(http, prometheus, 'up{job="target_app"}', "container"),
        within_s=60,
        what="its series end",
    )
    http.until(lambda: http.get(f"{edge}/containers").json() == [], within_s=30, what="none lives")
    assert modal_account.asked().count("FlashContainerList") > 1
    page = f"{edge}/metrics"
    assert http.total(page, "edge_requests_total") == 0
    assert http.total(page, "edge_container_starts_total") == 1
    # As a single scrape would have done.
    assert http.get(f"http://127.0.0.1:{region}/metrics").status == 503
    assert http.total(page, "edge_requests_total") == 1


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
        lambda: values(http, compose.prometheus, "sum(loadgen_workers)", "") == {"": 4},
        within_s=60,
        what="four workers make load",
    )
    if compose.grafana:
        board = http.get(f"{compose.grafana}/api/dashboards/uid/flashgauge")
        assert board.status == 200
        assert http.get(f"{compose.grafana}/api/admin/settings").status in (401, 403)
    compose.down()


@pytest.mark.docker
def test_the_stack_in_an_engine_aims_at_urls(compose: Compose, http) -> None:
    """A server of which only the URLs are known; the edge stands in for Modal's."""
    since = time.time()
    compose.aim_at({"us-east": "http://edge:7401", "eu-west": "http://edge:7402"})
    # All of the profile but Grafana, whose image there may not be.
    services = {"prometheus", "modal-master", "modal-worker", "modal-dashboard"}
    compose.up("edge", *services)
    http.until(compose.healthy, within_s=60, what="all services are healthy")
    names = {told["Config"]["Labels"]["com.docker.compose.service"] for told in compose.inspect()}
    assert names == services | {"edge"}
    check_hardening(compose)
    http.until(
        lambda: values(http, compose.prometheus, "sum(loadgen_workers)", "") == {"": WORKERS},
        within_s=30,
        what="the workers are there",
    )
    # A run against a server that costs money is begun by hand.
    assert not values(http, compose.prometheus, "sum(loadgen_requests_total)", "")
    assert not values(http, compose.prometheus, "loadgen_run_start_timestamp_seconds", "run")
    begun = http.submit(f"{compose.locust}/swarm", user_count=12, spawn_rate=12)
    assert begun.json()["success"], begun.body
    check_figures(http, compose, since)
    # Nothing has the edge wait for the end of the load here, as Modal would.
    assert http.submit(f"{compose.locust}/stop").json()["success"]
    http.until(
        lambda: http.get(f"{compose.locust}/stats/requests").json()["state"] == "stopped",
        within_s=30,
        what="the run is over",
    )
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
