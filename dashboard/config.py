"""What the dashboard is told: one checked configuration from options and environment."""

import argparse
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dashboard.errors import ConfigError
from dashboard.shape import DEFAULT_SERIES_LIMIT
from flash.platform import TargetError
from flash.static_list import server_url

__all__ = [
    "DEFAULT_LOADGEN",
    "DEFAULT_STORE",
    "LEAST_RAW_S",
    "Config",
    "checked_token",
    "configuration",
    "option_parser",
]

DEFAULT_LOADGEN: Final = "http://127.0.0.1:9646/metrics"
DEFAULT_STORE: Final = ".flashgauge/dashboard.sqlite"

_NUMBER: Final = re.compile(r"[0-9]{1,5}")
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd]?)")
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmg]i?b)", re.IGNORECASE | re.ASCII)
_POWERS: Final = {"k": 1, "m": 2, "g": 3}
_LEAST_STORE: Final = 10 * 1000**2
_MOST_STORE: Final = 10**15
_MOST_SERIES: Final = 2**16
_SECRET: Final = r"[!-~]{1,4096}"
LEAST_RAW_S: Final = 600
"""Seconds of the finest points that are kept whatever else is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set; durations in seconds.

    ``scrape`` are the URLs of metrics pages; ``platform_given`` tells whether a platform was named
    by the user. ``external_url`` is the page's address for browsers where we listen at another.
    ``token_file`` keeps the token, and a random one where ``token`` is ``None``.
    ``raw_retention_s`` is how long single seconds are kept, ``retention_s`` all else.
    ``prometheus`` is the address of one that is asked in place of our own scraper and store,
    ``prometheus_interval_s`` its scrape interval.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    store: Path = Path(DEFAULT_STORE)
    scrape: tuple[str, ...] = (DEFAULT_LOADGEN,)
    scrape_given: bool = False
    flash_edge: str | None = None
    modal_app: str | None = None
    modal_cls: str | None = None
    modal_server: str | None = None
    locust_url: str = "http://127.0.0.1:8089"
    external_url: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    token_file: Path | None = None
    scrape_timeout_s: float = 5.0
    raw_retention_s: float = 2 * 3600.0
    retention_s: float = 14 * 86400.0
    store_limit_bytes: int = 1000**3
    series_limit: int = DEFAULT_SERIES_LIMIT
    prometheus: str | None = None
    prometheus_interval_s: float = 1.0
    prometheus_token: str | None = field(default=None, repr=False)
    prometheus_user: str | None = field(default=None, repr=False)
    prometheus_password: str | None = field(default=None, repr=False)

    @property
    def host_names(self) -> tuple[str, ...]:
        """Names that requests may call us by, besides those of this machine's loopback."""
        external = urlsplit(self.external_url or "").hostname
        return (*self.allowed_hosts, self.host, *((external,) if external else ()))


def option_parser() -> argparse.ArgumentParser:
    """The command line; every option names its environment variable."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboard",
        description="Watch a Modal HTTP Server under load: scrapes the load generator, the edge "
        "and the containers every second, keeps what it read in a file, and shows it in a browser.",
        epilog="DASHBOARD_TOKEN (environment only) is the token that browsers and API clients must "
        "present; it is required to listen beyond this machine. Open /?token=... once, or send "
        "'Authorization: Bearer ...'. Without it DASHBOARD_TOKEN_FILE (environment only) names a "
        "file that keeps a random one, which the address printed at the start carries. With "
        f"neither --scrape nor a platform, the load generator at {DEFAULT_LOADGEN} is scraped, and "
        "a local edge at http://127.0.0.1:7400 if it answers. "
        "What Prometheus asks for is read from DASHBOARD_PROMETHEUS_TOKEN, or "
        "DASHBOARD_PROMETHEUS_USER and DASHBOARD_PROMETHEUS_PASSWORD (environment only). "
        "'python -m dashboard check', '... compare', '... advise', '... report' and '... export' "
        "judge a run, replay it, or make a file of it; each has a --help of its own.",
    )

    def add(name: str, metavar: str, text: str, *, action: str = "store") -> None:
        variable = "DASHBOARD_" + name.upper().replace("-", "_")
        parser.add_argument(
            f"--{name}", metavar=metavar, action=action, help=f"{text} [{variable}]"
        )

    add("port", "PORT", "port to listen on (default: 8000; 0: any free one)")
    add("host", "ADDRESS", "address to listen on (default: 127.0.0.1)")
    add("store", "PATH", f"file that keeps what was scraped (default: {DEFAULT_STORE})")
    add(
        "scrape",
        "URL",
        "metrics page to scrape; repeat for several, commas in the variable "
        f"(default: {DEFAULT_LOADGEN})",
        action="append",
    )
    add("flash-edge", "URL", "admin address of a local edge; it and its containers are scraped")
    add("modal-app", "APP", "app on Modal whose containers are scraped")
    add("modal-cls", "CLS", "its class, for the @app.cls form")
    add("modal-server", "NAME", "its server, for the @app.server form")
    add("locust-url", "URL", "Locust's own page, linked to (default: http://127.0.0.1:8089)")
    add(
        "external-url",
        "URL",
        "address of the page for browsers where it is another, as behind a proxy or with a "
        "published port; it is printed, and its host name allowed",
    )
    add(
        "allowed-host",
        "NAME",
        "further host name under which this dashboard may be reached; repeat for several, commas "
        "in the variable (default: names of this machine's loopback, and --host)",
        action="append",
    )
    add("scrape-timeout", "DURATION", "longest wait for one target (default: 5s)")
    add("raw-retention", "DURATION", "how long points of one second are kept (default: 2h)")
    add("retention", "DURATION", "how long coarser points, runs and events are kept (default: 14d)")
    add("store-limit", "SIZE", "size above which the oldest points are deleted (default: 1GB)")
    add(
        "series-limit",
        "N",
        "label sets of one target that are stored; later ones are left out and told "
        f"(default: {DEFAULT_SERIES_LIMIT})",
    )
    add(
        "prometheus",
        "URL",
        "a Prometheus that scrapes the same pages; it is asked for all numbers, nothing is scraped",
    )
    add("prometheus-interval", "DURATION", "that Prometheus' scrape interval (default: 1s)")
    return parser


def configuration(arguments: Sequence[str], environ: Mapping[str, str]) -> Config:
    """The configuration that the command line gives, and where it is silent the environment.

    Raises:
        ConfigError: a value cannot be used; the message names the option.
        SystemExit: an unknown option (status 2), or ``--help`` (status 0).
    """
    given = vars(option_parser().parse_args(arguments))

    def one(name: str, default: str) -> str:
        return maybe(name) or default

    def maybe(name: str) -> str | None:
        value = given[name]
        if value is None:
            value = environ.get("DASHBOARD_" + name.upper())
        return str(value) if value else None

    def several(name: str) -> tuple[str, ...]:
        value = given[name]
        if value is None:
            value = environ.get("DASHBOARD_" + name.upper(), "").split(",")
        return tuple(str(item).strip() for item in value if str(item).strip())

    scrape = several("scrape")
    config = Config(
        host=one("host", "127.0.0.1"),
        port=_port(one("port", "8000")),
        store=Path(one("store", DEFAULT_STORE)),
        scrape=tuple(_url(url, "--scrape") for url in scrape) or (DEFAULT_LOADGEN,),
        scrape_given=bool(scrape),
        flash_edge=None
        if maybe("flash_edge") is None
        else _url(one("flash_edge", ""), "--flash-edge"),
        modal_app=maybe("modal_app"),
        modal_cls=maybe("modal_cls"),
        modal_server=maybe("modal_server"),
        locust_url=_url(one("locust_url", "http://127.0.0.1:8089"), "--locust-url"),
        external_url=None
        if maybe("external_url") is None
        else _url(one("external_url", ""), "--external-url"),
        allowed_hosts=several("allowed_host"),
        token=environ.get("DASHBOARD_TOKEN") or None,
        token_file=Path(file) if (file := environ.get("DASHBOARD_TOKEN_FILE")) else None,
        scrape_timeout_s=_seconds(one("scrape_timeout", "5s"), "--scrape-timeout", 0.1, 60.0),
        raw_retention_s=_seconds(one("raw_retention", "2h"), "--raw-retention", LEAST_RAW_S),
        retention_s=_seconds(one("retention", "14d"), "--retention", LEAST_RAW_S),
        store_limit_bytes=_bytes(one("store_limit", "1GB"), "--store-limit"),
        series_limit=_series(one("series_limit", str(DEFAULT_SERIES_LIMIT))),
        prometheus=None
        if maybe("prometheus") is None
        else _url(one("prometheus", ""), "--prometheus"),
        prometheus_interval_s=_seconds(
            one("prometheus_interval", "1s"), "--prometheus-interval", 0.1, 3600.0
        ),
        prometheus_token=environ.get("DASHBOARD_PROMETHEUS_TOKEN") or None,
        prometheus_user=environ.get("DASHBOARD_PROMETHEUS_USER") or None,
        prometheus_password=environ.get("DASHBOARD_PROMETHEUS_PASSWORD") or None,
    )
    _check(config)
    return config


def checked_token(token: str, where: str) -> str:
    """The token, if it is one.

    Raises:
        ConfigError: it is too short or has other characters; the message does not tell it.
    """
    if not re.fullmatch(r"[!-~]{8,256}", token):
        raise ConfigError(f"{where}: expected 8 to 256 printable characters without spaces")
    return token


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(config: Config) -> None:
    if not is_loopback(config.host) and config.token is None and config.token_file is None:
        raise ConfigError(
            f"--host {config.host} would let everybody on the network read and write; "
            "set DASHBOARD_TOKEN to a secret of your own, or listen on 127.0.0.1"
        )
    if config.token is not None:
        checked_token(config.token, "DASHBOARD_TOKEN")
    if urlsplit(config.external_url or "").path:
        raise ConfigError(
            f"--external-url: expected an address without a path, got {config.external_url!r}; "
            "the page asks for what it needs at the root of its server"
        )
    if config.flash_edge is not None and config.modal_app is not None:
        raise ConfigError("--flash-edge and --modal-app name two platforms; pass one of them")
    _check_credentials(config)


def _check_credentials(config: Config) -> None:
    # None of the messages may tell a value.
    token, user = config.prometheus_token, config.prometheus_user
    if token is not None and not re.fullmatch(_SECRET, token):
        raise ConfigError(
            "DASHBOARD_PROMETHEUS_TOKEN: expected printable characters without spaces"
        )
    if token is not None and user is not None:
        raise ConfigError(
            "DASHBOARD_PROMETHEUS_TOKEN and DASHBOARD_PROMETHEUS_USER exclude each other; "
            "unset one of them"
        )
    if (user is None) != (config.prometheus_password is None):
        raise ConfigError(
            "DASHBOARD_PROMETHEUS_USER and DASHBOARD_PROMETHEUS_PASSWORD belong together; "
            "set both or neither"
        )
    if user is not None and ":" in user:
        raise ConfigError("DASHBOARD_PROMETHEUS_USER: expected a name without a colon")


def _port(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > 65535:
        raise ConfigError(f"--port: expected a number from 0 to 65535, got {text!r}")
    return int(text)


def _series(text: str) -> int:
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= _MOST_SERIES:
        raise ConfigError(
            f"--series-limit: expected a number from 1 to {_MOST_SERIES}, got {text!r}"
        )
    return int(text)


def _seconds(text: str, where: str, least: float, most: float = 3660 * 86400.0) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ConfigError(f"{where}: expected a duration such as 90s, 15m, 2h or 14d, got {text!r}")
    seconds = float(found.group(1)) * _UNITS[found.group(2)]
    if not least <= seconds <= most:
        longest = f"{most:g} s" if most < _UNITS["d"] else f"{most / _UNITS['d']:g} d"
        raise ConfigError(f"{where}: expected {least:g} s to {longest}, got {text!r}")
    return seconds


def _bytes(text: str, where: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ConfigError(f"{where}: expected a size such as 500MB, 2GB or 1GiB, got {text!r}")
    unit = found.group(2).lower()
    size = float(found.group(1)) * (1024 if "i" in unit else 1000) ** _POWERS[unit[0]]
    if not _LEAST_STORE <= size <= _MOST_STORE:
        raise ConfigError(f"{where}: expected 10MB to 1000000GB, got {text!r}")
    return int(size)


def _url(url: str, where: str) -> str:
    try:
        return server_url(url, where=where)
    except TargetError as error:
        raise ConfigError(str(error)) from error
