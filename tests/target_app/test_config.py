"""Settings: options go before the environment, and what cannot be used is named."""

import pytest

from target_app.config import Config, ConfigError


def config(*arguments: str, **environ: str) -> Config:
    return Config.from_command_line(arguments, environ, container="ta-local1")


def test_nothing_given_is_loopback_and_a_container_of_ones_own() -> None:
    assert config() == Config(host="127.0.0.1", port=8080, container="ta-local1")


def test_the_environment_of_a_container_on_modal_is_understood() -> None:
    assert config(
        PORT="8000",
        TARGET_HOST="0.0.0.0",
        TARGET_BOOT_DELAY_S="1.5",
        TARGET_GRACE_S="5",
        TARGET_CACHED_SESSIONS="7",
        MODAL_TASK_ID="ta-01AB",
        MODAL_REGION="us-east-1",
        MODAL_CLOUD_PROVIDER="CLOUD_PROVIDER_AWS",
    ) == Config(
        host="0.0.0.0",
        port=8000,
        container="ta-01AB",
        region="us-east-1",
        cloud="CLOUD_PROVIDER_AWS",
        boot_delay_s=1.5,
        grace_s=5,
        cached_sessions=7,
    )


def test_an_option_goes_before_its_variable_and_an_empty_variable_is_none() -> None:
    assert config("--port", "9000", PORT="8000").port == 9000
    assert config("--grace-s", "0", TARGET_GRACE_S="9").grace_s == 0
    assert config(PORT="", MODAL_TASK_ID="").container == "ta-local1"
    assert config(PORT="").port == 8080


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        ((), {"PORT": "http"}, "PORT: expected a number from 0 to 65535, got 'http'"),
        ((), {"PORT": "80.5"}, "PORT: expected a whole number, got '80.5'"),
        ((), {"PORT": "65536"}, "PORT: expected a number from 0 to 65535, got '65536'"),
        (("--port", "-1"), {}, "--port: expected a number from 0 to 65535, got '-1'"),
        (("--grace-s", "nan"), {}, "--grace-s: expected a number from 0 to 3600, got 'nan'"),
        (
            (),
            {"TARGET_BOOT_DELAY_S": "-1"},
            "TARGET_BOOT_DELAY_S: expected a number from 0 to 3600, got '-1'",
        ),
        (
            ("--cached-sessions", "0"),
            {},
            "--cached-sessions: expected a number from 1 to 1e+06, got '0'",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(arguments, environ, message) -> None:
    with pytest.raises(ConfigError) as raised:
        config(*arguments, **environ)
    assert str(raised.value) == message


def test_help_names_the_variable_of_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        config("--help")
    assert raised.value.code == 0
    told = capsys.readouterr().out
    for name in ("TARGET_HOST", "PORT", "TARGET_BOOT_DELAY_S", "TARGET_GRACE_S"):
        assert f"[{name}]" in told
    assert "[TARGET_CACHED_SESSIONS]" in told


def test_an_unknown_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        config("--prot", "80")
    assert raised.value.code == 2
    assert "--prot" in capsys.readouterr().err
