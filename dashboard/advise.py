"""``python -m dashboard advise``: what a run would have met and cost with other settings."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from dashboard.advice import Advice, Option, advised, changes, sentence
from dashboard.answers import AdviceAnswer
from dashboard.commands import command_parser, print_table, store_path, write_result
from dashboard.embedded import EmbeddedSource
from dashboard.figure_text import padded, printable
from dashboard.finished_run import find_run, stored
from dashboard.recorded_run import SETTINGS, recorded_run
from dashboard.replay import Outcome
from flash.number_text import NO_DATA, percent, seconds_text

__all__ = ["main", "option_parser", "table"]

_HEADINGS: Final = ("", "503s", "share", "delayed", "mean wait", "gave up", "container-seconds")


def option_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser(
        "advise",
        "Replay a finished run's requests with other settings of the autoscaler: the refusals and "
        "the container-seconds it would have had. The settings of the run are asked for only where "
        "the platform does not tell them, as Modal does not.",
    )
    for name, setting in SETTINGS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="N",
            type=setting.parse,
            help=f"{name} of the run (default: as the platform tells)",
        )
    parser.add_argument(
        "--json", metavar="PATH", help="file for the result as JSON, - for standard output"
    )
    return parser


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Tell what the command line asks for; the exit status is 0.

    Raises:
        DashboardError: there is no such run, or too little is known of it.
    """
    given = option_parser().parse_args(arguments)
    values = {name: getattr(given, name) for name in SETTINGS if getattr(given, name) is not None}
    with stored(store_path(given.store, environ)) as source:
        advice = asyncio.run(_advised(source, given.run, values))
    print_table(table(advice) + "\n", given.json)
    if given.json:
        text = AdviceAnswer.of(advice).model_dump_json(indent=2) + "\n"
        write_result(text, given.json, "--json")
    return 0


async def _advised(source: EmbeddedSource, name: str, given: Mapping[str, float]) -> Advice:
    found = await find_run(source, name)
    return advised(await recorded_run(source, found.run, given))


def table(advice: Advice) -> str:
    """The measured and the replayed run, a few of the best other settings, and what is assumed."""
    own = advice.own
    others = [option for option in advice.picked if option.settings != own.settings]
    rows = [
        _HEADINGS,
        _row("measured", advice.measured),
        _row("replayed", own.outcome),
        *(_row(_name(option, own), option.outcome) for option in others),
    ]
    settings = ", ".join(f"{name}={getattr(own.settings, name):g}" for name in SETTINGS)
    return "\n".join(
        [
            f"run {printable(advice.recorded.run.run)}, {advice.recorded.load.seconds:.0f} s",
            f"with {settings}",
            "",
            *padded(rows, words=0),
            "",
            *(sentence(option, own) for option in others),
            "",
            *(f"- {note}" for note in advice.notes),
        ]
    )


def _name(option: Option, own: Option) -> str:
    changed = changes(option.settings, own.settings)
    return ", ".join(f"{name}={value:g}" for name, value in changed.items())


def _row(name: str, outcome: Outcome) -> tuple[str, ...]:
    return (
        name,
        f"{outcome.refused:,.0f}",
        percent(outcome.share_503),
        f"{outcome.delayed:,.0f}",
        NO_DATA if outcome.mean_wait_s is None else f"{seconds_text(outcome.mean_wait_s)} s",
        f"{outcome.gave_up:,.0f}",
        f"{outcome.container_s:,.0f}",
    )
