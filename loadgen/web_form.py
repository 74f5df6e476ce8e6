"""What is put into Locust's web form, checked before a run starts with it."""

from argparse import Namespace
from collections.abc import Mapping

from flask import Response, jsonify, request
from locust.env import Environment
from locust.web import WebUI

from loadgen.errors import UsageError
from loadgen.options import OPTIONS, Options

__all__ = ["check_form", "complaint"]


def check_form(environment: Environment, web_ui: WebUI) -> None:
    """Have ``web_ui`` refuse to start a run with options that the command line would refuse."""

    def check() -> Response | None:
        if request.endpoint != "locust.swarm" or environment.parsed_options is None:
            return None
        told = complaint(environment.parsed_options, request.form)
        if told is None:
            return None
        # As Locust says it of its own fields: the page shows the message.
        return jsonify({"success": False, "message": told, "host": environment.host})

    assert web_ui.app is not None  # a class attribute says it may be; no object is without
    web_ui.app.before_request(check)


def complaint(parsed: Namespace, form: Mapping[str, str]) -> str | None:
    """What is wrong with a form on top of parsed options, ``None`` if nothing is.

    Locust takes every option from whoever sends the form, also one that the page does not show; of
    ours, which name files and hold secrets, only those that it shows.
    """
    changed = dict(vars(parsed))
    for option in OPTIONS:
        if option.dest not in form:
            continue
        if not option.in_form:
            return f"{option.typed} cannot be changed while Locust runs"
        given = form[option.dest]
        changed[option.dest] = given == "true" if option.parse is bool else given
    try:
        Options.of(Namespace(**changed))
    except UsageError as error:
        return str(error)
    return None
