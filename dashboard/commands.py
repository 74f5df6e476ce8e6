"""What the sub-commands that read a run from the store have in common: its name and the file."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from dashboard.config import DEFAULT_STORE
from dashboard.finished_run import LATEST

__all__ = ["command_parser", "store_path"]


def command_parser(name: str, description: str) -> argparse.ArgumentParser:
    """A command line with the run and the store, to which the command adds what is its own."""
    parser = argparse.ArgumentParser(prog=f"python -m dashboard {name}", description=description)
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
