"""``python -m dashboard compare``: whether a run was worse than one before, as an exit status."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from dashboard.answers import RunComparisonAnswer
from dashboard.commands import command_parser, print_table, store_path, write_result
from dashboard.compare_report import table_of
from dashboard.errors import ConfigError
from dashboard.finished_run import PREVIOUS, ended_run, stored
from dashboard.run_comparison import TOLERANCE, RunComparison, compare_runs
from dashboard.source import Source

__all__ = ["compared", "main", "option_parser"]

_LARGEST_TOLERANCE: Final = 1.0


def option_parser() -> argparse.ArgumentParser:
    """The command line; every option that has an environment variable names it."""
    parser = command_parser(
        "compare",
        "Compare a finished run with one before. Exit status 0: nothing is worse for sure, 1: a "
        "figure is worse for sure, 2: there is no verdict (unknown run, too little data), 3: the "
        "measurement of either run is bad (as 'check' says).",
        before=PREVIOUS,
    )
    parser.add_argument(
        "--tolerance",
        metavar="SHARE",
        help="a change of up to this share of the figure before is none (default: "
        f"{TOLERANCE:g}) [DASHBOARD_COMPARE_TOLERANCE]",
    )
    parser.add_argument(
        "--json",
        metavar="PATH",
        help="file for the result as JSON, - for standard output [DASHBOARD_COMPARE_JSON]",
    )
    return parser


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Compare what the command line says; the exit status is the outcome's.

    Raises:
        DashboardError: there is no such run, it cannot be read, or a result cannot be written.
    """
    given = option_parser().parse_args(arguments)
    tolerance = _tolerance(given.tolerance or environ.get("DASHBOARD_COMPARE_TOLERANCE"))
    json = given.json or environ.get("DASHBOARD_COMPARE_JSON")
    with stored(store_path(given.store, environ)) as source:
        comparison = asyncio.run(compared(source, given.base, given.run, tolerance))
    print_table(table_of(comparison), json)
    if json:
        answer = RunComparisonAnswer.of(comparison)
        write_result(answer.model_dump_json(indent=2) + "\n", json, "--json")
    return int(comparison.outcome)


async def compared(
    source: Source, base: str, run: str, tolerance: float = TOLERANCE
) -> RunComparison:
    """The comparison of the runs of these names.

    Raises:
        NotFoundError: there is no such run, or it has not ended.
    """
    later = await ended_run(source, run)
    return await compare_runs(
        source, await ended_run(source, base, before=later.run.run), later, tolerance=tolerance
    )


def _tolerance(text: str | None) -> float:
    if not text:
        return TOLERANCE
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= _LARGEST_TOLERANCE:
        raise ConfigError(
            f"--tolerance: expected a share from 0% to 100%, such as 5% or 0.05, got {text!r}"
        )
    return share
