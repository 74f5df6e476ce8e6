import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

from argparse import Namespace
from types import SimpleNamespace

import pytest
from flask import Blueprint, Flask, jsonify

from loadgen.web_form import check_form, complaint


@pytest.mark.parametrize(
    ("parsed", "form", "told"),
    [
        ({}, {}, None),
        ({}, {"think_time": "2", "path": "", "arrival_process": "constant"}, None),
        # Somebody else's option, and Locust's.
        ({"their_own": 3}, {"their_own": "x", "user_count": "many"}, None),
        ({"think_time": "1"}, {"think_time": "-1"}, "--think-time: expected a number from 0 to"),
        ({"think_time": "1"}, {"think_time": "soon"}, "--think-time: expected a number from 0 to"),
        ({}, {"path": "work"}, "--path: expected a path that begins with a slash"),
        ({"arrival_rate": "5"}, {"arrival_process": "poisson"}, None),
        (
            {"arrival_rate": "5"},
            {"arrival_process": "poisson", "arrival_rate": ""},
            "--arrival-process needs --arrival-rate",
        ),
        ({}, {"metrics_port": "1"}, "--metrics-port cannot be changed while Locust runs"),
    ],
)
def test_a_form_is_checked_as_the_command_line_is(parsed, form, told):
    before = dict(parsed)
    said = complaint(Namespace(**parsed), form)
    assert said is None if told is None else said.startswith(told)
    assert parsed == before


@pytest.fixture
def page():
    """Locust's page as far as its form goes."""
    app = Flask("page")
    routes = Blueprint("locust", "page")
    started = []

    def swarm():
        started.append(True)
        return jsonify({"success": True})

    routes.add_url_rule("/swarm", "swarm", swarm, methods=["POST"])
    routes.add_url_rule("/stop", "stop", lambda: jsonify({"stopped": True}), methods=["POST"])
    app.register_blueprint(routes)
    environment = SimpleNamespace(parsed_options=Namespace(path=None), host="http://a")
    check_form(environment, SimpleNamespace(app=app))
    return SimpleNamespace(client=app.test_client(), started=started)


def test_a_bad_form_starts_no_run_and_the_page_is_told_why(page):
    answer = page.client.post("/swarm", data={"user_count": "1", "path": "work"}).get_json()
    assert answer["success"] is False
    assert answer["message"].startswith("--path: expected a path")
    assert answer["host"] == "http://a"
    assert page.started == []


def test_a_good_form_and_everything_else_pass(page):
    assert page.client.post("/swarm", data={"path": "/work"}).get_json() == {"success": True}
    assert page.client.post("/stop", data={"path": "work"}).get_json() == {"stopped": True}
    assert page.started == [True]
