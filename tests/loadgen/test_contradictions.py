import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

from argparse import Namespace

import pytest

from loadgen.contradictions import Excludes, Needs
from loadgen.errors import UsageError
from loadgen.options import CONTRADICTIONS, OPTIONS, Options

FILE = Excludes("--file", ("--path", "--method"), "the file says what is requested")
ORDER = Needs("--order", ("--file", "--list"), "there is nothing to order")


@pytest.mark.parametrize(
    ("rule", "chosen", "told"),
    [
        (FILE, set(), None),
        (FILE, {"--file", "--order"}, None),
        (FILE, {"--path", "--method"}, None),
        (
            FILE,
            {"--file", "--path"},
            "--file and --path contradict each other: the file says what is requested",
        ),
        (
            FILE,
            {"--file", "--method", "--path"},
            "--file and --path and --method contradict each other: the file says what is requested",
        ),
        (ORDER, {"--path"}, None),
        (ORDER, {"--order", "--list"}, None),
        (ORDER, {"--order"}, "--order needs --file or --list: there is nothing to order"),
    ],
)
def test_a_rule_names_all_that_break_it(rule, chosen, told):
    assert rule.broken_by(chosen) == told


def test_the_rules_name_options_that_exist():
    named = {name for rule in CONTRADICTIONS for name in (rule.option, *rule.others)}
    assert named <= {option.typed for option in OPTIONS}


@pytest.mark.parametrize(
    ("parsed", "named"),
    [
        ({"modal_app": "a", "modal_cls": "C", "modal_server": "s"}, "--modal-cls --modal-server"),
        ({"modal_cls": "C"}, "--modal-cls --modal-app"),
        ({"arrival_process": "poisson"}, "--arrival-process --arrival-rate"),
        ({"request_file": "f", "path": "/"}, "--request-file --path"),
        ({"request_file": "f", "method": "GET"}, "--request-file --method"),
        ({"request_file": "f", "body_file": "b"}, "--request-file --body-file"),
        ({"request_file": "f", "generate": "0.1"}, "--request-file --generate"),
        ({"request_order": "random"}, "--request-order --request-file"),
    ],
)
def test_options_that_contradict_each_other_are_refused_with_both_named(parsed, named):
    with pytest.raises(UsageError) as refused:
        Options.of(Namespace(**parsed))
    for name in named.split():
        assert name in str(refused.value)


@pytest.mark.parametrize(
    "parsed",
    [
        {"modal_app": "a", "modal_cls": "C"},
        {"modal_server": "a/s"},
        {"flash_url": ["us-east=http://127.0.0.1:1"], "flash_edge": "http://127.0.0.1:2"},
        {"arrival_process": "poisson", "arrival_rate": "10"},
        # What Locust's form gives for a choice that nobody made.
        {"arrival_process": "constant", "arrival_rate": ""},
        {"request_order": "in-order", "path": "/a"},
        {"request_file": "f", "header": ["a: 1"], "path": "", "arrival_rate": "1"},
    ],
)
def test_options_that_go_together_do(parsed):
    Options.of(Namespace(**parsed))
