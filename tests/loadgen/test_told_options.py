import os
from argparse import Namespace
from pathlib import Path

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

from loadgen.arrival_schedule import ArrivalProcess, RateSchedule
from loadgen.capacity_search import RateRange
from loadgen.load_profile import LoadProfile
from loadgen.objective import parse_objectives
from loadgen.options import OPTIONS, Options
from loadgen.told_options import NOT_TOLD, TOLD, told_options


def test_options_are_told_as_they_would_be_given():
    options = Options(
        arrival_rate=RateSchedule.parse("0:10,60:100"),
        arrival_process=ArrivalProcess.POISSON,
        path="/work",
        load_profile=LoadProfile.parse("ramp:up=5"),
        find_capacity=parse_objectives("p99<50ms,errors<0.1%"),
        capacity_rates=RateRange.parse("10:500"),
        request_file=Path("requests.jsonl"),
        container_headers=("x-one", "x-two"),
    )
    parsed = Namespace(num_users=24, spawn_rate=8.0, run_time=60, user_classes=["StickyUser"])
    told = told_options(options, parsed)
    assert told["arrival_rate"] == "0:10,60:100"
    assert (told["arrival_process"], told["path"]) == ("poisson", "/work")
    assert (told["load_profile"], told["capacity_rates"]) == ("ramp:up=5", "10:500")
    assert told["find_capacity"] == ["p99<50ms", "errors<0.1%"]
    assert (told["cold_start_policy"], told["modal_sessions"]) == ("retry", False)
    assert told["container_header"] == ["x-one", "x-two"]
    assert (told["request_file"], told["request_order"]) == ("requests.jsonl", "in-order")
    assert (told["users"], told["spawn_rate"], told["run_time"]) == (24, 8.0, 60)
    assert told["user_classes"] == ["StickyUser"]
    assert "tags" not in told


def test_nothing_else_is_told():
    options = Options(
        flash_urls=("a=http://h",),
        dashboard_url="http://user:secret@h",
        headers=(("authorization", "secret"),),
    )
    parsed = Namespace(web_login=True, host="http://user:secret@h", password="secret")
    told = told_options(options, parsed)
    assert told.keys() == set(TOLD)
    assert "secret" not in str(told)


def test_of_every_option_it_is_decided_whether_it_is_told():
    assert {option.dest for option in OPTIONS} == TOLD | NOT_TOLD
    assert not TOLD & NOT_TOLD


def test_without_a_command_line_ours_are_told():
    assert told_options(Options(), None)["think_time"] == 1.0
