"""What the server is told by its environment and command line."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from target_app.errors import TargetAppError

__all__ = ["Config", "ConfigError"]


class ConfigError(TargetAppError):
    """A setting that cannot be used; the message names it and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Settings of one server process; durations in seconds.

    ``container``, ``region`` and ``cloud`` are as Modal tells them inside a container; empty means
    not told. ``boot_delay_s`` is waited before the port opens, ``grace_s`` is the longest that
    requests in flight are waited for after SIGTERM, ``cached_sessions`` how many prefixes fit.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    container: str = ""
    region: str = ""
    cloud: str = ""
    boot_delay_s: float = 0.0
    grace_s: float = 25.0
    cached_sessions: int = 256

    @classmethod
    def from_command_line(
        cls, arguments: Sequence[str], environ: Mapping[str, str], *, container: str
    ) -> "Config":
        """Options go before the environment; ``container`` is the id where Modal gave none.

        Raises:
            ConfigError: a value that is no number or out of its range.
        """
        given = _parser().parse_args(arguments)

        def setting(option: object, variable: str, default: str) -> tuple[str, str]:
            if option is not None:
                return str(
                    option
                ), f"--{variable.removeprefix('TARGET_').lower().replace('_', '-')}"
            return environ.get(variable) or default, variable

        return cls(
            host=setting(given.host, "TARGET_HOST", "127.0.0.1")[0],
            port=_whole(*setting(given.port, "PORT", "8080"), least=0, most=65535),
            container=environ.get("MODAL_TASK_ID") or container,
            region=environ.get("MODAL_REGION", ""),
            cloud=environ.get("MODAL_CLOUD_PROVIDER", ""),
            boot_delay_s=_number(
                *setting(given.boot_delay_s, "TARGET_BOOT_DELAY_S", "0"), least=0, most=3600
            ),
            grace_s=_number(*setting(given.grace_s, "TARGET_GRACE_S", "25"), least=0, most=3600),
            cached_sessions=_whole(
                *setting(given.cached_sessions, "TARGET_CACHED_SESSIONS", "256"),
                least=1,
                most=1_000_000,
            ),
        )


def _number(text: str, name: str, *, least: float, most: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise ConfigError(f"{name}: expected a number from {least:g} to {most:g}, got {text!r}")
    return value


def _whole(text: str, name: str, *, least: int, most: int) -> int:
    value = _number(text, name, least=least, most=most)
    if value != int(value):
        raise ConfigError(f"{name}: expected a whole number, got {text!r}")
    return int(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m target_app",
        description="The server under test: answers, works, generates tokens, and counts it all.",
    )
    for option, variable, text in (
        ("--host", "TARGET_HOST", "address to listen on (default 127.0.0.1)"),
        ("--port", "PORT", "port to listen on, 0 for any free one (default 8080)"),
        ("--boot-delay-s", "TARGET_BOOT_DELAY_S", "seconds before the port opens (default 0)"),
        ("--grace-s", "TARGET_GRACE_S", "longest drain after SIGTERM in seconds (default 25)"),
        (
            "--cached-sessions",
            "TARGET_CACHED_SESSIONS",
            "sessions whose prefix is kept (default 256)",
        ),
    ):
        metavar = {"--host": "ADDRESS", "--port": "PORT"}.get(option, "N")
        parser.add_argument(option, metavar=metavar, help=f"{text} [{variable}]")
    return parser
