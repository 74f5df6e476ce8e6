"""Has a run that is started from Locust's page follow the profile of its form."""

from argparse import Namespace
from typing import Final

from flask import Response, jsonify, request
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING
from locust.web import WebUI

from loadgen.errors import UsageError
from loadgen.load_shape import use_profile
from loadgen.options import Options

__all__ = ["follow_form"]

_FIELDS: Final = ("load_profile", "arrival_rate")
_UNDER_WAY: Final = (STATE_SPAWNING, STATE_RUNNING)


def follow_form(environment: Environment, web_ui: WebUI) -> None:
    """Choose the shape before each run; the form has been checked.

    Locust asks an environment with a shape for nothing else, so a run without a profile has none.
    """
    given = environment.parsed_options and environment.parsed_options.load_profile
    of_locustfile = None if given else environment.shape_class

    def choose() -> Response | None:
        runner, parsed = environment.runner, environment.parsed_options
        if request.endpoint != "locust.swarm" or runner is None or parsed is None:
            return None
        if runner.state in _UNDER_WAY:
            return None
        chosen = {name: request.form.get(name, getattr(parsed, name, None)) for name in _FIELDS}
        options = Options.of(Namespace(**chosen))
        environment.shape_class = of_locustfile
        try:
            use_profile(environment, options.load_profile, options.arrival_rate)
        except UsageError as error:
            return jsonify({"success": False, "message": str(error), "host": environment.host})
        return None

    assert web_ui.app is not None  # a class attribute says it may be; no object is without
    web_ui.app.before_request(choose)
