import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

from argparse import Namespace
from types import SimpleNamespace

from flask import Blueprint, Flask, jsonify
from locust import LoadTestShape

from loadgen.web_profile import follow_form


class Own(LoadTestShape):
    def tick(self):
        return None


def page_of(shape, load_profile=None):
    """Locust's page as far as its form goes: the environment, and how to start a run."""
    app = Flask("page")
    routes = Blueprint("locust", "page")
    routes.add_url_rule("/swarm", "swarm", lambda: jsonify({"success": True}), methods=["POST"])
    app.register_blueprint(routes)
    environment = SimpleNamespace(
        parsed_options=Namespace(load_profile=load_profile, arrival_rate=None),
        runner=SimpleNamespace(state="ready"),
        shape_class=shape,
        host="http://a",
    )
    follow_form(environment, SimpleNamespace(app=app))
    client = app.test_client()
    return environment, lambda **form: client.post("/swarm", data=form).get_json()


def test_each_run_has_the_profile_of_its_form_or_none():
    environment, start = page_of(None)
    for text in ("ramp:up=5", "", "soak", ""):
        assert start(load_profile=text) == {"success": True}
        shape = environment.shape_class
        assert (shape and str(shape.load_profile)) == (text or None)


def test_a_profile_of_the_command_line_holds_until_the_form_has_another():
    environment, start = page_of(None, "ramp")
    start(user_count="3")
    assert str(environment.shape_class.load_profile) == "ramp"
    start(load_profile="")
    assert environment.shape_class is None


def test_a_run_that_is_under_way_keeps_its_shape():
    environment, start = page_of(None)
    environment.runner.state = "running"
    start(load_profile="ramp")
    assert environment.shape_class is None


def test_the_shape_of_the_locustfile_stays_and_contradicts_a_profile():
    own = Own()
    environment, start = page_of(own)
    assert start(user_count="1") == {"success": True}
    assert environment.shape_class is own
    refused = start(load_profile="ramp")
    assert refused["success"] is False
    assert "the locustfile's shape Own contradict" in refused["message"]
    assert environment.shape_class is own
