"""What the sub-commands that read a run from the store have in common."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dashboard.config import DEFAULT_STORE
from dashboard.errors import ConfigError
from dashboard.finished_run import LATEST

__all__ = ["STANDARD_OUTPUT", "command_parser", "print_table", "store_path", "write_result"]

STANDARD_OUTPUT: Final = "-"


def command_parser(
    name: str, description: str, *, before: str | None = None
) -> argparse.ArgumentParser:
    """A command line with the run and the store, to which the command adds what is its own.

    With ``before`` there is another run before it, which is that one if it is left out.
    """
    parser = argparse.ArgumentParser(prog=f"python -m dashboard {name}", description=description)
    if before is not None:
        parser.add_argument(
            "base",
            metavar="BASE",
            nargs="?",
            default=before,
            help=f"id of the run before, or the one that began before RUN (default: {before})",
        )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        default=LATEST,
        help=f"id of a run, as /api/runs lists them, or the newest one (default: {LATEST})",
    )
    parser.add_argument(
        "--store",
        metavar="PATH",
        help="file in which the dashboard keeps what it scraped; it is only read, and may be in "
        f"use (default: {DEFAULT_STORE}) [DASHBOARD_STORE]",
    )
    return parser


def store_path(given: str | None, environ: Mapping[str, str]) -> Path:
    """The store that the command line names, or else the environment."""
    return Path(given or environ.get("DASHBOARD_STORE") or DEFAULT_STORE)


def print_table(table: str, *results: str | None) -> None:
    """Print it, aside if one of the ``results`` goes to standard output.

    Who reads a result from there is not to find the table in it.
    """
    print(table, end="", file=sys.stderr if STANDARD_OUTPUT in results else sys.stdout)


def write_result(text: str, path: str, option: str) -> None:
    """Write to the file that ``option`` names, or to standard output.

    Raises:
        ConfigError: it cannot be written.
    """
    if path == STANDARD_OUTPUT:
        print(text, end="")
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{option}: cannot write {path}: {error.strerror}") from error
