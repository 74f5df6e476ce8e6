"""What the documentation says is what there is: options, metrics, routes, links, examples."""

import argparse
import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import pytest
from fastapi import FastAPI
from locust.argument_parser import get_parser
from locust.env import Environment
from prometheus_client import CollectorRegistry

import benchmarks.bench_cold_starts
import dashboard.advise
import dashboard.check
import dashboard.compare
import dashboard.config
import dashboard.export
import dashboard.report
import flash.__main__
import flash.edge.config
import target_app.config
from dashboard.judgement import Status
from dashboard.measurement import LATEST_LOOK_S
from dashboard.own_metrics import OwnMetrics
from dashboard.panels import PANELS
from dashboard.refusal_cause import Cause
from dashboard.routes import router
from flash import generator_limit
from flash.autoscaler import AutoscalerSettings
from flash.buckets import BOUNDS_S
from flash.edge.admin import create_admin
from flash.edge.counters import EdgeCollector, RegionCounters, StartCounters
from flash.edge.exposition import page
from flash.edge.faults import Faults
from flash.objective import Measure, Objective
from flash.platform import ContainerState
from flash.regions import ROUTING_REGIONS, round_trip_s
from flash.target import TargetOptions
from loadgen.arrival_schedule import ArrivalProcess, RateSchedule
from loadgen.exposition import TEXT, Process, Run, render
from loadgen.generator import Generator
from loadgen.ledger import Ledger
from loadgen.options import Options
from loadgen.plugin import install
from loadgen.recorder import CHANNEL_HISTOGRAMS, Recorder
from loadgen.request_body import Body
from loadgen.request_file import KEYS, parse_requests
from loadgen.run_watch import RunWatch
from loadgen.summary_json import summary_json
from loadgen.worker_roll import WorkerRoll
from target_app.app import create_app
from target_app.deployment import Deployment
from target_app.metrics import ROUTES
from target_app.parameters import GENERATE, WORK

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, *DOCS]


def text_of(page: str) -> str:
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """What stands below a heading of the second level, up to the next one."""
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"there is no section {heading!r}"
    return found[1]


def rows(text: str, first: str) -> list[list[str]]:
    """The rows of the one table whose first column is headed ``first``; no backticks."""
    lines = text.splitlines()
    starts = [n for n, line in enumerate(lines) if line.startswith(f"| {first} |")]
    assert len(starts) == 1, f"{len(starts)} tables begin with a column {first!r}"
    found = []
    for line in lines[starts[0] + 2 :]:
        if not line.startswith("|"):
            break
        cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
        found.append([cell.strip().replace("`", "").replace(r"\|", "|") for cell in cells])
    return found


# Options.


class Option(NamedTuple):
    """An option as a parser's help, or the documentation, tells it."""

    name: str
    variable: str
    default: str


def options_of(actions: list[argparse.Action]) -> set[Option]:
    found = set()
    for action in actions:
        told = " ".join((action.help or "").split())
        variable = re.search(r"\[(?:env )?([A-Z_]+)", told)
        default = re.search(r"\(default:? ([^;)]*)", told)
        given = getattr(action, "env_var", None) or (variable[1] if variable else "none")
        name = action.option_strings[-1] if action.option_strings else str(action.metavar)
        found.add(Option(name, given, default[1] if default else "none"))
    return found


def own_actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """All but those without help text, ``--help`` and positional arguments with fixed choices."""
    return [
        action
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        and not isinstance(action, argparse._HelpAction)
        and (action.option_strings or action.choices is None)
    ]


def locust_parser() -> argparse.ArgumentParser:
    """Locust's own, to which the plugin adds ours."""
    install()
    parser: argparse.ArgumentParser = get_parser()
    return parser


def loadgen_actions() -> list[argparse.Action]:
    return [
        action
        for group in locust_parser()._action_groups
        if (group.title or "").startswith("flashgauge: ")
        for action in group._group_actions
    ]


def demo_parser() -> argparse.ArgumentParser:
    spec = importlib.util.spec_from_file_location("flashgauge_demo", ROOT / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parser: argparse.ArgumentParser = module._parser()
    return parser


COMMANDS = {
    "`locust -f loadgen`": loadgen_actions,
    "`python -m dashboard`": lambda: own_actions(dashboard.config.option_parser()),
    "`python -m dashboard advise`": lambda: own_actions(dashboard.advise.option_parser()),
    "`python -m dashboard check`": lambda: own_actions(dashboard.check.option_parser()),
    "`python -m dashboard compare`": lambda: own_actions(dashboard.compare.option_parser()),
    "`python -m dashboard export`": lambda: own_actions(dashboard.export.option_parser()),
    "`python -m dashboard report`": lambda: own_actions(dashboard.report.option_parser()),
    "`python -m flash.edge`": lambda: own_actions(flash.edge.config.option_parser()),
    "`python -m target_app`": lambda: own_actions(target_app.config._parser()),
    "`python -m flash`": lambda: own_actions(flash.__main__._parser()),
    "`demo.py`": lambda: own_actions(demo_parser()),
}


def documented_options(command: str) -> list[Option]:
    return [
        Option(name.split()[0], variable, default)
        for name, variable, default, _ in rows(section(text_of("options.md"), command), "option")
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_documented_with_its_variable_and_default_and_no_other_is(command):
    documented = documented_options(command)
    assert len(documented) == len(set(documented))
    assert set(documented) == options_of(COMMANDS[command]())


def edge_configured(arguments: list[str], environ: dict[str, str]) -> object:
    return flash.edge.config.configuration(arguments, environ)


def dashboard_configured(arguments: list[str], environ: dict[str, str]) -> object:
    return dashboard.config.configuration(arguments, environ)


def target_configured(arguments: list[str], environ: dict[str, str]) -> object:
    return target_app.config.Config.from_command_line(arguments, environ, container="ta-1")


def loadgen_configured(arguments: list[str], environ: dict[str, str]) -> object:
    parsed = locust_parser().parse_known_args(arguments, env_vars=environ)[0]
    return Options.of(parsed), TargetOptions.from_env(environ)


CONFIGURED = {
    "`locust -f loadgen`": loadgen_configured,
    "`python -m dashboard`": dashboard_configured,
    "`python -m flash.edge`": edge_configured,
    "`python -m target_app`": target_configured,
}

IN_WORDS = {"--rtt", "--max-concurrency", "--container-header", "COMMAND"}
"""Options whose default has no value that could be passed."""


def all_options() -> list[tuple[str, Option]]:
    return [(command, option) for command in CONFIGURED for option in documented_options(command)]


def options_with_values() -> list[tuple[str, Option]]:
    """Those whose default could be passed: not none, and not told in words."""
    return [
        (command, option)
        for command, option in all_options()
        if option.default != "none" and option.name not in IN_WORDS and " " not in option.default
    ]


def name_of(case: object) -> str:
    return case.name if isinstance(case, Option) else str(case).strip("`")


@pytest.mark.parametrize(("command", "option"), all_options(), ids=name_of)
def test_the_documented_variable_is_read(command, option, capsys):
    configured = CONFIGURED[command]
    try:
        changed = configured([], {option.variable: "17"})
    except (Exception, SystemExit):  # refused, so it was read
        return
    assert changed != configured([], {})


@pytest.mark.parametrize(("command", "option"), options_with_values(), ids=name_of)
def test_the_documented_default_is_what_holds_when_nothing_is_given(command, option):
    configured = CONFIGURED[command]
    if option.name == "--scrape":
        assert configured([], {}).scrape == (option.default,)
    else:
        assert configured([option.name, option.default], {}) == configured([], {})


def test_pages_name_no_option_that_no_command_has():
    ours = {
        option
        for actions in COMMANDS.values()
        for action in actions()
        for option in action.option_strings
    }
    ours |= on_modal_options().keys()
    ours |= set(benchmarks.bench_cold_starts._parser()._option_string_actions)
    locusts = {name for action in locust_parser()._actions for name in action.option_strings}
    composes = {"--detach", "--env-file", "--rmi", "--scale", "--volumes", "--wait"}
    others = {"--help"} | composes
    for page_ in PAGES:
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page_.read_text(encoding="utf-8")))
        assert named <= ours | locusts | others, page_.name


def on_modal_options() -> dict[str, object]:
    """The parameters of ``modal run -m loadgen.on_modal``, with their defaults."""
    source = (ROOT / "loadgen" / "on_modal" / "__init__.py").read_text(encoding="utf-8")
    (main,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    values = [ast.literal_eval(default) for default in main.args.defaults]
    names = ["--" + argument.arg.replace("_", "-") for argument in main.args.args]
    return dict(zip(names, values, strict=True))


def test_the_options_on_modal_are_documented_with_their_defaults():
    def told(default: object) -> str:
        if isinstance(default, float):
            return f"{default:g}"
        return "none" if default == "" else "off" if default is False else str(default)

    listed = {
        row[0].split()[0]: row[1]
        for row in rows(section(text_of("options.md"), "`modal run -m loadgen.on_modal`"), "option")
    }
    assert listed.pop("--regions") == "those of the flash URLs"
    assert listed == {
        name: told(default) for name, default in on_modal_options().items() if name != "--regions"
    }


def test_every_variable_that_the_code_reads_is_documented_and_no_other_is():
    pattern = r"\b(?:FLASH|DASHBOARD|LOADGEN|TARGET|MODAL)_[A-Z_]*[A-Z]\b"
    read = {option.variable for _, option in all_options()} | {
        option.variable for option in documented_options("`python -m flash`")
    }
    for package in ("dashboard", "flash", "loadgen", "target_app"):
        for source in (ROOT / package).rglob("*.py"):
            literals = [
                node.value
                for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
            read |= {text for text in literals if re.fullmatch(pattern, text)}
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    read |= set(re.findall(rf"^ +({pattern}):$", compose, re.M))  # passed on as they are
    documented = set().union(*(re.findall(pattern, p.read_text(encoding="utf-8")) for p in PAGES))
    assert read - {"none", "PORT"} == documented


def test_the_variables_of_a_deployment_are_documented_with_their_defaults():
    told = Deployment.from_env({}).container_environment()
    del told["TARGET_GRACE_S"]  # the container's own, not the deploying command's
    on_modal = section(text_of("target_app.md"), "On Modal")
    assert {name: default for name, _, default in rows(on_modal, "variable")} == told


# Traffic.


def test_the_example_of_a_configuration_is_one_that_locust_reads():
    path = ROOT / "docs" / "locust.conf"
    install()
    parsed = get_parser(default_config_files=[str(path)]).parse_args([], env_vars={})
    assert (parsed.locustfile, parsed.num_users, parsed.run_time) == ("loadgen", 200, 300)
    assert (parsed.headless, parsed.stop_timeout, parsed.processes) == (True, 60, 2)
    assert Options.of(parsed) == Options(
        modal_app="flashgauge-target",
        modal_cls="TargetServer",
        method="POST",
        path="/v1/chat",
        body_file=Path("prompt.json"),
        headers=(("x-tenant", "load-test"), ("accept", "text/event-stream")),
        cold_start_timeout_s=180.0,
        arrival_rate=RateSchedule(((0.0, 10.0), (60.0, 10.0), (120.0, 100.0))),
        arrival_process=ArrivalProcess.POISSON,
    )


def test_every_key_of_a_request_file_is_documented_and_no_other_is():
    listed = [key for key, _, _ in rows(text_of("load.md"), "key")]
    assert sorted(listed) == sorted(KEYS)


def test_the_example_of_a_request_file_is_one():
    (example,) = re.findall(r"^```jsonl\n(.*?)^```", text_of("load.md"), re.M | re.S)
    found = parse_requests(example.encode().splitlines(), lambda name: Body(name.encode()))
    assert found.bad == ()
    assert [(one.method, one.name) for one in found.requests] == [
        ("GET", "/v1/models"),
        ("POST", "chat"),
        ("PUT", "/v1/images/7"),
    ]


# Metrics.


class Metric(NamedTuple):
    """A family as a page exposes it, or the documentation tells it."""

    name: str
    type: str
    labels: frozenset[str]


def exposed(page_text: str) -> set[Metric]:
    """The families of a page; without those of prometheus-client's own."""
    labels: dict[str, set[str]] = {}
    for name, written in re.findall(r"^([a-z_]+)(?:\{(.*)\})? ", page_text, re.M):
        labels.setdefault(name, set()).update(re.findall(r'(\w+)="', written))
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", page_text, re.M):
        sample = f"{name}_bucket" if kind == "histogram" else name
        if not name.endswith("_created") and not name.startswith(("process_", "python_")):
            assert sample in labels, f"{name} has no sample: this test must give it one"
            found.add(Metric(name, kind, frozenset(labels[sample] - {"le"})))
    return found


def loadgen_page() -> str:
    generator = Generator(Environment(), Options(flash_urls=("us-east=http://127.0.0.1:1",)))
    channel = generator.recorder.channel("us-east", "sticky")
    channel.answered(200, 0.0, 0.0, 0.1, 0.2)
    for name in CHANNEL_HISTOGRAMS:
        getattr(channel, name).record(0.1)
    generator.recorder.connects("us-east").record(0.1)
    generator.recorder.windows["us-east"].record(0.1)
    generator.run_started()
    process = Process(
        arrival_rate=1.0,
        cpu_ratio={"local": 0.1},
        workers=1,
        worker_reports=Ledger().results,
        worker_changes=WorkerRoll().changes,
        started=1.0,
    )
    return render(generator.recorder, generator.runs, process, TEXT).decode()


def target_page() -> str:
    config = target_app.config.Config(container="ta-1", region="us-east-1", cloud="aws")
    app = create_app(config, registry=CollectorRegistry())
    app.metrics.ended("/", 200, 0.1)
    return app.metrics.exposition("text/plain")[0].decode()


def edge_page() -> str:
    counters, starts = RegionCounters(), StartCounters()
    counters.ended(200)
    registry = CollectorRegistry()
    states = {"starting": 0, "live": 1, "draining": 0}
    collector = EdgeCollector(
        {"us-east": counters}, starts, lambda: states, AutoscalerSettings, registry
    )
    return page(registry, collector, "text/plain")[0].decode()


def dashboard_page() -> str:
    metrics = OwnMetrics()
    metrics.scraped("loadgen", 0.1, good=False)
    metrics.container_counts = {("us-east", state): 1 for state in ContainerState}
    return metrics.exposition().decode()


@pytest.mark.parametrize(
    ("heading", "made"),
    [
        ("Load generator", loadgen_page),
        ("Target app", target_page),
        ("Local edge", edge_page),
        ("Dashboard", dashboard_page),
    ],
)
def test_every_metric_is_documented_with_type_and_labels_and_no_other_is(heading, made):
    documented = [
        Metric(name, kind, frozenset(labels.split(", ")) - {"none"})
        for name, kind, labels, _ in rows(section(text_of("metrics.md"), heading), "metric")
        if not name.startswith("process_")
    ]
    assert len(documented) == len(set(documented))
    assert set(documented) == exposed(made())


@pytest.mark.parametrize("made", [loadgen_page, target_page, edge_page, dashboard_page])
def test_promtool_has_nothing_to_say_against_a_page(made, program):
    done = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=made(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_outcomes_and_states_are_documented_as_they_are_exposed():
    outcomes = set(re.findall(r'loadgen_requests_total\{.*outcome="(\w+)"', loadgen_page()))
    listed = rows(section(text_of("metrics.md"), "Load generator"), "outcome")
    assert {outcome for outcome, _ in listed} == outcomes
    edge = {row[0]: row[3] for row in rows(section(text_of("metrics.md"), "Local edge"), "metric")}
    own = {row[0]: row[3] for row in rows(section(text_of("metrics.md"), "Dashboard"), "metric")}
    for meaning in (edge["edge_containers"], own["dashboard_containers"]):
        assert re.findall(r"\b(starting|live|draining)\b", meaning) == [*ContainerState]
    for result in StartCounters().results:
        assert result in edge["edge_container_starts_total"]


def test_the_bucket_layouts_are_documented():
    told = text_of("metrics.md")
    assert f"{len(BOUNDS_S)} bounds" in told
    assert (BOUNDS_S[0], BOUNDS_S[-1]) == (2.0**-13, 2.0**7)
    assert "from 2^-13 s (0.12 ms) to 2^7 s (128 s)" in told
    coarse = re.findall(r'scrape_duration_seconds_bucket\{.*le="([0-9.]+)"', dashboard_page())
    listed = "5, 10, 25, 50, 100, 250, 500 ms, 1, 2.5 and 5 s"
    assert listed in told
    ms, s = listed.split(" ms, ")
    assert [float(bound) for bound in coarse] == [
        *(float(n) / 1e3 for n in re.findall(r"[0-9.]+", ms)),
        *(float(n) for n in re.findall(r"[0-9.]+", s)),
    ]


# Interfaces.


def test_every_panel_is_documented():
    listed = [tuple(row[:3]) for row in rows(text_of("dashboard.md"), "panel")]
    assert listed == [(panel.id, panel.unit, panel.metric) for panel in PANELS.values()]


def test_every_cause_of_503s_is_documented_and_no_other_is():
    listed = [cause for cause, _ in rows(section(text_of("dashboard.md"), "Why 503s"), "cause")]
    assert sorted(listed) == sorted(Cause)


def test_every_measure_of_an_objective_is_documented_and_no_other_is():
    bounds = {"%": "1%", "/s": "1/s", "none": "1"}
    listed = [
        Objective.parse(f"{name} < {bounds.get(row[1], '1s')}").measure
        for row in rows(section(text_of("dashboard.md"), "Objectives"), "metric")
        for name in row[0].split(", ")
        if name != "..."
    ]
    assert list(dict.fromkeys(listed)) == list(Measure)


def test_the_objectives_in_the_pages_are_some():
    for page_ in PAGES:
        for text in re.findall(r"--slo '([^']+)'", page_.read_text(encoding="utf-8")):
            assert str(Objective.parse(text)) == text


def test_every_status_of_a_check_is_documented():
    listed = [int(row[0]) for row in rows(text_of("ci.md"), "status")]
    assert listed == [int(status) for status in Status]
    assert f"the run's first {LATEST_LOOK_S:g} s were not watched" in text_of("ci.md")


def test_every_path_of_the_dashboard_is_documented_and_no_other_is():
    app = FastAPI()
    app.include_router(router)
    there = {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    beside = {("GET", "/"), ("GET", "/metrics"), ("GET", "/openapi.json")}
    assert documented_routes("dashboard.md") == there | beside


def test_every_path_of_the_edge_s_admin_interface_is_documented_and_no_other_is():
    app = create_admin(None, {}, {}, lambda accept: (b"", ""))  # only its routes are looked at
    there = set()
    for route in app.routes:
        for method in route.methods - {"HEAD"}:
            for action in ("kill", "stop") if "{action}" in route.path else ("",):
                there.add((method, route.path.replace("{action}", action)))
    assert documented_routes("edge.md") == there


def documented_routes(page_name: str) -> set[tuple[str, str]]:
    listed = [tuple(row[0].split()) for row in rows(text_of(page_name), "request")]
    assert len(listed) == len(set(listed))
    return {(method, path.partition("?")[0]) for method, path in listed}


def test_every_setting_and_fault_of_the_edge_is_documented_with_its_default():
    def told(defaults: object, first: str) -> None:
        listed = {row[0]: row[1] for row in rows(text_of("edge.md"), first)}
        fields = {name: getattr(defaults, name) for name in type(defaults).__slots__}
        assert listed == {name: f"{value:g}" for name, value in fields.items()}

    told(AutoscalerSettings(), "setting")
    told(Faults(), "fault")


def test_the_distances_of_the_edge_are_documented():
    listed = {row[0]: row[1] for row in rows(text_of("edge.md"), "region")}
    assert listed == {
        region: f"{round_trip_s(region, 'us-east') * 1e3:g} ms" for region in ROUTING_REGIONS
    }


def test_every_route_of_the_target_app_is_documented():
    assert {row[0].split()[-1] for row in rows(text_of("target_app.md"), "request")} == set(ROUTES)


def test_every_parameter_of_the_target_app_is_documented_with_its_bounds():
    def number(text: str) -> float:
        return float(text.replace(",", ""))

    listed = {
        (route, name): (*map(number, between.split(" to ")), number(default))
        for route, name, between, default, _ in rows(text_of("target_app.md"), "route")
    }
    assert listed == {
        (route, name): (bounds.least, bounds.most, bounds.default)
        for route, parameters in (("/work", WORK), ("/generate", GENERATE))
        for name, bounds in parameters.items()
    }


# Pages.


def anchors(page_: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", page_.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page_", PAGES, ids=lambda page_: page_.name)
def test_links_lead_somewhere(page_):
    links = re.findall(r"\]\(([^)\s]+)\)", page_.read_text(encoding="utf-8"))
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page_.parent / path).resolve() if path else page_
        assert target.is_file(), link
        assert target.is_relative_to(ROOT.resolve()), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_leads_to_every_page():
    told = README.read_text(encoding="utf-8")
    assert [f"docs/{page_.name}" for page_ in DOCS if f"(docs/{page_.name})" not in told] == []


def examples() -> list[tuple[str, str]]:
    return [
        (f"{page_.name} {number}", code)
        for page_ in PAGES
        for number, code in enumerate(
            re.findall(r"^```python\n(.*?)^```", page_.read_text(encoding="utf-8"), re.M | re.S)
        )
    ]


@pytest.mark.parametrize(("place", "code"), examples(), ids=lambda text: text.partition("\n")[0])
def test_examples_run_and_define_users_with_tasks(place, code):
    from locust import User

    defined: dict[str, object] = {}
    exec(compile(code, place, "exec"), defined)
    users = [
        made
        for made in defined.values()
        if isinstance(made, type) and issubclass(made, User) and not made.abstract
    ]
    assert users
    assert all(user.tasks for user in users)


def test_the_guide_shows_the_locustfile_that_is_there():
    there = (ROOT / "docs" / "chat_completions.py").read_text(encoding="utf-8")
    assert there in [code for place, code in examples() if place.startswith("load.md")]


def test_the_rules_for_the_generator_s_limit_are_documented_with_their_numbers():
    told = section(text_of("load.md"), "The end of a run")
    assert f"used {generator_limit.CPU_LIMIT * 100:g} % of a core or more" in told
    shares = {0.1: "more than a tenth of the latency", 0.01: "one in a hundred arrivals or more"}
    assert shares[generator_limit.LAG_SHARE] in told
    assert shares[generator_limit.WAITED_SHARE] in told
    assert generator_limit.LAG_FLOOR_S == 0.001
    assert "by more than a millisecond" in told
    for limit in generator_limit.Limit:
        assert f"`{limit.value}`" in told


def test_every_key_of_the_summary_as_json_is_documented():
    recorder = Recorder()
    recorder.channel("us-east", "sticky")
    summary = RunWatch(recorder, {}).summary(Run("r1", 1.0, 2.0), None, now=2.0)
    document = json.loads(summary_json(summary))
    told = section(text_of("load.md"), "The end of a run")

    def listed(first: str) -> set[str]:
        return {key for row in rows(told, first) for key in row[0].split(", ")}

    assert listed("key of a run") == set(document)
    assert listed("key of a row") == set(document["totals"])
    assert set(document["rows"][0]) == {
        "client_region",
        "region",
        "routing",
        *document["totals"],
    }
    for name in ("totals", "generator"):
        histogram = document[name].get("request_duration", document[name])
        assert [key for key in histogram if f"`{key}`" not in told] == []


def test_there_is_an_example_of_a_locustfile_in_the_readme():
    assert any(place.startswith("README.md") for place, _ in examples())
    assert "from loadgen import FlashUser" in README.read_text(encoding="utf-8")


def test_the_commands_of_the_readme_are_targets_of_the_makefile():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", README.read_text(encoding="utf-8"), re.M))
    assert {"demo", "test"} <= named <= targets
