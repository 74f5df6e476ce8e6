import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

import contextlib
import io
from argparse import ArgumentParser, Namespace
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locust.argument_parser import LocustArgumentParser, get_empty_argument_parser

from loadgen.arrival_schedule import ArrivalProcess, RateSchedule
from loadgen.errors import UsageError
from loadgen.option import Group, Option
from loadgen.options import OPTIONS, Options, add_options
from loadgen.traffic import RequestOrder

GROUP = Group("tests")


def new_parser() -> LocustArgumentParser:
    made = get_empty_argument_parser(default_config_files=[])
    made.add_argument("--web-host")
    made.add_argument("--master-bind-host")
    add_options(made)
    return made


@pytest.fixture
def parser() -> LocustArgumentParser:
    return new_parser()


def parsed_by(parser: ArgumentParser, *arguments: str, **environ: str) -> Options:
    return Options.of(parser.parse_args(list(arguments), env_vars=environ))


def test_with_nothing_given_the_defaults_hold(parser):
    assert parsed_by(parser) == Options()
    assert Options.of(Namespace()) == Options()


def test_every_field_has_one_option():
    assert sorted(option.field or option.dest for option in OPTIONS) == sorted(
        field.name for field in fields(Options)
    )


def test_what_is_given_is_told_in_its_own_type(parser):
    options = parsed_by(
        parser,
        *("--flash-url", "us-east=http://a", "--flash-url", "eu-west=http://b"),
        *("--cold-start-timeout", "2.5", "--container-header", "X-Box", "--metrics-port", "0"),
        *("--arrival-rate", "0:1,2:3", "--arrival-process", "poisson", "--generate", "1"),
    )
    assert options == Options(
        flash_urls=("us-east=http://a", "eu-west=http://b"),
        cold_start_timeout_s=2.5,
        container_headers=("x-box",),
        metrics_port=0,
        arrival_rate=RateSchedule(((0.0, 1.0), (2.0, 3.0))),
        arrival_process=ArrivalProcess.POISSON,
        generate=1.0,
    )


def test_the_command_line_goes_before_the_environment(parser):
    environ = {"LOADGEN_THINK_TIME": "3", "LOADGEN_PATH": "/of-environment"}
    options = parsed_by(parser, "--path", "/given", **environ)
    assert (options.path, options.think_time_s) == ("/given", 3.0)


def test_the_target_s_variables_are_left_to_whoever_looks_it_up(parser):
    assert parsed_by(parser, FLASH_EDGE="http://a", FLASH_URLS="us-east=http://a") == Options()


def test_parsed_options_stay_plain_for_locust_to_send_and_to_show(parser):
    parsed = parser.parse_args(["--arrival-rate", "7", "--think-time", "2"])
    assert (parsed.arrival_rate, parsed.think_time, parsed.path) == ("7", "2", None)


def test_numbers_of_a_program_are_as_good_as_texts():
    assert Options.of(Namespace(think_time=0.0, metrics_port=0)) == Options(
        think_time_s=0.0, metrics_port=0
    )


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("cold_start_timeout", "soon"),
        ("cold_start_timeout", "-1"),
        ("think_time", "nan"),
        ("think_time", "86401"),
        ("generate", "1.01"),
        ("path", "work"),
        ("path", "/a b"),
        ("path", "/a\n"),
        ("method", "FETCH"),
        ("request_order", "sorted"),
        ("metrics_port", "65536"),
        ("metrics_port", "٣"),
        ("arrival_rate", "fast"),
        ("arrival_process", "pareto"),
    ],
)
def test_a_bad_value_is_refused_on_the_command_line_and_from_the_form(parser, name, bad, capsys):
    typed = "--" + name.replace("_", "-")
    with pytest.raises(SystemExit) as left:
        parser.parse_args([f"{typed}={bad}"])
    assert left.value.code == 2
    assert f"argument {typed}: " in capsys.readouterr().err
    with pytest.raises(UsageError, match=f"^{typed}: expected .*, got "):
        Options.of(Namespace(**{name: bad}))


TEXTS = st.text(max_size=30) | st.sampled_from(
    [
        *("", " ", "-1", "0", "1e400", "nan", "inf", "0x10", "1_0", "٣", "1,", ",", ":", "0:1,0:2"),
        *("5:1,4:2", "a\nb", "a\0b", "\ud800", "'", '"', "%s", "{}", "http://", "http://[", "p99<"),
        *("p99<50ms,", "errors<200%", "X:", ":y", "X: y\r\nZ: z", "/\x7f", "us-east=", "=http://a"),
        "9" * 5000,
    ]
)


def complaint_about(arguments: list[str]) -> str | None:
    """What Locust prints before it ends with status 2, or says on its page."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            Options.of(new_parser().parse_args(arguments, env_vars={}))
    except SystemExit:
        return told.getvalue().rpartition(" error: ")[2].removesuffix("\n")
    except UsageError as error:
        return str(error)
    return None


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.dest)
@settings(max_examples=30)
@given(text=TEXTS)
def test_whatever_an_option_is_given_is_used_or_refused_in_one_line(option, text):
    told = complaint_about([option.typed if option.parse is bool else f"{option.typed}={text}"])
    assert told is None or option.typed in told
    assert told is None or len(told.splitlines()) == 1


def test_traffic_is_told_by_options(parser):
    options = parsed_by(parser, "--method", "put", "--path", "/a", "--body-file", "b.json")
    assert options == Options(method="PUT", path="/a", body_file=Path("b.json"))
    assert parsed_by(parser, "--body-file", "b.json").method == "POST"
    options = parsed_by(parser, "--request-file", "r.jsonl", "--request-order", "random")
    assert options == Options(request_file=Path("r.jsonl"), request_order=RequestOrder.RANDOM)


def test_headers_are_told_one_by_one_or_in_lines(parser):
    expected = (("x-a", "1:2, 3"), ("authorization", "Bearer secret"))
    given = parsed_by(parser, "--header", "X-A:1:2, 3", "--header", "Authorization: Bearer secret")
    variable = "\nX-A: 1:2, 3\nAuthorization: Bearer secret\n"
    for options in (given, parsed_by(parser, LOADGEN_HEADERS=variable)):
        assert options.headers == expected
        assert "secret" not in repr(options)


@pytest.mark.parametrize(
    "bad",
    [
        *("secret", ": secret", "", "\n", "a b: secret", "a: secret\x00", "a: 1\na: secret"),
        *("content-length: 1", "Transfer-Encoding: secret", "modal-session-id: secret"),
    ],
)
def test_a_bad_header_is_refused_and_not_shown(parser, bad, capsys):
    with pytest.raises(SystemExit) as left:
        parser.parse_args([f"--header={bad}"])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "argument --header: " in said
    assert "secret" not in said


def test_a_header_given_twice_is_refused(parser):
    with pytest.raises(UsageError, match=r"^--header: the header x-a is there twice"):
        parsed_by(parser, "--header", "x-a:1", "--header", "X-A:2")


def test_the_help_tells_default_and_variable(parser):
    told = " ".join(parser.format_help().split())
    assert (
        "--think-time SECONDS mean pause of a user between its requests (default 1) "
        "[env LOADGEN_THINK_TIME]" in told
    )
    assert "(default constant) [env LOADGEN_ARRIVAL_PROCESS]" in told
    assert "admin address of a local edge [env FLASH_EDGE]" in told


def test_the_form_has_what_can_change_between_runs(parser):
    shown = set(parser.args_included_in_web_ui)
    assert {option.dest: option.dest in shown for option in OPTIONS} == {
        option.dest: option.in_form for option in OPTIONS
    }
    assert {"path", "think_time"} <= shown
    assert "flash_url" not in shown


def test_a_flag_is_off_until_it_is_given():
    parser = get_empty_argument_parser(default_config_files=[])
    flag = Option("modest", "", GROUP, bool, "be modest")
    flag.add_to(parser, default=False)
    assert not flag.is_given(vars(parser.parse_args([])))
    for parsed in (
        parser.parse_args(["--modest"]),
        parser.parse_args([], env_vars={"LOADGEN_MODEST": "true"}),
    ):
        assert flag.is_given(vars(parsed))
        assert flag.value(parsed.modest) is True


def test_with_sessions_of_modal_no_other_session_can_be_given():
    parsed = Namespace(modal_sessions=True, header=["Modal-Authorization: Bearer secret"])
    with pytest.raises(UsageError, match="--modal-sessions and --header Modal-Auth") as told:
        Options.of(parsed)
    assert "secret" not in str(told.value)
    assert Options.of(Namespace(header=parsed.header)).headers


def test_a_profile_shapes_a_single_rate_and_no_schedule():
    options = Options.of(Namespace(load_profile="ramp:up=5", arrival_rate="100"))
    assert str(options.load_profile) == "ramp:up=5"
    with pytest.raises(
        UsageError, match="--load-profile and the schedule in --arrival-rate 0:1,2:3"
    ):
        Options.of(Namespace(load_profile="ramp:up=5", arrival_rate="0:1,2:3"))


def test_a_search_sets_the_rate_itself():
    options = Options.of(Namespace(find_capacity="p99<50ms,errors<0.1%", capacity_rates="5:80"))
    assert [str(objective) for objective in options.find_capacity] == ["p99<50ms", "errors<0.1%"]
    assert str(options.capacity_rates) == "5:80"
    for other in ({"arrival_rate": "5"}, {"load_profile": "ramp"}):
        with pytest.raises(UsageError, match="--find-capacity and --"):
            Options.of(Namespace(find_capacity="p99<50ms", **other))


def test_locust_itself_listens_to_this_machine_unless_told_otherwise(parser):
    alone, told = parser.parse_args([]), parser.parse_args(["--master-bind-host", "0.0.0.0"])
    assert (alone.web_host, alone.master_bind_host) == ("127.0.0.1", "127.0.0.1")
    assert told.master_bind_host == "0.0.0.0"
