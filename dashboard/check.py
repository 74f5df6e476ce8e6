"""``python -m dashboard check``: a gate that ends with the verdict on a run as its status."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence

from dashboard.check_report import CheckReport
from dashboard.commands import (
    STANDARD_OUTPUT,
    command_parser,
    print_table,
    store_path,
    write_result,
)
from dashboard.embedded import EmbeddedSource
from dashboard.errors import ConfigError
from dashboard.finished_run import ended_run, stored
from dashboard.run_verdict import run_verdict
from flash.objective import Objective, ObjectiveError

__all__ = ["checked", "main", "option_parser"]


def option_parser() -> argparse.ArgumentParser:
    """The command line; every option that has an environment variable names it."""
    parser = command_parser(
        "check",
        "Hold a finished run against objectives. Exit status 0: all are met, 1: one is missed, "
        "2: there is no verdict (unknown run or metric, no data, bad syntax), 3: the measurement "
        "itself is bad (the load generator was the limit, workers were lost, 401 or 403, the run's "
        "start was not watched).",
    )
    parser.add_argument(
        "--slo",
        metavar="OBJECTIVE",
        action="append",
        help="such as 'p99(us-east) < 50ms', 'cold_start_wait.max < 15s', 'share_503 < 1%%' or "
        "'throughput > 100/s'; repeat for several, semicolons in the variable; without a region "
        "each region has to meet it [DASHBOARD_CHECK_SLO]",
    )
    parser.add_argument(
        "--junit",
        metavar="PATH",
        help="file for the result as JUnit XML, - for standard output [DASHBOARD_CHECK_JUNIT]",
    )
    parser.add_argument(
        "--json",
        metavar="PATH",
        help="file for the result as JSON, - for standard output [DASHBOARD_CHECK_JSON]",
    )
    return parser


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Check what the command line says; the exit status is the verdict's.

    Raises:
        DashboardError: there is no such run, it or an objective cannot be read, or a result cannot
            be written.
    """
    given = option_parser().parse_args(arguments)
    texts = given.slo or environ.get("DASHBOARD_CHECK_SLO", "").split(";")
    objectives = _objectives([text for text in texts if text.strip()])
    junit = given.junit or environ.get("DASHBOARD_CHECK_JUNIT")
    json = given.json or environ.get("DASHBOARD_CHECK_JSON")
    if junit == json == STANDARD_OUTPUT:
        raise ConfigError("--junit - and --json - would be mixed up; name a file for one of them")
    with stored(store_path(given.store, environ)) as source:
        report = asyncio.run(checked(source, given.run, objectives))
    print_table(report.table(), junit, json)
    if junit:
        write_result(report.as_junit(), junit, "--junit")
    if json:
        write_result(report.as_json(), json, "--json")
    return int(report.judgement.status)


async def checked(
    source: EmbeddedSource, name: str, objectives: Sequence[Objective]
) -> CheckReport:
    """The judgement of the run of that name, or of the latest one.

    Raises:
        NotFoundError: there is no such run, or it has not ended.
    """
    found = await ended_run(source, name)
    verdict = await run_verdict(source, found, objectives)
    return CheckReport(found.run, verdict.seconds, verdict.judgement)


def _objectives(texts: Sequence[str]) -> list[Objective]:
    if not texts:
        raise ConfigError("--slo: expected at least one objective, such as --slo 'p99 < 50ms'")
    found = []
    for text in texts:
        try:
            found.append(Objective.parse(text))
        except ObjectiveError as error:
            raise ConfigError(f"--slo {text.strip()!r}: {error}") from error
    return found
