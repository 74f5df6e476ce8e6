import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.__main__ import main
from dashboard.config import Config, configuration, option_parser
from dashboard.discovery import container_events, container_targets, fixed_targets, platform_of
from dashboard.errors import ConfigError
from flash.local_edge import LocalEdgePlatform
from flash.modal_platform import ModalPlatform
from flash.platform import Container, ContainerState


def test_with_nothing_given_the_defaults_hold() -> None:
    assert configuration([], {}) == Config()


def test_options_win_over_the_environment_and_lists_are_split() -> None:
    environ = {
        "DASHBOARD_PORT": "1",
        "DASHBOARD_STORE": "/tmp/x.sqlite",
        "DASHBOARD_SCRAPE": "http://a:1/metrics, http://b:2/metrics",
        "DASHBOARD_RAW_RETENTION": "30m",
        "DASHBOARD_TOKEN": "long-enough",
    }
    config = configuration(["--port", "9000", "--host", "0.0.0.0"], environ)
    assert (config.port, config.host, config.store) == (9000, "0.0.0.0", Path("/tmp/x.sqlite"))
    assert config.scrape == ("http://a:1/metrics", "http://b:2/metrics")
    assert config.raw_retention_s == 1800
    assert configuration(["--scrape", "http://c:3/m"], environ).scrape == ("http://c:3/m",)


def test_every_option_names_its_variable() -> None:
    text = " ".join(option_parser().format_help().split())
    for action in option_parser()._actions:
        if action.option_strings != ["-h", "--help"]:
            variable = "DASHBOARD_" + action.dest.upper()
            assert f"[{variable}]" in text


@pytest.mark.parametrize(
    ("arguments", "environ", "why"),
    [
        (["--port", "http"], {}, "--port: expected a number"),
        (["--port", "70000"], {}, "--port: expected a number"),
        (["--scrape", "localhost:9646"], {}, "--scrape: expected an http"),
        (["--flash-edge", "7400"], {}, "--flash-edge: expected an http"),
        (["--retention", "soon"], {}, "--retention: expected a duration"),
        (["--raw-retention", "1s"], {}, "--raw-retention: expected 600 s"),
        (["--locust-url", "javascript:alert(1)"], {}, "--locust-url: expected an http"),
        (["--external-url", "dash.example"], {}, "--external-url: expected an http"),
        (["--external-url", "https://dash.example/x"], {}, "--external-url: .* without a path"),
        (["--host", "0.0.0.0"], {}, "set DASHBOARD_TOKEN"),
        ([], {"DASHBOARD_TOKEN": "a b c d e f g h"}, "DASHBOARD_TOKEN: expected"),
        (["--flash-edge", "http://h:1", "--modal-app", "a"], {}, "name two platforms"),
        (["--store-limit", "500"], {}, "--store-limit: expected a size such as 500MB"),
        (["--store-limit", "1MB"], {}, "--store-limit: expected 10MB"),
        (["--prometheus", "prometheus:9090"], {}, "--prometheus: expected an http"),
        (["--prometheus-interval", "0s"], {}, "--prometheus-interval: expected 0.1 s to 3600 s"),
        ([], {"DASHBOARD_PROMETHEUS_TOKEN": "a b"}, "DASHBOARD_PROMETHEUS_TOKEN: expected"),
        ([], {"DASHBOARD_PROMETHEUS_USER": "me"}, "belong together"),
        ([], {"DASHBOARD_PROMETHEUS_PASSWORD": "pw"}, "belong together"),
        (
            [],
            {"DASHBOARD_PROMETHEUS_USER": "m:e", "DASHBOARD_PROMETHEUS_PASSWORD": "pw"},
            "without a colon",
        ),
        (
            [],
            {
                "DASHBOARD_PROMETHEUS_USER": "me",
                "DASHBOARD_PROMETHEUS_PASSWORD": "pw",
                "DASHBOARD_PROMETHEUS_TOKEN": "t",
            },
            "exclude each other",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(
    arguments: list[str], environ: dict[str, str], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        configuration(arguments, environ)


def test_no_secret_shows_anywhere() -> None:
    secret = "open-sesame"
    for names in (
        ("DASHBOARD_TOKEN",),
        ("DASHBOARD_PROMETHEUS_TOKEN",),
        ("DASHBOARD_PROMETHEUS_USER", "DASHBOARD_PROMETHEUS_PASSWORD"),
    ):
        assert secret not in repr(configuration([], dict.fromkeys(names, secret)))
    for environ in (
        {"DASHBOARD_PROMETHEUS_TOKEN": f"{secret} 2"},
        {"DASHBOARD_PROMETHEUS_PASSWORD": secret},
    ):
        with pytest.raises(ConfigError) as refused:
            configuration([], environ)
        assert secret not in str(refused.value)


def test_a_size_is_read_with_its_unit() -> None:
    told = {"500MB": 500 * 10**6, "1.5gb": 15 * 10**8, "64MiB": 64 << 20, "20000kB": 2 * 10**7}
    for text, size in told.items():
        assert configuration(["--store-limit", text], {}).store_limit_bytes == size


def test_the_host_of_the_external_address_is_one_of_ours() -> None:
    config = configuration(
        ["--external-url", "https://Dash.example:8443/", "--allowed-host", "other.example"], {}
    )
    assert config.external_url == "https://Dash.example:8443"
    assert config.host_names == ("other.example", "127.0.0.1", "dash.example")
    assert configuration([], {}).host_names == ("127.0.0.1",)


def test_a_prometheus_is_named_with_its_interval_and_credentials() -> None:
    config = configuration(
        ["--prometheus", "https://h/prometheus/"],
        {
            "DASHBOARD_PROMETHEUS_INTERVAL": "15s",
            "DASHBOARD_PROMETHEUS_USER": "me",
            "DASHBOARD_PROMETHEUS_PASSWORD": "pw",
        },
    )
    assert (config.prometheus, config.prometheus_interval_s) == ("https://h/prometheus", 15.0)
    assert (config.prometheus_user, config.prometheus_password) == ("me", "pw")


def test_by_default_load_generator_and_edge_are_scraped_and_the_edge_may_be_absent() -> None:
    told = [(target.job, target.url, target.optional) for target in fixed_targets(Config())]
    assert told == [
        ("loadgen", "http://127.0.0.1:9646/metrics", False),
        ("edge", "http://127.0.0.1:7400/metrics", True),
    ]
    assert isinstance(platform_of(Config()), LocalEdgePlatform)


def test_what_is_named_is_scraped_and_nothing_else() -> None:
    only = configuration(["--scrape", "http://127.0.0.1:1/metrics"], {})
    assert [target.url for target in fixed_targets(only)] == ["http://127.0.0.1:1/metrics"]
    assert platform_of(only) is None
    edge = configuration(["--flash-edge", "http://127.0.0.1:7500"], {})
    assert [(target.url, target.optional) for target in fixed_targets(edge)] == [
        ("http://127.0.0.1:9646/metrics", False),
        ("http://127.0.0.1:7500/metrics", False),
    ]


def test_modal_needs_both_names() -> None:
    whole = configuration(["--modal-app", "a", "--modal-cls", "C"], {})
    assert isinstance(platform_of(whole), ModalPlatform)
    with pytest.raises(ConfigError, match="--modal-cls"):
        platform_of(configuration(["--modal-app", "a"], {}))


def container(task_id: str, state: ContainerState, **more: float) -> Container:
    return Container(
        task_id=task_id,
        url=f"http://127.0.0.1:90{task_id[-1]}",
        state=state,
        region="us-east",
        **more,
    )


def test_containers_are_scraped_directly_once_they_can_answer() -> None:
    found = container_targets(
        [container("ta-1", ContainerState.STARTING), container("ta-2", ContainerState.DRAINING)]
    )
    assert [(target.key, target.url) for target in found] == [
        ("container ta-2", "http://127.0.0.1:902/metrics")
    ]
    assert found[0].labels == {"container": "ta-2", "region": "us-east"}


def test_what_happened_to_containers_is_told_once_with_its_own_time() -> None:
    before = [container("ta-1", ContainerState.LIVE), container("ta-3", ContainerState.LIVE)]
    after = [
        container("ta-1", ContainerState.DRAINING),
        container("ta-2", ContainerState.LIVE, started_at=38.5, ready_at=40.0),
    ]
    events = container_events(before, after, 50.0)
    assert [(event.kind, event.at, event.labels["container"]) for event in events] == [
        ("container_draining", 50.0, "ta-1"),
        ("container_starting", 38.5, "ta-2"),
        ("container_live", 40.0, "ta-2"),
        ("container_gone", 50.0, "ta-3"),
    ]
    assert container_events(after, after, 51.0) == []


OPTIONS = [
    option for action in option_parser()._actions for option in action.option_strings
    if option.startswith("--") and option != "--help"
]  # fmt: skip
VARIABLES = [
    *("DASHBOARD_" + option[2:].upper().replace("-", "_") for option in OPTIONS),
    "DASHBOARD_TOKEN",
    "DASHBOARD_TOKEN_FILE",
    "DASHBOARD_PROMETHEUS_TOKEN",
    "DASHBOARD_PROMETHEUS_USER",
    "DASHBOARD_PROMETHEUS_PASSWORD",
]
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
    st.from_regex(r"-?[0-9]{1,400}(\.[0-9]{1,400})?[smhd]?([kKmMgG]i?[bB])?", fullmatch=True),
    st.sampled_from([
        "http://h", "http://[::1", "http://h:99999", "http://h:0", "http://\u00fc.example/m",
        "http://u:p@h", "https://h/?q", "http://", "javascript:1", "::", "::1", "0.0.0.0",
        "localhost", "1e9", "\u0661", "", " ", "a,b", "us-east", "--port", "@file",
    ]),
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(OPTIONS), VALUES), max_size=3),
    st.dictionaries(st.sampled_from(VARIABLES), VALUES, max_size=3),
)
def test_whatever_is_given_is_a_configuration_or_refused_in_one_line_that_says_where(
    options: list[tuple[str, str]], environ: dict[str, str]
) -> None:
    arguments = [part for option, value in options for part in (f"{option}={value}",)]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = configuration(arguments, environ)
            platform_of(config)
    except SystemExit:
        assert "error: " in said.getvalue()  # argparse's own, which names the option
        return
    except ConfigError as refused:
        names = [*(option for option, _ in options), *environ]
        names += ["--" + name[10:].lower().replace("_", "-") for name in environ]
        told = str(refused)
        # A message may be of the one that is missing.
        assert any(name in told for name in (*names, "--modal-cls", "--modal-app")), told
        assert "\n" not in told.replace(repr("\n"), "")
        return
    assert fixed_targets(config)
    assert config.port in range(65536)
    assert 1 <= config.series_limit <= 65536
    assert config.retention_s >= 600


SUB_COMMANDS = {
    "check": ("--slo", "--store", "--json", "--junit", "RUN"),
    "report": ("--output", "--store", "RUN"),
    "export": ("--output", "--format", "--store", "RUN"),
}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_sub_command_is_given_is_refused_in_one_line_where_there_is_no_store(
    data: st.DataObject,
) -> None:
    command = data.draw(st.sampled_from(sorted(SUB_COMMANDS)))
    slo = st.sampled_from(
        ["p99 < 1s", "p101 < 1s", "errors < 1", "p50(us-east) >= 1%", "x", "p99<"]
    )
    given = data.draw(
        st.lists(st.tuples(st.sampled_from(SUB_COMMANDS[command]), VALUES | slo), max_size=4)
    )
    arguments = [value if option == "RUN" else f"{option}={value}" for option, value in given]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            status = main([command, *arguments], {"DASHBOARD_STORE": "/nowhere/s.sqlite"})
    except SystemExit as ended:
        status = int(ended.code or 0)
    assert status == (0 if "-h" in arguments else 2)
    told = said.getvalue()
    assert told.startswith(("dashboard: ", "usage: ")) or not told
    assert "Traceback" not in told
