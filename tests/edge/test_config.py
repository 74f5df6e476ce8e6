"""The edge's configuration: defaults, options before variables, and what is refused by name."""

import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flash.autoscaler import AutoscalerSettings
from flash.edge.config import Config, configuration, option_parser
from flash.edge.errors import ConfigError


def test_the_defaults_are_the_documented_ones() -> None:
    config = configuration([], {})
    assert config == Config(rtt_s={"us-east": 0.002, "eu-west": 0.075, "ap-south": 0.195})
    assert config.regions == ("us-east", "eu-west", "ap-south")
    assert (config.host, config.admin_port, config.first_port) == ("127.0.0.1", 7400, 7401)
    assert config.autoscaler == AutoscalerSettings(
        min_containers=0,
        max_containers=4,
        buffer_containers=0,
        target_concurrency=8,
        scaleup_window=0,
        scaledown_window=60,
    )
    assert config.max_concurrency is None
    assert config.startup_timeout_s == 30
    assert config.exit_grace_period_s == 5
    assert config.boot_delay_s == 1
    assert config.container_region == "us-east"
    assert config.command == (sys.executable, "-m", "target_app")


def test_every_option_of_the_contract_is_read() -> None:
    config = configuration(
        (
            "--region eu-west --region us-west --host 127.0.0.2 --admin-port 9000 --first-port 9001"
            " --min-containers 1 --max-containers 6 --buffer-containers 2 --target-concurrency 3"
            " --max-concurrency 9 --scaleup-window 4 --scaledown-window 50 --startup-timeout 7"
            " --exit-grace-period 8 --boot-delay 0.25 --container-region eu --rtt eu-west=0.003"
            " --container-output discard --allowed-host edge.example -- serve --port 1 -- more"
        ).split(),
        {},
    )
    assert config == Config(
        regions=("eu-west", "us-west"),
        host="127.0.0.2",
        admin_port=9000,
        first_port=9001,
        autoscaler=AutoscalerSettings(
            min_containers=1,
            max_containers=6,
            buffer_containers=2,
            target_concurrency=3,
            scaleup_window=4,
            scaledown_window=50,
        ),
        max_concurrency=9,
        startup_timeout_s=7,
        exit_grace_period_s=8,
        boot_delay_s=0.25,
        container_region="eu",
        rtt_s={"eu-west": 0.003, "us-west": 0.13},
        allowed_hosts=("edge.example",),
        container_output=False,
        command=("serve", "--port", "1", "--", "more"),
    )


VARIABLES = {
    "FLASH_EDGE_REGIONS": "eu-west, us-west",
    "FLASH_EDGE_HOST": "127.0.0.2",
    "FLASH_EDGE_ADMIN_PORT": "9000",
    "FLASH_EDGE_FIRST_PORT": "9001",
    "FLASH_EDGE_MIN_CONTAINERS": "1",
    "FLASH_EDGE_MAX_CONTAINERS": "6",
    "FLASH_EDGE_BUFFER_CONTAINERS": "2",
    "FLASH_EDGE_TARGET_CONCURRENCY": "2.5",
    "FLASH_EDGE_MAX_CONCURRENCY": "9",
    "FLASH_EDGE_SCALEUP_WINDOW": "4",
    "FLASH_EDGE_SCALEDOWN_WINDOW": "50",
    "FLASH_EDGE_STARTUP_TIMEOUT": "7",
    "FLASH_EDGE_EXIT_GRACE_PERIOD": "8",
    "FLASH_EDGE_BOOT_DELAY": "0.25",
    "FLASH_EDGE_CONTAINER_REGION": "eu",
    "FLASH_EDGE_RTT": "eu-west=0.003, us-west=0.004",
    "FLASH_EDGE_CONTAINER_OUTPUT": "discard",
    "FLASH_EDGE_ALLOWED_HOSTS": "edge.example,b.example",
    "FLASH_EDGE_COMMAND": "serve 'a b'",
}


def test_every_option_has_a_variable() -> None:
    config = configuration([], VARIABLES)
    assert config == Config(
        regions=("eu-west", "us-west"),
        host="127.0.0.2",
        admin_port=9000,
        first_port=9001,
        autoscaler=AutoscalerSettings(
            min_containers=1,
            max_containers=6,
            buffer_containers=2,
            target_concurrency=2.5,
            scaleup_window=4,
            scaledown_window=50,
        ),
        max_concurrency=9,
        startup_timeout_s=7,
        exit_grace_period_s=8,
        boot_delay_s=0.25,
        container_region="eu",
        rtt_s={"eu-west": 0.003, "us-west": 0.004},
        allowed_hosts=("edge.example", "b.example"),
        container_output=False,
        command=("serve", "a b"),
    )


def test_help_names_the_variable_of_every_option() -> None:
    told = " ".join(option_parser().format_help().split())
    for variable in [*VARIABLES, "FLASH_EDGE_NO_RTT", "FLASH_EDGE_PROXY_TOKEN"]:
        assert variable in told
    for option in option_parser()._actions:
        if option.dest != "help":
            assert "[FLASH_EDGE_" in (option.help or ""), option.dest


def test_an_option_goes_before_its_variable() -> None:
    environ = {"FLASH_EDGE_ADMIN_PORT": "9000", "FLASH_EDGE_REGIONS": "us-west"}
    config = configuration(["--admin-port", "9100", "--region", "eu-west"], environ)
    assert config.admin_port == 9100
    assert config.regions == ("eu-west",)
    assert configuration(["--rtt", "us-east=0.5"], {"FLASH_EDGE_NO_RTT": "1"}).rtt_s == {
        "us-east": 0.5,
        "eu-west": 0.075,
        "ap-south": 0.195,
    }


@pytest.mark.parametrize(
    ("arguments", "environ"), [(["--no-rtt"], {}), ([], {"FLASH_EDGE_NO_RTT": "true"})]
)
def test_no_rtt_emulates_none_for_any_region(arguments, environ) -> None:
    config = configuration([*arguments, "--region", "mars-north"], environ)
    assert config.rtt_s == {"mars-north": 0.0}


def test_tokens_come_from_the_environment_alone_and_are_not_shown() -> None:
    config = configuration(
        [],
        {
            "FLASH_EDGE_PROXY_TOKEN": "wk-a:ws-canary1, wk-b:ws-canary2",
            "FLASH_EDGE_FOREIGN_TOKEN": "wk-c:ws-canary3",
        },
    )
    assert config.tokens == (("wk-a", "ws-canary1"), ("wk-b", "ws-canary2"))
    assert config.foreign_tokens == (("wk-c", "ws-canary3"),)
    assert "canary" not in repr(config)


@pytest.mark.parametrize(
    ("arguments", "environ", "named"),
    [
        (["--admin-port", "x"], {}, "--admin-port: expected a number from 0 to 65535, got 'x'"),
        (["--admin-port", "65536"], {}, "--admin-port: expected a number from 0 to 65535"),
        (["--admin-port", "1.5"], {}, "--admin-port: expected a whole number, got 1.5"),
        ([], {"FLASH_EDGE_ADMIN_PORT": "1.5"}, "FLASH_EDGE_ADMIN_PORT: expected a whole number"),
        (["--first-port", "7399"], {}, "--admin-port 7400 lies among the regions' ports"),
        (["--first-port", "65534"], {}, "--first-port: 3 regions do not fit above 65534"),
        (["--min-containers", "-1"], {}, "--min-containers: expected a number from 0"),
        (["--min-containers", "5"], {}, "min_containers (5) is above max_containers (4)"),
        (["--max-containers", "0"], {}, "--max-containers: expected a number from 1"),
        (["--max-concurrency", "0"], {}, "--max-concurrency: expected a number from 1"),
        (["--max-concurrency", "2.5"], {}, "--max-concurrency: expected a whole number, got '2.5'"),
        (["--target-concurrency", "0"], {}, "--target-concurrency: expected a number"),
        (["--scaledown-window", "nan"], {}, "--scaledown-window: expected a number"),
        (["--boot-delay", "inf"], {}, "--boot-delay: expected a number"),
        (["--startup-timeout", "0"], {}, "--startup-timeout: expected a number from 0.1"),
        (["--exit-grace-period", "3601"], {}, "--exit-grace-period: expected a number from 0 to"),
        (["--region", "US"], {}, "--region: expected a name such as us-east, got 'US'"),
        ([], {"FLASH_EDGE_REGIONS": "a,a"}, "FLASH_EDGE_REGIONS: a region is given twice in a, a"),
        (["--container-region", "a b"], {}, "--container-region: expected a name such as us-east"),
        (["--region", "mars"], {}, "pass --rtt mars=SECONDS or --no-rtt"),
        (["--container-region", "mars"], {}, "pass --rtt us-east=SECONDS or --no-rtt"),
        (["--rtt", "us-west=1"], {}, "--rtt: expected REGION=SECONDS with a region of us-east,"),
        (["--rtt", "us-east"], {}, "--rtt: expected REGION=SECONDS"),
        (["--rtt", "us-east=-1"], {}, "--rtt: expected a number from 0 to 60, got '-1'"),
        (["--rtt", "us-east=1", "--no-rtt"], {}, "--no-rtt and --rtt contradict each other"),
        ([], {"FLASH_EDGE_NO_RTT": "maybe"}, "FLASH_EDGE_NO_RTT: expected 1 or 0, got 'maybe'"),
        (["--container-output", "file"], {}, "--container-output: expected pass or discard"),
        ([], {"FLASH_EDGE_COMMAND": "serve 'a"}, "FLASH_EDGE_COMMAND: No closing quotation"),
        ([], {"FLASH_EDGE_PROXY_TOKEN": "wk-a"}, "FLASH_EDGE_PROXY_TOKEN: expected wk-ID:ws-SECR"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(arguments, environ, named) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)) as refused:
        configuration(arguments, environ)
    assert "\n" not in str(refused.value)


TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        *("", " ", "-1", "0", "1e400", "nan", "inf", "0x10", "1_0", "٣", "65536", "us-east", ","),
        *(
            "us-east=",
            "=1",
            "us-east=1,us-east=2",
            "a\nb",
            "a\0b",
            "\ud800",
            "'",
            '"a',
            "wk-a:ws-b",
        ),
        "9" * 5000,
    ]
)


VALUED = [
    action.option_strings[0]
    for action in option_parser()._actions
    if action.option_strings and action.nargs != 0
]


def complaint_about(arguments: list[str], environ: dict[str, str]) -> str | None:
    try:
        configuration(arguments, environ)
    except ConfigError as error:
        return str(error)
    return None


@pytest.mark.parametrize("option", VALUED)
@settings(max_examples=30)
@given(text=TEXTS)
def test_whatever_an_option_or_variable_is_given_is_used_or_refused_in_one_line(
    option, text
) -> None:
    plural = {"--region": "REGIONS", "--allowed-host": "ALLOWED_HOSTS"}
    variable = "FLASH_EDGE_" + plural.get(option, option[2:].upper().replace("-", "_"))
    assert variable in VARIABLES
    # What does not go with other settings is told by the option.
    for arguments, environ, named in (
        ([f"{option}={text}"], {}, (option, "--rtt", "--first-port")),
        ([], {variable: text}, (variable, option, "--rtt", "--first-port")),
    ):
        told = complaint_about(arguments, environ)
        assert told is None or len(told.splitlines()) == 1
        assert told is None or any(name in told for name in named)


def test_a_refused_token_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as refused:
        configuration([], {"FLASH_EDGE_PROXY_TOKEN": "canary"})
    assert "canary" not in str(refused.value)


def test_an_unknown_or_shortened_option_is_wrong_usage(capsys) -> None:
    for option in ("--nonsense", "--admin"):
        with pytest.raises(SystemExit) as left:
            configuration([option, "1"], {})
        assert left.value.code == 2
        assert option in capsys.readouterr().err
