"""The options that a run was made with, as its summary tells them: never what may be a secret."""

from argparse import Namespace
from enum import Enum
from typing import Final

from loadgen.arrival_schedule import RateSchedule
from loadgen.options import OPTIONS, Options
from loadgen.run_watch import OptionValue

__all__ = ["NOT_TOLD", "TOLD", "told_options"]

_LOCUSTS: Final = {
    "users": "num_users",
    "spawn_rate": "spawn_rate",
    "run_time": "run_time",
    "stop_timeout": "stop_timeout",
    "user_classes": "user_classes",
    "tags": "tags",
    "exclude_tags": "exclude_tags",
}
"""Locust's own that make a difference to the load, and what its parser calls them."""

TOLD: Final = frozenset(
    {
        "arrival_process",
        "arrival_rate",
        "body_file",
        "capacity_hold",
        "capacity_rates",
        "capacity_resolution",
        "capacity_settle",
        "capacity_warmup",
        "cold_start_policy",
        "cold_start_timeout",
        "container_header",
        "find_capacity",
        "generate",
        "load_profile",
        "method",
        "modal_sessions",
        "objective",
        "path",
        "request_file",
        "request_order",
        "session_requests",
        "session_seconds",
        "think_time",
    }
)
"""Ours that make a difference to the load, by what the parser calls them."""

NOT_TOLD: Final = frozenset(
    {
        "client_region",
        "dashboard_url",
        "flash_edge",
        "flash_url",
        "header",
        "metrics_host",
        "metrics_port",
        "modal_app",
        "modal_cls",
        "modal_server",
        "summary_json",
    }
)
"""All others: what the summary has elsewhere, what makes no difference, and what may be secret."""


def told_options(options: Options, parsed: Namespace | None) -> dict[str, OptionValue]:
    """By name: those of Locust that shape the load, then ours, both only where they are known."""
    known = {} if parsed is None else vars(parsed)
    told = {name: _plain(known[key]) for name, key in _LOCUSTS.items() if key in known}
    for option in OPTIONS:
        if option.dest in TOLD:
            told[option.dest] = _plain(getattr(options, option.field or option.dest))
    return told


def _plain(value: object) -> OptionValue:
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, RateSchedule):
        return str(value)
    if isinstance(value, list | tuple):
        return [str(one) for one in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)
