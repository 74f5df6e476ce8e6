import os
from dataclasses import replace

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import gevent
import pytest
from locust.env import Environment
from locust.runners import WorkerRunner

from flash.local_edge import LocalEdgePlatform
from flash.platform import PlatformUnreachableError
from loadgen.arrival_schedule import ArrivalProcess, RateSchedule
from loadgen.cold_start_policy import ColdStartPolicy
from loadgen.errors import UsageError
from loadgen.generator import Generator, generator_of
from loadgen.objective import parse_objectives
from loadgen.options import Options
from loadgen.request_body import Body
from loadgen.request_file import MOST_NAMES

OPTIONS = Options(flash_urls=("us-east=http://127.0.0.1:1",))


class Connected(WorkerRunner):
    """A worker whose init goes on."""

    def __init__(self) -> None:
        pass

    def __del__(self) -> None:
        pass


def test_an_environment_without_a_generator_says_how_to_get_one():
    with pytest.raises(RuntimeError, match=r"fire environment\.events\.init"):
        generator_of(Environment())


@pytest.mark.parametrize(
    ("options", "objective"),
    [
        (OPTIONS, None),
        (
            replace(OPTIONS, objectives=parse_objectives("p99<50ms, errors<1%")),
            "p99<50ms,errors<1%",
        ),
        (replace(OPTIONS, find_capacity=parse_objectives("p95<=1s")), "p95<=1s"),
    ],
)
def test_a_run_tells_its_objectives(options, objective):
    generator = Generator(Environment(), options)
    generator.run_started()
    assert generator.runs[-1].info.get("objective") == objective


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (OPTIONS, {"load_model": "closed", "cold_start_policy": "retry"}),
        (
            replace(OPTIONS, arrival_rate=RateSchedule.parse("5"), cold_start_timeout_s=7.5),
            {"load_model": "open", "arrival_process": "constant", "cold_start_timeout": "7.5"},
        ),
        (
            replace(
                OPTIONS,
                find_capacity=parse_objectives("p95<1s"),
                arrival_process=ArrivalProcess.POISSON,
                cold_start_policy=ColdStartPolicy.PROBE,
            ),
            {"load_model": "open", "arrival_process": "poisson", "cold_start_policy": "probe"},
        ),
    ],
)
def test_a_run_tells_its_load_model_and_what_its_users_do_on_503(options, told):
    generator = Generator(Environment(), options)
    generator.run_started()
    info = generator.runs[-1].info
    assert told.items() <= info.items()
    assert ("arrival_process" in info) == (info["load_model"] == "open")


def test_a_worker_told_to_start_users_before_its_target_is_known_waits_for_it():
    environment = Environment()
    environment.runner = Connected()
    asking = gevent.spawn(generator_of, environment)
    gevent.sleep(0)
    assert not asking.ready()
    made = Generator(environment, OPTIONS)
    assert asking.get(timeout=10) is made


class Edge(LocalEdgePlatform):
    """A local edge that does not answer to the first questions."""

    def __init__(self, refuses: int) -> None:
        super().__init__("http://127.0.0.1:1")
        self.refuses = refuses

    def flash_urls(self) -> dict[str, str]:
        if self.refuses:
            self.refuses -= 1
            raise PlatformUnreachableError("no local edge answers at http://127.0.0.1:1")
        return {"us-east": "http://127.0.0.1:7401"}


def test_a_local_edge_that_is_still_starting_is_waited_for_and_that_is_told_once(
    monkeypatch, caplog
):
    monkeypatch.setattr("loadgen.generator.resolve_target", lambda *_: Edge(refuses=2))
    assert Generator(Environment(), Options()).urls == {"us-east": "http://127.0.0.1:7401"}
    assert caplog.text.count("no local edge answers at http://127.0.0.1:1; it has 10 s") == 1


def test_a_target_that_is_looked_up_again_is_not_waited_for(monkeypatch):
    generator = Generator(Environment(), OPTIONS)
    monkeypatch.setattr("loadgen.generator.resolve_target", lambda *_: Edge(refuses=1))
    with pytest.raises(PlatformUnreachableError):
        generator.find_target()
    assert generator.urls == {"us-east": "http://127.0.0.1:1"}


def test_locust_s_host_variable_goes_behind_the_other_variables(monkeypatch):
    monkeypatch.setenv("LOCUST_HOST", "http://127.0.0.1:2")
    monkeypatch.setenv("FLASH_URLS", "us-east=http://127.0.0.1:1")
    environment = Environment(host="http://127.0.0.1:2")  # as Locust's parser reads it
    assert Generator(environment, Options()).urls == {"us-east": "http://127.0.0.1:1"}
    monkeypatch.delenv("FLASH_URLS")
    assert Generator(environment, Options()).urls == {"default": "http://127.0.0.1:2"}


def test_locust_s_host_option_goes_before_all_variables(monkeypatch):
    monkeypatch.setenv("FLASH_URLS", "us-east=http://127.0.0.1:1")
    environment = Environment(host="http://127.0.0.1:2")
    assert Generator(environment, Options()).urls == {"default": "http://127.0.0.1:2"}


def test_the_region_of_a_client_is_the_option_else_modal_s_else_none(monkeypatch):
    def told(**given: str) -> str | None:
        options = Options(flash_urls=("us-east=http://127.0.0.1:1",), **given)
        return Generator(Environment(), options).recorder.client_region

    monkeypatch.delenv("MODAL_REGION", raising=False)
    assert told() is None
    monkeypatch.setenv("MODAL_REGION", "us-east-1")
    assert told() == "us-east-1"
    assert told(client_region="us-east") == "us-east"


def test_a_worker_keeps_its_own_region_when_its_master_sends_options(monkeypatch):
    monkeypatch.delenv("MODAL_REGION", raising=False)
    generator = Generator(
        Environment(),
        Options(flash_urls=("us-east=http://127.0.0.1:1",), client_region="us-east"),
    )
    generator.apply(Options(flash_urls=("us-east=http://127.0.0.1:1",), client_region=None))
    assert generator.recorder.channel("us-east", "sticky").client_region == "us-east"


# Traffic.


def paths(generator, count):
    return [generator.traffic.next().path for _ in range(count)]


@pytest.fixture
def request_file(tmp_path):
    file = tmp_path / "requests.jsonl"
    file.write_text("".join(f'{{"path": "/{n}"}}\n' for n in range(4)))
    return file


def test_a_path_alone_is_left_to_the_client_s_short_way():
    assert Generator(Environment(), replace(OPTIONS, path="/work")).traffic is None


def test_options_describe_one_request(tmp_path):
    body = tmp_path / "body.json"
    body.write_bytes(b"{}")
    options = replace(OPTIONS, method="PATCH", path="/work?a=1", body_file=body)
    generator = Generator(Environment(), options)
    request = generator.traffic.next()
    assert generator.traffic.next() is request
    assert (request.method, request.path, request.name) == ("PATCH", "/work?a=1", "/work?a=1")
    assert request.body == Body(b"{}", content_type="application/json")


def test_each_run_takes_a_file_from_the_beginning(request_file):
    options = replace(OPTIONS, request_file=request_file)
    generator = Generator(Environment(), options)
    assert paths(generator, 5) == ["/0", "/1", "/2", "/3", "/0"]
    request_file.unlink()  # it is not read again
    generator.apply(replace(options, think_time_s=2.0))
    assert paths(generator, 2) == ["/0", "/1"]


def test_workers_begin_at_different_places(request_file):
    environment = Environment()
    environment.runner = Connected()
    environment.runner.worker_index = 3
    generator = Generator(environment, replace(OPTIONS, request_file=request_file))
    assert paths(generator, 4) == ["/3", "/0", "/1", "/2"]


def test_a_worker_takes_its_master_s_file_and_headers(request_file):
    generator = Generator(Environment(), OPTIONS)
    config = generator.client_config
    generator.apply(replace(OPTIONS, think_time_s=2.0))
    assert generator.client_config is config  # whose clients share what they prepared
    generator.apply(replace(OPTIONS, request_file=request_file, headers=(("x-a", "1"),)))
    assert paths(generator, 1) == ["/0"]
    assert generator.client_config.headers["x-a"] == "1"


def test_a_file_that_cannot_be_read_changes_nothing(request_file, tmp_path):
    options = replace(OPTIONS, request_file=request_file)
    generator = Generator(Environment(), options)
    with pytest.raises(UsageError, match="there is no file"):
        generator.apply(replace(options, request_file=tmp_path / "none", headers=(("a", "1"),)))
    assert generator.options == options
    assert "a" not in generator.client_config.headers
    with pytest.raises(UsageError, match="there is no file"):
        Generator(Environment(), replace(OPTIONS, body_file=tmp_path / "none"))


def test_headers_go_before_those_that_the_generator_has_by_itself(monkeypatch):
    monkeypatch.setenv("MODAL_PROXY_TOKEN_ID", "wk-1")
    monkeypatch.setenv("MODAL_PROXY_TOKEN_SECRET", "ws-2")
    headers = (("user-agent", "mine"), ("modal-key", "other"))
    config = Generator(Environment(), replace(OPTIONS, headers=headers)).client_config
    merged = {name.lower(): value for name, value in config.headers.items()}
    assert (merged["user-agent"], merged["modal-key"]) == ("mine", "other")
    assert merged["modal-secret"] == "ws-2"


def test_too_many_names_are_told(request_file, caplog):
    request_file.write_text("".join(f'{{"path": "/{n}"}}\n' for n in range(MOST_NAMES + 7)))
    Generator(Environment(), replace(OPTIONS, request_file=request_file))
    assert f"more than {MOST_NAMES} names: 7 of its requests are called (other)" in caplog.text
