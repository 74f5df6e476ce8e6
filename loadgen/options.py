"""The load generator's options, and what they say."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isfinite, nan
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from flash.regions import is_region_name
from loadgen.arrival_schedule import ArrivalProcess, RateSchedule
from loadgen.capacity_search import DEFAULT_RATES, RateRange
from loadgen.cold_start_policy import ColdStartPolicy
from loadgen.contradictions import Excludes, Needs
from loadgen.errors import UsageError
from loadgen.flash_client import CONTAINER_HEADERS
from loadgen.load_profile import LoadProfile
from loadgen.objective import Objective, parse_objectives
from loadgen.option import Group, Option
from loadgen.session import AUTHORIZATION_HEADER, SESSION_HEADER
from loadgen.traffic import RequestOrder
from loadgen.traffic_request import checked_headers, checked_method, checked_path

__all__ = ["CONTRADICTIONS", "OPTIONS", "Options", "add_options"]

# Locust's parser leaves descriptions as they are.
_HELP_WIDTH: Final = 78


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the options say; durations in seconds. Without an ``arrival_rate`` the users' wait times
    decide when they send. The names of ``headers`` are in lower case."""

    flash_urls: tuple[str, ...] = ()
    modal_app: str | None = None
    modal_cls: str | None = None
    modal_server: str | None = None
    flash_edge: str | None = None
    cold_start_timeout_s: float = 120.0
    cold_start_policy: ColdStartPolicy = ColdStartPolicy.RETRY
    container_headers: tuple[str, ...] = CONTAINER_HEADERS
    modal_sessions: bool = False
    session_requests: int | None = None
    session_seconds: float | None = None
    client_region: str | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9646
    method: str = "GET"
    path: str = "/"
    body_file: Path | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # may be secrets
    request_file: Path | None = None
    request_order: RequestOrder = RequestOrder.IN_ORDER
    generate: float = 0.0
    think_time_s: float = 1.0
    arrival_rate: RateSchedule | None = None
    arrival_process: ArrivalProcess = ArrivalProcess.CONSTANT
    load_profile: LoadProfile | None = None
    find_capacity: tuple[Objective, ...] = ()
    capacity_hold_s: float = 10.0
    capacity_settle_s: float = 5.0
    capacity_warmup_s: float = 60.0
    capacity_rates: RateRange = DEFAULT_RATES
    capacity_resolution: float = 0.05
    objectives: tuple[Objective, ...] = ()
    dashboard_url: str = "http://127.0.0.1:8000"
    summary_json: str | None = None

    @classmethod
    def of(cls, parsed: Namespace) -> "Options":
        """From Locust's parsed options; of those it lacks, as when it is a library, the default.

        Raises:
            UsageError: options that contradict each other, or a value, as one from Locust's page,
                that cannot be used.
        """
        found = vars(parsed)
        values: dict[str, Any] = {
            option.field or option.dest: option.value(found[option.dest])
            for option in OPTIONS
            if option.is_given(found)
        }
        chosen = {option.typed for option in OPTIONS if option.is_chosen(found)}
        for rule in CONTRADICTIONS:
            if told := rule.broken_by(chosen):
                raise UsageError(told)
        if "body_file" in values:
            values.setdefault("method", "POST")
        _check_headers(values.get("headers", ()), modal_sessions="modal_sessions" in values)
        options = cls(**values)
        if options.load_profile and options.arrival_rate and not options.arrival_rate.is_steady:
            raise UsageError(
                f"--load-profile and the schedule in --arrival-rate {options.arrival_rate} "
                "contradict each other: both say when the rate changes"
            )
        return options


def add_options(parser: Any) -> None:
    """Add the options to Locust's parser, and make Locust itself listen to this machine only."""
    parser.set_defaults(web_host="127.0.0.1", master_bind_host="127.0.0.1")
    default = Options()
    groups: dict[str, Any] = {}
    for option in OPTIONS:
        title, description = option.group.title, option.group.description
        if title not in groups:
            told = description and fill(description, _HELP_WIDTH)
            groups[title] = parser.add_argument_group(f"flashgauge: {title}", told)
        option.add_to(groups[title], getattr(default, option.field or option.dest))


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = nan
        if not isfinite(value) or not least <= value <= most:
            raise UsageError(f"expected a number from {least:g} to {most:g}, got {text!r}")
        return value

    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise UsageError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise UsageError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def _one(text: str) -> tuple[str, ...]:
    return (text,)


def _region(text: str) -> str:
    if not is_region_name(text):
        raise UsageError(
            f"expected a region's name of lower-case letters, digits and hyphens, got {text!r}"
        )
    return text


def _header_name(text: str) -> tuple[str, ...]:
    return (text.lower(),)


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    # No message may have a value in it, nor a line whose name is unclear: it may be a secret.
    pairs = []
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if line.strip():
            if not colon or not name.strip():
                raise UsageError("expected NAME:VALUE, got a line without a name or colon")
            pairs.append((name.strip(), value.strip()))
    if not pairs:
        raise UsageError("expected NAME:VALUE, got nothing")
    headers = checked_headers(pairs)
    if SESSION_HEADER.lower() in headers:
        raise UsageError(f"{SESSION_HEADER} differs from user to user and cannot be given")
    return tuple(headers.items())


def _check_headers(pairs: tuple[tuple[str, str], ...], *, modal_sessions: bool) -> None:
    """Those of several options at once; each by itself has been checked."""
    try:
        headers = checked_headers(pairs)
    except UsageError as error:
        raise UsageError(f"--header: {error}") from None
    if modal_sessions and AUTHORIZATION_HEADER.lower() in headers:
        raise UsageError(
            f"--modal-sessions and --header {AUTHORIZATION_HEADER} contradict each other: "
            "each user sends the token of its own session"
        )


_SECONDS: Final = _number(0.0, 86400.0)
_TARGET: Final = Group(
    "target",
    "Where the Modal HTTP Server is; without any of these a local edge at its default address. "
    "MODAL_PROXY_TOKEN_ID and MODAL_PROXY_TOKEN_SECRET (environment only) hold the proxy token "
    "of a server that needs one.",
)
_REFUSALS: Final = Group("cold starts and sessions")
_TRAFFIC: Final = Group("traffic", "What StickyUser and NonStickyUser request.")
_OPEN_MODEL: Final = Group("open load model")
_PROFILE: Final = Group("load profile")
_CAPACITY: Final = Group(
    "capacity search",
    "Finds the highest rate at which each region holds an objective: doubles the rate until it is "
    "missed, and bisects. The exit status tells whether there is one.",
)
_FIGURES: Final = Group("figures")


def _of_target(name: str, metavar: str, help: str, variable: str) -> Option:
    # The target's variables are read after all options, whatever their kind, so Locust's parser
    # must not mix the two.
    return Option(
        name,
        metavar,
        _TARGET,
        str,
        help,
        in_form=False,
        variable=variable,
        variable_read_later=True,
    )


# In the order of the help.
OPTIONS: Final = (
    Option(
        "flash-url",
        "REGION=URL",
        _TARGET,
        _one,
        "a region's flash URL; repeat it, in the variable with commas between",
        field="flash_urls",
        repeat=True,
        in_form=False,
        variable="FLASH_URLS",
        variable_read_later=True,
    ),
    _of_target("modal-app", "APP", "deployed Modal app that holds the target", "FLASH_MODAL_APP"),
    _of_target("modal-cls", "CLS", "its class, for the @app.cls form", "FLASH_MODAL_CLS"),
    _of_target(
        "modal-server", "NAME", "its server, for the @app.server form", "FLASH_MODAL_SERVER"
    ),
    _of_target("flash-edge", "URL", "admin address of a local edge", "FLASH_EDGE"),
    Option(
        "cold-start-timeout",
        "SECONDS",
        _REFUSALS,
        _SECONDS,
        "how long a request that meets 503 or 429 is tried again",
        field="cold_start_timeout_s",
    ),
    Option(
        "cold-start-policy",
        "POLICY",
        _REFUSALS,
        ColdStartPolicy.parse,
        "who tries again on 503: retry has every user do so, probe one of each region and process "
        "while its others wait",
        choices=tuple(policy.value for policy in ColdStartPolicy),
    ),
    Option(
        "modal-sessions",
        "",
        _REFUSALS,
        bool,
        "sticky users ask Modal for their sessions, which a server with @modal.sessioned() needs",
        in_form=False,
    ),
    Option(
        "session-requests",
        "N",
        _REFUSALS,
        _count,
        "a sticky user goes on in a new session after so many requests",
    ),
    Option(
        "session-seconds",
        "SECONDS",
        _REFUSALS,
        _SECONDS,
        "a sticky user goes on in a new session when its session is so old",
    ),
    Option(
        "container-header",
        "NAME",
        _REFUSALS,
        _header_name,
        "response header that names the container",
        field="container_headers",
        default="x-edge-container, else x-container-id",
        in_form=False,
    ),
    Option(
        "method",
        "METHOD",
        _TRAFFIC,
        checked_method,
        "the method of their requests",
        default="GET; POST with --body-file",
    ),
    Option("path", "PATH", _TRAFFIC, checked_path, "the path of their requests"),
    Option(
        "body-file",
        "FILE",
        _TRAFFIC,
        Path,
        "file with the body of their requests",
        in_form=False,
    ),
    Option(
        "header",
        "NAME:VALUE",
        _TRAFFIC,
        _headers,
        "header of every request, also those of your own users; repeat it, in the variable with a "
        "line for each",
        field="headers",
        repeat=True,
        in_form=False,
        variable="LOADGEN_HEADERS",
    ),
    Option(
        "request-file",
        "FILE",
        _TRAFFIC,
        Path,
        "file with their requests, a JSON object on each line",
        in_form=False,
    ),
    Option(
        "request-order",
        "ORDER",
        _TRAFFIC,
        RequestOrder.parse,
        "how they take requests from the file, in-order or random",
        choices=tuple(order.value for order in RequestOrder),
    ),
    Option(
        "generate",
        "SHARE",
        _TRAFFIC,
        _number(0.0, 1.0),
        "share of their requests that are POST /generate, streamed",
    ),
    Option(
        "think-time",
        "SECONDS",
        _TRAFFIC,
        _SECONDS,
        "mean pause of a user between its requests",
        field="think_time_s",
    ),
    Option(
        "arrival-rate",
        "RATE",
        _OPEN_MODEL,
        RateSchedule.parse,
        "open model: so many requests per second start, however long they take; or a schedule "
        "SECOND:RATE,SECOND:RATE,... with straight lines between its points",
    ),
    Option(
        "arrival-process",
        "PROCESS",
        _OPEN_MODEL,
        ArrivalProcess.parse,
        "how arrivals lie around their rate, constant or poisson",
        choices=tuple(process.value for process in ArrivalProcess),
    ),
    Option(
        "load-profile",
        "PROFILE",
        _PROFILE,
        LoadProfile.parse,
        "change the users, or in the open model the rate, up to the number given, and end the run: "
        "ramp:up=60,hold=60 or steps:count=5,each=60 or spike:base=0.1,before=60,spike=30,after=60 "
        "or soak:up=60,hold=1h,down=60; what is left out is as here",
    ),
    Option(
        "find-capacity",
        "OBJECTIVES",
        _CAPACITY,
        parse_objectives,
        "search the highest rate that holds objectives, with commas between: a percentile of the "
        "latency, as in p99<50ms, or of the response time, as in response_time.p95<=2s, or the "
        "share, in per cent, of errors or share_503",
    ),
    Option(
        "capacity-hold",
        "SECONDS",
        _CAPACITY,
        _number(0.5, 86400.0),
        "how long a rate has to hold them",
        field="capacity_hold_s",
    ),
    Option(
        "capacity-settle",
        "SECONDS",
        _CAPACITY,
        _SECONDS,
        "how long a rate is offered before it is judged",
        field="capacity_settle_s",
    ),
    Option(
        "capacity-warmup",
        "SECONDS",
        _CAPACITY,
        _SECONDS,
        "longest wait for a region to answer without a 503 before its first rate; 0 for none",
        field="capacity_warmup_s",
    ),
    Option(
        "capacity-rates",
        "LOWEST:HIGHEST",
        _CAPACITY,
        RateRange.parse,
        "requests per second to begin with, and the most to try",
    ),
    Option(
        "capacity-resolution",
        "SHARE",
        _CAPACITY,
        _number(0.001, 1.0),
        "how near to each other the rates held and missed have to be",
    ),
    Option(
        "client-region",
        "NAME",
        _FIGURES,
        _region,
        "where this process runs, a label of its figures; without it MODAL_REGION, as on Modal",
        in_form=False,
    ),
    Option(
        "objective",
        "OBJECTIVES",
        _FIGURES,
        parse_objectives,
        "what the run is to hold, as for --find-capacity; the dashboard draws its percentiles as "
        "lines",
        field="objectives",
    ),
    Option(
        "metrics-host",
        "ADDRESS",
        _FIGURES,
        str,
        "address of the Prometheus page",
        in_form=False,
    ),
    Option(
        "metrics-port",
        "PORT",
        _FIGURES,
        _port,
        "port of the Prometheus page",
        in_form=False,
    ),
    Option(
        "dashboard-url",
        "URL",
        _FIGURES,
        str,
        "where the dashboard is, for a link to it",
        in_form=False,
    ),
    Option(
        "summary-json",
        "PATH",
        _FIGURES,
        str,
        "write each run's summary to PATH as JSON at its end; {run} in it is the run's id, - is "
        "standard output",
        in_form=False,
    ),
)
"""All of them: one that is added here is on the command line, in the form, and in the help."""

CONTRADICTIONS: Final[tuple[Excludes | Needs, ...]] = (
    Excludes("--modal-cls", ("--modal-server",), "the target is one server"),
    Needs("--modal-cls", ("--modal-app",), "a class is looked up in its app"),
    Excludes(
        "--request-file",
        ("--method", "--path", "--body-file", "--generate"),
        "the file has all that is requested",
    ),
    Needs("--request-order", ("--request-file",), "without a file there is one request"),
    Needs(
        "--arrival-process",
        ("--arrival-rate", "--find-capacity"),
        "without a rate there are no arrivals",
    ),
    Excludes(
        "--find-capacity",
        ("--arrival-rate", "--load-profile"),
        "the search decides itself how many requests start",
    ),
)
"""The options that are refused together; those of several targets go before each other instead."""
