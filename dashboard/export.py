"""``python -m dashboard export``: every panel's lines of a run, as CSV or Parquet.

The form is long: a row is one point of one line, with its time, panel, labels and value.
"""

import argparse
import asyncio
import csv
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from math import isfinite
from pathlib import Path
from typing import TextIO

from dashboard.commands import STANDARD_OUTPUT, command_parser, store_path
from dashboard.embedded import EmbeddedSource
from dashboard.errors import ConfigError, NotFoundError
from dashboard.finished_run import FINEST_S, find_run, stored
from dashboard.lines import Line, panel_lines
from dashboard.panels import PANELS
from dashboard.window import Window

__all__ = ["Format", "Table", "main", "option_parser"]


class Format(StrEnum):
    """How a table is written."""

    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Lines of panels over one window."""

    window: Window
    lines: Sequence[tuple[str, Line]]

    @property
    def columns(self) -> list[str]:
        """``time``, ``panel``, every label that a line has, ``value``."""
        labels = dict.fromkeys(name for _, line in self.lines for name in line.labels)
        return ["time", "panel", *labels, "value"]

    def rows(self) -> Iterator[list[object]]:
        """A row per point; a label that a line lacks is ``""``, and no data is ``None``."""
        names = self.columns[2:-1]
        for panel, line in self.lines:
            labels = [line.labels.get(name, "") for name in names]
            for time, value in zip(self.window.times(), line.values.tolist(), strict=True):
                yield [time, panel, *labels, value if isfinite(value) else None]

    def of_panel(self, panel: str) -> "Table":
        """The lines of one panel, with no other labels than theirs."""
        return Table(self.window, [one for one in self.lines if one[0] == panel])


def option_parser() -> argparse.ArgumentParser:
    """The command line; every option that has an environment variable names it."""
    parser = command_parser(
        "export",
        "Write every panel's lines of a run: a row per point with its time (Unix seconds), panel, "
        "labels and value, which is empty where there is no data. The numbers are those of "
        "/api/panels/{id}/data, with a point per second where the run has at most 3,600 of them.",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        default=STANDARD_OUTPUT,
        help="file to write, or, where the name does not end in .csv or .parquet, folder with a "
        f"file for each panel (default: {STANDARD_OUTPUT}; standard output)",
    )
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        choices=[str(one) for one in Format],
        help="csv, or parquet, which needs the extra flashgauge[parquet] "
        "(default: csv; where the output's name does not tell it)",
    )
    return parser


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Write what the command line says; the exit status is 0.

    Raises:
        DashboardError: there is no such run, or it cannot be read or written.
    """
    given = option_parser().parse_args(arguments)
    format_ = _format(given.output, given.format)
    with stored(store_path(given.store, environ)) as source:
        table = asyncio.run(_read(source, given.run))
    if not table.lines:
        raise NotFoundError("run", "the store has no points of this run; were they deleted by age?")
    _write(table, given.output, format_)
    return 0


async def _read(source: EmbeddedSource, name: str) -> Table:
    run = await find_run(source, name)
    window = await source.window(run.start, run.end, FINEST_S)
    lines: list[tuple[str, Line]] = []
    for panel in PANELS.values():
        found = await panel_lines(panel, source, window, {})
        if found.left_out:
            print(
                f"dashboard: {panel.id}: {found.left_out} lines are left out, those that came last",
                file=sys.stderr,
            )
        lines += [
            (panel.id, line) for line in found.lines if any(map(isfinite, line.values.tolist()))
        ]
    return Table(window, lines)


def _format(output: str, given: str | None) -> Format:
    suffix = Path(output).suffix.removeprefix(".")
    named = Format(suffix) if suffix in list(Format) else None
    format_ = Format(given) if given else named or Format.CSV
    if named is not None and named is not format_:
        raise ConfigError(f"--output {output} is not the name of a {format_} file; see --format")
    if format_ is Format.PARQUET and output == STANDARD_OUTPUT:
        raise ConfigError("--format parquet: name a file or a folder with --output")
    return format_


def _write(table: Table, output: str, format_: Format) -> None:
    if output == STANDARD_OUTPUT:
        _write_standard_output(table)
        return
    path = Path(output)
    if path.suffix == f".{format_}":
        _write_file(table, path, format_)
        return
    with _told(path):
        path.mkdir(parents=True, exist_ok=True)
    for panel in dict.fromkeys(panel for panel, _ in table.lines):
        _write_file(table.of_panel(panel), path / f"{panel}.{format_}", format_)


def _write_standard_output(table: Table) -> None:
    try:
        _write_csv(table, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads has enough, as `head` has; nothing is to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_file(table: Table, path: Path, format_: Format) -> None:
    with _told(path):
        if format_ is Format.PARQUET:
            _write_parquet(table, path)
        else:
            with path.open("w", encoding="utf-8", newline="") as file:
                _write_csv(table, file)


def _write_csv(table: Table, file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(_cells(row) for row in table.rows())


def _cells(row: Iterable[object]) -> list[object]:
    return [_harmless(cell) if isinstance(cell, str) else cell for cell in row]


def _harmless(text: str) -> str:
    # What a target calls itself must not be a formula when a spreadsheet opens the file.
    risky = text.startswith(("=", "+", "-", "@", "\t", "\r")) and not _is_number(text)
    return f"'{text}" if risky else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _write_parquet(table: Table, path: Path) -> None:
    try:
        arrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise ConfigError(
            "--format parquet needs pyarrow: pip install 'flashgauge[parquet]', or take csv"
        ) from error
    columns = zip(table.columns, zip(*table.rows(), strict=True), strict=True)
    parquet.write_table(arrow.table({name: list(values) for name, values in columns}), path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"--output: cannot write {path}: {error.strerror}") from error
