"""The admin interface: its JSON is a contract, and bad input gets an error that names the place."""

import json

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from flash.edge.admin import create_admin
from flash.edge.config import Config
from flash.edge.counters import EdgeCollector
from flash.edge.delay import LoopTimers
from flash.edge.events import EventLog
from flash.edge.exposition import page
from flash.edge.faults import Faults
from flash.edge.life_cycle import State
from flash.edge.pool import ContainerPool, ManagedContainer
from flash.edge.region import RegionalProxy


class NoProcess:
    """A process that only remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def kill(self) -> None:
        self.told.append("kill")

    def terminate(self) -> None:
        self.told.append("terminate")


class Edge:
    """An edge without any sockets or processes, and a client of its admin interface."""

    def __init__(self, app_client, *, everywhere: bool = False) -> None:
        self.pool = ContainerPool(Config(), launcher=None, events=EventLog())
        self.proxies = {
            region: RegionalProxy(region, self.pool, LoopTimers(None))
            for region in ("us-east", "eu-west")
        }
        registry = CollectorRegistry()
        counters = {region: proxy.counters for region, proxy in self.proxies.items()}
        collector = EdgeCollector(
            counters,
            self.pool.starts,
            self.pool.by_state,
            lambda: self.pool.settings,
            registry,
        )
        urls = {"us-east": "http://127.0.0.1:7401", "eu-west": "http://127.0.0.1:7402"}
        app = create_admin(
            self.pool,
            self.proxies,
            urls,
            lambda accept: page(registry, collector, accept),
            everywhere=everywhere,
        )
        self.client = app_client(app)

    def container(self, state: State, **more) -> ManagedContainer:
        container = ManagedContainer("us-east")
        container.state = state
        container.port = 20_001
        container.process = NoProcess()
        for name, value in more.items():
            setattr(container, name, value)
        self.pool._containers[container.task_id] = container
        return container


@pytest.fixture
def edge(app_client) -> Edge:
    return Edge(app_client)


def test_health_and_addresses(edge: Edge) -> None:
    assert edge.client.get("/healthz").status_code == 200
    assert edge.client.get("/flash_urls").json() == {
        "us-east": "http://127.0.0.1:7401",
        "eu-west": "http://127.0.0.1:7402",
    }


def test_containers_are_told_with_exactly_these_keys(edge: Edge) -> None:
    assert edge.client.get("/containers").json() == []
    live = edge.container(State.LIVE, in_flight=3, started_at=100.5, ready_at=101.25)
    starting = edge.container(State.STARTING, started_at=102.0)
    told = edge.client.get("/containers").json()
    assert told == [
        {
            "task_id": live.task_id,
            "region": "us-east",
            "host": "127.0.0.1",
            "port": 20_001,
            "state": "live",
            "in_flight": 3,
            "started_at": 100.5,
            "ready_at": 101.25,
        },
        {
            "task_id": starting.task_id,
            "region": "us-east",
            "host": "127.0.0.1",
            "port": 20_001,
            "state": "starting",
            "in_flight": 0,
            "started_at": 102.0,
            "ready_at": None,
        },
    ]
    assert all(one["task_id"].startswith("ta-") for one in told)


@pytest.mark.parametrize(
    ("called", "host", "url"),
    [
        ("edge:7400", "edge", "http://edge:7401"),
        ("127.0.0.1:7400", "127.0.0.1", "http://127.0.0.1:7401"),
        ("[::1]:7400", "::1", "http://[::1]:7401"),
        ("", "127.0.0.1", "http://127.0.0.1:7401"),
    ],
)
def test_an_edge_on_all_addresses_is_told_of_under_the_name_it_is_called_by(
    app_client, called: str, host: str, url: str
) -> None:
    edge = Edge(app_client, everywhere=True)
    edge.container(State.LIVE)
    headers = {"Host": called}
    assert edge.client.get("/flash_urls", headers=headers).json()["us-east"] == url
    (container,) = edge.client.get("/containers", headers=headers).json()
    assert (container["host"], container["port"]) == (host, 20_001)


def test_an_edge_on_one_address_is_told_of_under_that(edge: Edge) -> None:
    edge.container(State.LIVE)
    headers = {"Host": "edge:7400"}
    urls = edge.client.get("/flash_urls", headers=headers).json()
    assert urls["us-east"] == "http://127.0.0.1:7401"
    assert edge.client.get("/containers", headers=headers).json()[0]["host"] == "127.0.0.1"


def test_no_other_state_than_the_three_is_told(edge: Edge) -> None:
    for state in State:
        edge.container(state)
    states = {one["state"] for one in edge.client.get("/containers").json()}
    assert states == {"starting", "live", "draining"}


def test_a_container_is_killed_or_stopped_by_its_id(edge: Edge) -> None:
    one, other = edge.container(State.LIVE), edge.container(State.LIVE)
    answer = edge.client.post(f"/containers/{one.task_id}/kill")
    assert answer.status_code == 200
    assert answer.json()["task_id"] == one.task_id
    assert one.process.told == ["kill"]
    assert other.process.told == []
    answer = edge.client.post(f"/containers/{other.task_id}/stop")
    assert answer.json()["state"] == "draining"
    assert other.stop_asked.is_set()
    assert other.process.told == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/containers/ta-0/kill", 404, "not_found"),
        ("POST", "/containers/ta-0/pause", 404, "not_found"),
        ("GET", "/containers/ta-0/kill", 405, "method_not_allowed"),
        ("GET", "/nonsense", 404, "not_found"),
        ("DELETE", "/config", 405, "method_not_allowed"),
        ("POST", "/flash_urls", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_an_error_that_names_it(edge, method, path, status, code) -> None:
    answer = edge.client.request(method, path)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "where"}
    assert (error["code"], error["where"]) == (code, path)
    assert error["message"]


def test_an_action_that_there_is_not_is_named(edge: Edge) -> None:
    container = edge.container(State.LIVE)
    answer = edge.client.post(f"/containers/{container.task_id}/pause")
    assert answer.status_code == 404
    assert "kill or stop, not 'pause'" in answer.json()["error"]["message"]
    assert container.process.told == []


def test_the_autoscaler_is_told_and_changed_under_modals_names(edge: Edge) -> None:
    assert edge.client.get("/config").json() == {
        "min_containers": 0,
        "max_containers": 4,
        "buffer_containers": 0,
        "target_concurrency": 8,
        "scaleup_window": 0.0,
        "scaledown_window": 60.0,
    }
    answer = edge.client.patch(
        "/config", json={"max_containers": 6.0, "scaledown_window": 2.5, "target_concurrency": 1}
    )
    assert answer.status_code == 200
    assert answer.json() == edge.client.get("/config").json()
    assert answer.json()["max_containers"] == 6
    assert answer.json()["scaledown_window"] == 2.5
    assert answer.json()["target_concurrency"] == 1
    assert isinstance(edge.pool.settings.max_containers, int)
    (event,) = edge.client.get("/events").json()
    assert event["kind"] == "autoscaler_updated"
    assert edge.client.patch("/config", json={}).status_code == 200


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "body"),
        (b"max_containers=2", "body"),
        (b"[1]", "body"),
        (b"null", "body"),
        (b"[" * 30_000, "body"),
        (b" " * 70_000, "body"),
        (b"\xff", "body"),
        (b'{"containers": 2}', "containers"),
        (b'{"max_containers": "2"}', "max_containers"),
        (b'{"max_containers": true}', "max_containers"),
        (b'{"max_containers": null}', "max_containers"),
        (b'{"max_containers": 1.5}', "max_containers"),
        (b'{"max_containers": 0}', "max_containers"),
        (b'{"max_containers": -1}', "max_containers"),
        (b'{"max_containers": 1e9}', "max_containers"),
        (b'{"max_containers": 1e999}', "max_containers"),
        (b'{"max_containers": NaN}', "max_containers"),
        (b'{"min_containers": 5}', "min_containers"),
        (b'{"target_concurrency": 0}', "target_concurrency"),
        (b'{"scaledown_window": -0.5}', "scaledown_window"),
        (b'{"scaledown_window": Infinity}', "scaledown_window"),
        (b'{"scaledown_window": [1]}', "scaledown_window"),
    ],
)
def test_settings_without_a_meaning_change_nothing_and_are_named(edge, body, where) -> None:
    before = edge.client.get("/config").json()
    answer = edge.client.patch("/config", content=body)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "where"}
    assert error["code"] == "invalid_parameter"
    assert error["where"] == where
    assert edge.client.get("/config").json() == before


def test_one_bad_setting_among_good_ones_changes_nothing(edge: Edge) -> None:
    answer = edge.client.patch("/config", json={"max_containers": 9, "min_containers": -1})
    assert answer.json()["error"]["where"] == "min_containers"
    assert edge.client.get("/config").json()["max_containers"] == 4


def test_events_are_read_from_a_number_on(edge: Edge) -> None:
    for n in range(3):
        edge.pool.events.add("live", f"ta-{n}", "port_open")
    answer = edge.client.get("/events")
    assert answer.headers["x-events-dropped"] == "0"
    assert [(one["sequence"], one["task_id"]) for one in answer.json()] == [
        (1, "ta-0"),
        (2, "ta-1"),
        (3, "ta-2"),
    ]
    assert set(answer.json()[0]) == {"sequence", "time", "kind", "task_id", "detail"}
    assert [one["sequence"] for one in edge.client.get("/events?since=2").json()] == [3]
    assert edge.client.get("/events?since=3").json() == []


def test_the_answer_tells_how_many_events_are_no_longer_kept(edge: Edge) -> None:
    for _ in range(10_004):
        edge.pool.events.add("live")
    answer = edge.client.get("/events?since=1")
    assert answer.headers["x-events-dropped"] == "3"
    assert answer.json()[0]["sequence"] == 5


@pytest.mark.parametrize("since", ["x", "-1", "1.5", "", "²", "9" * 400])
def test_a_number_of_no_event_is_refused(edge: Edge, since: str) -> None:
    answer = edge.client.get("/events", params={"since": since})
    assert answer.status_code == 422
    assert answer.json()["error"]["where"] == "since"


def test_faults_are_told_and_changed_by_region(edge: Edge) -> None:
    none = {
        "latency_s": 0.0,
        "refuse_next": 0,
        "refuse_share": 0.0,
        "reset_share": 0.0,
        "body_bytes_per_s": 0.0,
    }
    assert edge.client.get("/faults").json() == {"us-east": none, "eu-west": none}
    answer = edge.client.patch("/faults", json={"eu-west": {"latency_s": 0.25, "refuse_next": 2}})
    assert answer.status_code == 200
    assert answer.json() == {
        "us-east": none,
        "eu-west": {**none, "latency_s": 0.25, "refuse_next": 2},
    }
    assert edge.proxies["eu-west"].faults == Faults(latency_s=0.25, refuse_next=2)
    assert edge.proxies["us-east"].faults == Faults()


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"mars": {}}, "mars: no such region; there are us-east, eu-west"),
        ({"us-east": 1}, "us-east: expected an object of faults, got 1"),
        ({"us-east": {"latency": 1}}, "us-east: latency: no such fault"),
        ({"eu-west": {"latency_s": 1}, "us-east": {"refuse_share": 2}}, "us-east: refuse_share"),
    ],
)
def test_faults_without_a_meaning_change_nothing_and_are_named(edge, given, named) -> None:
    answer = edge.client.patch("/faults", json=given)
    assert answer.status_code == 422
    assert named in answer.json()["error"]["message"]
    assert all(proxy.faults == Faults() for proxy in edge.proxies.values())


def test_metrics_come_in_the_format_that_is_asked_for(edge: Edge) -> None:
    edge.proxies["us-east"].counters.ended(503)
    text = edge.client.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(text.text)}
    assert names == {
        "edge_requests",
        "edge_containers",
        "edge_target_concurrency",
        "edge_min_containers",
        "edge_max_containers",
        "edge_buffer_containers",
        "edge_scaleup_window_seconds",
        "edge_scaledown_window_seconds",
        "edge_container_starts",
        "edge_container_boot_duration_seconds",
        "edge_proxy_overhead_seconds",
    }
    assert 'edge_requests_total{code="503",region="us-east"} 1.0' in text.text
    wanted = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = edge.client.get("/metrics", headers=wanted)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_pages_of_other_sites_are_kept_out(edge: Edge) -> None:
    container = edge.container(State.LIVE)
    path = f"/containers/{container.task_id}/kill"
    assert edge.client.post(path, headers={"Origin": "http://evil.example"}).status_code == 403
    assert edge.client.post(path, headers={"Host": "evil.example"}).status_code == 421
    assert container.process.told == []
    assert json.loads(edge.client.get("/events").text) == []
