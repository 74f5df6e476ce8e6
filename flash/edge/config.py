"""What the edge is told: one checked configuration from options and environment."""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite

from flash.autoscaler import AutoscalerSettings
from flash.edge.errors import ConfigError
from flash.regions import is_region_name, round_trip_s

__all__ = ["DEFAULT_REGIONS", "Config", "configuration", "option_parser"]

DEFAULT_REGIONS = ("us-east", "eu-west", "ap-south")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything that can be set; durations in seconds.

    ``rtt_s`` has the emulated round trip of every region, 0 for none. ``max_concurrency`` is
    ``None`` without a hard limit. ``tokens`` are accepted proxy tokens (id, secret);
    ``foreign_tokens`` are known ones of another environment, answered with 403. ``allowed_hosts``
    are names by which the admin interface may be called, beside addresses and names without a dot.
    ``container_output`` tells whether what containers print is passed on.
    """

    regions: tuple[str, ...] = DEFAULT_REGIONS
    host: str = "127.0.0.1"
    admin_port: int = 7400
    first_port: int = 7401
    autoscaler: AutoscalerSettings = field(default_factory=AutoscalerSettings)
    max_concurrency: int | None = None
    startup_timeout_s: float = 30.0
    exit_grace_period_s: float = 5.0
    boot_delay_s: float = 1.0
    container_region: str = "us-east"
    rtt_s: Mapping[str, float] = field(default_factory=dict)
    tokens: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    foreign_tokens: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    allowed_hosts: tuple[str, ...] = ()
    container_output: bool = True
    command: tuple[str, ...] = (sys.executable, "-m", "target_app")


_NUMBERS = (
    ("admin-port", "port of the admin interface", 7400),
    ("first-port", "port of the first region; the others follow", 7401),
    ("min-containers", "containers kept warm", 0),
    ("max-containers", "most containers", 4),
    ("buffer-containers", "idle containers while any is active", 0),
    ("target-concurrency", "requests per container that the autoscaler aims at", 8),
    ("scaleup-window", "seconds that more must be wanted before containers are started", 0),
    ("scaledown-window", "seconds that fewer must be wanted before containers are stopped", 60),
    ("startup-timeout", "seconds until a container's port must accept connections", 30),
    ("exit-grace-period", "seconds that requests in flight get when a container stops", 5),
    ("boot-delay", "seconds before COMMAND is started (placement, image pull)", 1),
)


def option_parser() -> argparse.ArgumentParser:
    """The command line; every option names its environment variable."""
    parser = argparse.ArgumentParser(
        prog="python -m flash.edge",
        allow_abbrev=False,
        usage="python -m flash.edge [options] [-- COMMAND ...]",
        description="Modal's edge on this machine: regional proxies in front of containers, each "
        "a process of COMMAND with PORT set.",
        epilog="FLASH_EDGE_PROXY_TOKEN=wk-ID:ws-SECRET (environment only; several with commas) "
        "makes requests need a proxy token; tokens in FLASH_EDGE_FOREIGN_TOKEN are answered with "
        "403 as those of another environment are.",
    )
    parser.add_argument(
        "--region",
        action="append",
        metavar="REGION",
        help="a region to listen for; repeat it (default: us-east, eu-west, ap-south) "
        "[FLASH_EDGE_REGIONS, comma separated]",
    )
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1) [FLASH_EDGE_HOST]")
    for name, text, default in _NUMBERS:
        parser.add_argument(
            f"--{name}", metavar="N", help=f"{text} (default {default}) [{_variable(name)}]"
        )
    parser.add_argument(
        "--max-concurrency",
        metavar="N",
        help="requests per container above which 429 is answered (default: no limit) "
        "[FLASH_EDGE_MAX_CONCURRENCY]",
    )
    parser.add_argument(
        "--container-region",
        metavar="REGION",
        help="where containers run (default us-east) [FLASH_EDGE_CONTAINER_REGION]",
    )
    parser.add_argument(
        "--rtt",
        action="append",
        metavar="REGION=SECONDS",
        help="emulated round trip between a region's proxy and the containers; repeat it "
        "(default: usual ones) [FLASH_EDGE_RTT, comma separated]",
    )
    parser.add_argument(
        "--no-rtt", action="store_true", help="emulate no round trips [FLASH_EDGE_NO_RTT=1]"
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        metavar="NAME",
        help="a name with dots by which the admin interface may be called; repeat it "
        "[FLASH_EDGE_ALLOWED_HOSTS, comma separated]",
    )
    parser.add_argument(
        "--container-output",
        metavar="pass|discard",
        help="what becomes of what containers print: standard error, or nothing (default pass) "
        "[FLASH_EDGE_CONTAINER_OUTPUT]",
    )
    parser.add_argument(
        "command",
        nargs="*",
        metavar="COMMAND",
        help="what a container runs (default: the target app) [FLASH_EDGE_COMMAND]",
    )
    return parser


def configuration(arguments: Sequence[str], environ: Mapping[str, str]) -> Config:
    """The configuration that the command line and the environment make, options first.

    Raises:
        ConfigError: a value cannot be used; the message names its option or variable.
    """
    # What follows the first "--" is the command's own, whatever it looks like.
    split = arguments.index("--") if "--" in arguments else len(arguments)
    options = vars(option_parser().parse_args(arguments[:split]))
    command = (*options["command"], *arguments[split + 1 :])

    def text(name: str, default: str) -> tuple[str, str]:
        """The value, and what to call it in a message."""
        given = options[name.replace("-", "_")]
        if given is not None:
            return str(given), f"--{name}"
        return environ.get(_variable(name)) or default, _variable(name)

    def number(name: str, *, least: float = 0, most: float = 86400) -> float:
        default = next(default for known, _, default in _NUMBERS if known == name)
        value, called = text(name, str(default))
        return _number(value, called, least=least, most=most)

    def whole(name: str, *, least: int = 0, most: int = 10_000) -> int:
        value = number(name, least=least, most=most)
        if value != int(value):
            called = text(name, "")[1]
            raise ConfigError(f"{called}: expected a whole number, got {value:g}")
        return int(value)

    regions = _regions(options["region"], environ)
    container_region, called = text("container-region", "us-east")
    if not is_region_name(container_region):
        raise ConfigError(f"{called}: expected a name such as us-east, got {container_region!r}")
    try:
        autoscaler = AutoscalerSettings(
            min_containers=whole("min-containers"),
            max_containers=whole("max-containers", least=1),
            buffer_containers=whole("buffer-containers"),
            target_concurrency=_plain(number("target-concurrency", least=0.01)),
            scaleup_window=number("scaleup-window"),
            scaledown_window=number("scaledown-window"),
        )
    except ValueError as error:
        raise ConfigError(f"{error}; see --min-containers and --max-containers") from error
    admin_port = whole("admin-port", most=65535)
    first_port = whole("first-port", most=65535)
    if first_port and first_port + len(regions) - 1 > 65535:
        raise ConfigError(f"--first-port: {len(regions)} regions do not fit above {first_port}")
    if admin_port and first_port and first_port <= admin_port < first_port + len(regions):
        raise ConfigError(
            f"--admin-port {admin_port} lies among the regions' ports "
            f"{first_port} to {first_port + len(regions) - 1} (--first-port); change one"
        )
    return Config(
        regions=regions,
        host=text("host", "127.0.0.1")[0],
        admin_port=admin_port,
        first_port=first_port,
        autoscaler=autoscaler,
        max_concurrency=_limit(*text("max-concurrency", "")),
        startup_timeout_s=number("startup-timeout", least=0.1),
        exit_grace_period_s=number("exit-grace-period", most=3600),
        boot_delay_s=number("boot-delay"),
        container_region=container_region,
        rtt_s=_round_trips(options, environ, regions, container_region),
        tokens=_tokens(environ, "FLASH_EDGE_PROXY_TOKEN"),
        foreign_tokens=_tokens(environ, "FLASH_EDGE_FOREIGN_TOKEN"),
        allowed_hosts=_listed(options["allowed_host"], environ, "FLASH_EDGE_ALLOWED_HOSTS"),
        container_output=_passes_output(*text("container-output", "pass")),
        command=command or _command(environ) or (sys.executable, "-m", "target_app"),
    )


def _command(environ: Mapping[str, str]) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(environ.get("FLASH_EDGE_COMMAND", "")))
    except ValueError as error:
        raise ConfigError(f"FLASH_EDGE_COMMAND: {error}") from error


def _limit(text: str, called: str) -> int | None:
    if not text:
        return None
    value = _number(text, called, least=1, most=1_000_000)
    if value != int(value):
        raise ConfigError(f"{called}: expected a whole number, got {text!r}")
    return int(value)


def _passes_output(text: str, called: str) -> bool:
    if text not in ("pass", "discard"):
        raise ConfigError(f"{called}: expected pass or discard, got {text!r}")
    return text == "pass"


def _listed(given: list[str] | None, environ: Mapping[str, str], variable: str) -> tuple[str, ...]:
    if given is not None:
        return tuple(given)
    return tuple(part.strip() for part in environ.get(variable, "").split(",") if part.strip())


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value


def _variable(name: str) -> str:
    return "FLASH_EDGE_" + name.upper().replace("-", "_")


def _number(text: str, called: str, *, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value) or not least <= value <= most:
        raise ConfigError(f"{called}: expected a number from {least:g} to {most:g}, got {text!r}")
    return value


def _regions(given: list[str] | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    called = "FLASH_EDGE_REGIONS" if given is None else "--region"
    regions = _listed(given, environ, "FLASH_EDGE_REGIONS")
    if not regions:
        return DEFAULT_REGIONS
    for region in regions:
        if not is_region_name(region):
            raise ConfigError(f"{called}: expected a name such as us-east, got {region!r}")
    if len(set(regions)) < len(regions):
        raise ConfigError(f"{called}: a region is given twice in {', '.join(regions)}")
    return regions


def _round_trips(
    options: Mapping[str, object],
    environ: Mapping[str, str],
    regions: tuple[str, ...],
    container_region: str,
) -> dict[str, float]:
    named = options["rtt"] if isinstance(options["rtt"], list) else None
    called = "FLASH_EDGE_RTT" if named is None else "--rtt"
    off = bool(options["no_rtt"]) or _switched_on(environ, "FLASH_EDGE_NO_RTT")
    if options["no_rtt"] and named:
        raise ConfigError("--no-rtt and --rtt contradict each other; pass one of them")
    if named and not options["no_rtt"]:
        off = False  # an option goes before a variable
    given: dict[str, float] = {}
    for item in _listed(named, environ, "FLASH_EDGE_RTT"):
        region, equals, seconds = item.partition("=")
        if not equals or region.strip() not in regions:
            raise ConfigError(
                f"{called}: expected REGION=SECONDS with a region of {', '.join(regions)}, "
                f"got {item!r}"
            )
        given[region.strip()] = _number(seconds, called, least=0, most=60)
    if off:
        return dict.fromkeys(regions, 0.0)
    round_trips = {}
    for region in regions:
        if region in given:
            round_trips[region] = given[region]
            continue
        try:
            round_trips[region] = round_trip_s(region, container_region)
        except ValueError as error:
            raise ConfigError(f"{error}; pass --rtt {region}=SECONDS or --no-rtt") from error
    return round_trips


def _switched_on(environ: Mapping[str, str], variable: str) -> bool:
    text = environ.get(variable, "").strip().lower()
    if text in ("", "0", "false", "no", "off"):
        return False
    if text in ("1", "true", "yes", "on"):
        return True
    raise ConfigError(f"{variable}: expected 1 or 0, got {text!r}")


def _tokens(environ: Mapping[str, str], variable: str) -> tuple[tuple[str, str], ...]:
    tokens = []
    for item in environ.get(variable, "").split(","):
        if not item.strip():
            continue
        token_id, colon, secret = item.strip().partition(":")
        if not colon or not token_id.startswith("wk-") or not secret.startswith("ws-"):
            raise ConfigError(f"{variable}: expected wk-ID:ws-SECRET")
        tokens.append((token_id, secret))
    return tuple(tokens)
