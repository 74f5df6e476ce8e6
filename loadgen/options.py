"""The load generator's options on Locust's command line, in its web form, and by environment."""

from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from loadgen.arrival_schedule import ArrivalProcess, RateSchedule
from loadgen.errors import UsageError
from loadgen.flash_client import CONTAINER_HEADERS

__all__ = ["Options", "add_options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the options say; durations in seconds. Without an ``arrival_rate`` the users' wait times
    decide when they send."""

    flash_urls: tuple[str, ...] = ()
    modal_app: str | None = None
    modal_cls: str | None = None
    modal_server: str | None = None
    flash_edge: str | None = None
    cold_start_timeout_s: float = 120.0
    container_headers: tuple[str, ...] = CONTAINER_HEADERS
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9646
    path: str = "/"
    generate: float = 0.0
    think_time_s: float = 1.0
    arrival_rate: RateSchedule | None = None
    arrival_process: ArrivalProcess = ArrivalProcess.CONSTANT
    dashboard_url: str = "http://127.0.0.1:8000"

    @classmethod
    def of(cls, parsed: Namespace) -> "Options":
        """From Locust's parsed options; of those it lacks, as when it is a library, the default.

        Raises:
            UsageError: an arrival rate or process, from Locust's page, that is none.
        """
        found = vars(parsed)
        default = cls()

        def value(name: str, otherwise: Any) -> Any:
            given = found.get(name)
            return otherwise if given is None or given == "" else given

        header = value("container_header", None)
        rate, process = value("arrival_rate", None), value("arrival_process", None)
        return cls(
            flash_urls=_several(value("flash_url", None)),
            modal_app=value("modal_app", None),
            modal_cls=value("modal_cls", None),
            modal_server=value("modal_server", None),
            flash_edge=value("flash_edge", None),
            cold_start_timeout_s=float(value("cold_start_timeout", default.cold_start_timeout_s)),
            container_headers=CONTAINER_HEADERS if header is None else (str(header).lower(),),
            metrics_host=value("metrics_host", default.metrics_host),
            metrics_port=int(value("metrics_port", default.metrics_port)),
            path=value("path", default.path),
            generate=float(value("generate", default.generate)),
            think_time_s=float(value("think_time", default.think_time_s)),
            arrival_rate=None if rate is None else RateSchedule.parse(str(rate)),
            arrival_process=(
                default.arrival_process if process is None else ArrivalProcess.parse(str(process))
            ),
            dashboard_url=value("dashboard_url", default.dashboard_url),
        )


def add_options(parser: Any) -> None:
    """Add the options to Locust's parser, and make its own page listen to this machine only."""
    parser.set_defaults(web_host="127.0.0.1")
    target = parser.add_argument_group(
        "flashgauge: target",
        "Where the Modal HTTP Server is; without any of these a local edge at its default address. "
        "MODAL_PROXY_TOKEN_ID and MODAL_PROXY_TOKEN_SECRET (environment only) hold the proxy token "
        "of a server that needs one.",
    )
    refusals = parser.add_argument_group("flashgauge: cold starts and sessions")
    traffic = parser.add_argument_group(
        "flashgauge: traffic", "What StickyUser and NonStickyUser request."
    )
    open_model = parser.add_argument_group("flashgauge: open load model")
    figures = parser.add_argument_group("flashgauge: figures")
    # The target's variables are read after all options, whatever their kind, so Locust's parser
    # must not mix the two.
    # Only the parser itself takes ``include_in_web_ui``; of a group it is set on what is added.
    target.add_argument(
        "--flash-url",
        action="append",
        metavar="REGION=URL",
        help="a region's flash URL; repeat it [env FLASH_URLS, comma separated]",
    ).include_in_web_ui = False
    for name, metavar, text in (
        ("modal-app", "APP", "deployed Modal app that holds the target [env FLASH_MODAL_APP]"),
        ("modal-cls", "CLS", "its class, for the @app.cls form [env FLASH_MODAL_CLS]"),
        ("modal-server", "NAME", "its server, for the @app.server form [env FLASH_MODAL_SERVER]"),
        ("flash-edge", "URL", "admin address of a local edge [env FLASH_EDGE]"),
    ):
        target.add_argument(f"--{name}", metavar=metavar, help=text).include_in_web_ui = False

    def add(
        group: Any,
        name: str,
        metavar: str,
        kind: Callable[[str], Any],
        default: Any,
        text: str,
        *,
        choices: list[str] | None = None,
        in_form: bool = True,
    ) -> None:
        group.add_argument(
            f"--{name}",
            metavar=metavar,
            type=kind,
            default=default,
            choices=choices,
            env_var="LOADGEN_" + name.upper().replace("-", "_"),
            help=text,
        ).include_in_web_ui = in_form

    add(
        refusals,
        "cold-start-timeout",
        "SECONDS",
        _number(0.0, 86400.0),
        120.0,
        "how long a request that meets 503 or 429 is tried again (default 120)",
    )
    add(
        refusals,
        "container-header",
        "NAME",
        str,
        None,
        "response header that names the container (default x-edge-container, else x-container-id)",
        in_form=False,
    )
    add(traffic, "path", "PATH", _path, "/", "what they GET (default /)")
    add(
        traffic,
        "generate",
        "SHARE",
        _number(0.0, 1.0),
        0.0,
        "share of their requests that are POST /generate, streamed (default 0)",
    )
    add(
        traffic,
        "think-time",
        "SECONDS",
        _number(0.0, 86400.0),
        1.0,
        "mean pause of a user between its requests (default 1)",
    )
    add(
        open_model,
        "arrival-rate",
        "RATE",
        _schedule,
        None,
        "open model: so many requests per second start, however long they take; or a schedule "
        "SECOND:RATE,SECOND:RATE,... with straight lines between its points",
    )
    add(
        open_model,
        "arrival-process",
        "PROCESS",
        str,
        ArrivalProcess.CONSTANT.value,
        "how arrivals lie around their rate, constant or poisson (default constant)",
        choices=[process.value for process in ArrivalProcess],
    )
    add(
        figures,
        "metrics-host",
        "ADDRESS",
        str,
        "127.0.0.1",
        "address of the Prometheus page (default 127.0.0.1)",
        in_form=False,
    )
    add(
        figures,
        "metrics-port",
        "PORT",
        _port,
        9646,
        "port of the Prometheus page (default 9646)",
        in_form=False,
    )
    add(
        figures,
        "dashboard-url",
        "URL",
        str,
        "http://127.0.0.1:8000",
        "where the dashboard is, for a link to it (default http://127.0.0.1:8000)",
        in_form=False,
    )


def _number(least: float, most: float) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not isfinite(value) or not least <= value <= most:
            raise ArgumentTypeError(f"expected a number from {least:g} to {most:g}, got {text!r}")
        return value

    return number


def _schedule(text: str) -> str:
    # It stays text: Locust sends options to its workers, and shows them in its form.
    try:
        RateSchedule.parse(text)
    except UsageError as error:
        raise ArgumentTypeError(str(error)) from None
    return text


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def _path(text: str) -> str:
    if not text.startswith("/") or any(c.isspace() or not c.isprintable() for c in text):
        raise ArgumentTypeError(f"expected a path that begins with a slash, got {text!r}")
    return text


def _several(given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    return tuple(map(str, given)) if isinstance(given, list) else (str(given),)
