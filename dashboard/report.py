"""``python -m dashboard report``: a run as one HTML file that needs no dashboard and no network.

It is the page itself: its markup, its style, its modules, fed with answers of the JSON interface
that were recorded for the time of the run.
"""

import argparse
import asyncio
import json
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import ceil
from pathlib import Path
from typing import Any, Final

import httpx

from dashboard.answers import RunAnswer
from dashboard.app import create_app
from dashboard.bundle import bundled
from dashboard.commands import command_parser, store_path
from dashboard.config import Config
from dashboard.embedded import EmbeddedSource
from dashboard.errors import ConfigError, NotFoundError, StoreError
from dashboard.finished_run import FinishedRun, find_run, stored
from dashboard.lines import FILTERS
from dashboard.page import load_page
from dashboard.panels import PANELS

__all__ = ["Recorded", "html_of", "main", "option_parser", "recorded"]

Recorded = Mapping[str, object]
"""Answers of the JSON interface by what they are of; ``data`` has those of the panels by id."""

_DEFAULT_OUTPUT: Final = "report.html"
_POINTS: Final = 300  # as the page asks for
_PLOTLY: Final = "vendor/plotly.min.js"
_WHOLE_RUN: Final = {
    "summary": "/api/summary",
    "distribution": "/api/distribution",
    "cold_starts": "/api/cold_starts",
    "refusals": "/api/refusals",
    "containers": "/api/containers",
    "stickiness": "/api/stickiness",
    "matrix": "/api/matrix",
}


def option_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = command_parser(
        "report",
        "Write a run as one HTML file: the page's verdict, charts and tables with the numbers that "
        "the page shows for the time of the run. It is opened from disk and loads nothing.",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="PATH",
        default=_DEFAULT_OUTPUT,
        help=f"file to write (default: {_DEFAULT_OUTPUT})",
    )
    return parser


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Write what the command line says; the exit status is 0.

    Raises:
        DashboardError: there is no such run, or it cannot be read or written.
    """
    given = option_parser().parse_args(arguments)
    with stored(store_path(given.store, environ)) as source:
        text = html_of(asyncio.run(_read(source, given.run)))
    try:
        Path(given.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output: cannot write {given.output}: {error.strerror}") from error
    print(f"Report: {given.output}")
    return 0


async def _read(source: EmbeddedSource, name: str) -> Recorded:
    return await recorded(source, await find_run(source, name))


async def recorded(source: EmbeddedSource, run: FinishedRun) -> Recorded:
    """What the JSON interface answers to the page for the time of a run.

    Raises:
        NotFoundError: no panel has a number.
        StoreError: the store did not answer.
    """
    transport = httpx.ASGITransport(create_app(Config(), source, clock=lambda: run.end))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:

        async def answer(path: str, **query: float | str) -> Any:
            response = await client.get(path, params=query)
            if response.status_code != httpx.codes.OK:
                raise StoreError(response.json()["error"]["message"])
            return response.json()

        labels = await answer("/api/labels")
        # As the page does where there are more regions than it shows.
        chosen = {name: ",".join(labels[name]) for name in FILTERS} if labels["left_out"] else {}
        step = max(1, ceil((run.end - run.start) / _POINTS))
        window = await source.window(run.start, run.end, step)
        whole = {"start": window.start, "end": window.end}
        data = {
            id_: _with_numbers(
                await answer(f"/api/panels/{id_}/data", **whole, **chosen, step=window.step)
            )
            for id_ in PANELS
        }
        if not any(panel["lines"] for panel in data.values()):
            raise NotFoundError("run", "the store has no points of this run any more")
        parts = {name: await answer(path, **whole, **chosen) for name, path in _WHOLE_RUN.items()}
        return {
            "run": RunAnswer.of(run.run).model_dump(),
            "panels": await answer("/api/panels"),
            "labels": labels,
            "events": await answer("/api/events", start=window.start, end=window.end + window.step),
            "data": data,
            **parts,
        }


def html_of(told: Recorded) -> str:
    """The report, with no more in it than the page, its modules, Plotly and what was recorded."""
    page = load_page({})
    files = {name: asset.body.decode() for name, asset in page.assets.items()}
    scripts = [
        files[_PLOTLY],
        bundled(files, "report.js"),
    ]
    for script in scripts:
        if re.search(r"</script|<!--", script, re.I):
            raise ValueError("a script has what would end it, or begin a comment, within HTML")
    index = page.index.body.decode()
    body = index[index.index("<body") :].partition(">")[2].rpartition("</body>")[0]
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(scripts)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        "<title>flashgauge report</title>",
        f"<style>{files['page.css']}</style>",
        "</head>",
        '<body class="report">',
        body.strip(),
        f'<script type="application/json" id="recorded">{_data_block(told)}</script>',
        *(f"<script>{script}</script>" for script in scripts),
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _policy(scripts: Sequence[str]) -> str:
    """Nothing may be loaded, no script may run but these; Plotly sets styles in its drawings."""
    hashes = " ".join(
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _data_block(told: Recorded) -> str:
    # "<" is what could end the block; the escape means the same to whoever parses it.
    return json.dumps(told, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _with_numbers(panel: dict[str, Any]) -> dict[str, Any]:
    """The panel's answer without lines that are of other runs, and have no number in this one."""
    lines = [line for line in panel["lines"] if any(v is not None for _, v in line["points"])]
    return {**panel, "lines": lines}
