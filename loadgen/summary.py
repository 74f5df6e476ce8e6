"""What was recorded, in a few figures per region and routing: for the terminal and the web page."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Final

from flash.buckets import BOUNDS_S, quantile
from loadgen.recorder import Channel, Histogram, Recorder

__all__ = ["SummaryRow", "milliseconds", "percent", "seconds_text", "summary_lines", "summary_rows"]

NO_DATA: Final = "-"
_LONGEST_NAME: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One region and routing; durations in seconds, ``None`` where there is no data.

    ``requests`` ended, each after one or more attempts; ``responses_503`` and ``responses_429``
    count attempts. ``p50_s`` to ``p99_s`` are of the duration of attempts that got another
    response than 503, ``response_time_p99_s`` of whole requests with their retries. ``affinity``
    is the share, 0 to 1, of a session's responses from the same container as the one before.
    Quantiles and the longest wait stand for a bucket of ``flash.buckets``.
    """

    region: str
    routing: str
    requests: int
    rate_per_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    response_time_p99_s: float | None
    responses_503: int
    affected: int
    wait_p50_s: float | None
    wait_max_s: float | None
    giveups: int
    affinity: float | None
    responses_429: int


def summary_rows(recorder: Recorder, *, seconds: float | None) -> list[SummaryRow]:
    """A row for each channel, by region and routing.

    ``seconds`` is how long the recorded requests were made, ``None`` if that is not known.
    """
    return [_row(channel, seconds) for channel in recorder]


def _row(channel: Channel, seconds: float | None) -> SummaryRow:
    compared = channel.same + channel.moved
    return SummaryRow(
        region=channel.region,
        routing=channel.routing,
        requests=channel.requests,
        rate_per_s=channel.requests / seconds if seconds else None,
        p50_s=_quantile(channel.request_duration, 0.5),
        p95_s=_quantile(channel.request_duration, 0.95),
        p99_s=_quantile(channel.request_duration, 0.99),
        response_time_p99_s=_quantile(channel.response_time, 0.99),
        responses_503=channel.outcomes["cold_start"],
        affected=channel.affected,
        wait_p50_s=_quantile(channel.cold_start_wait, 0.5),
        wait_max_s=_quantile(channel.cold_start_wait, 1.0),
        giveups=channel.giveups,
        affinity=channel.same / compared if compared else None,
        responses_429=channel.outcomes["throttled"],
    )


def _quantile(histogram: Histogram, q: float) -> float | None:
    value = quantile(histogram.counts, q)
    return None if isnan(value) else value


_TITLES: Final = (
    ("", "", "", "", "request (ms)", "", "", "response", "", "", "cold wait (s)", "", "", "", ""),
    (
        "region",
        "routing",
        "requests",
        "req/s",
        "p50",
        "p95",
        "p99",
        "p99 (ms)",
        "503s",
        "affected",
        "p50",
        "max",
        "give-ups",
        "affinity",
        "429s",
    ),
)
_LEFT_ALIGNED: Final = 2


def summary_lines(recorder: Recorder, *, seconds: float | None) -> list[str]:
    """The table of :func:`summary_rows` for a terminal, with its title; at most 150 columns."""
    over = "" if not seconds else f" over {seconds:.1f} s"
    title = f"Cold starts and latency by region{over}"
    rows = [_cells(row) for row in summary_rows(recorder, seconds=seconds)]
    if not rows:
        return [f"{title}: no requests"]
    table = [*_TITLES, *rows]
    widths = [max(map(len, column)) for column in zip(*table[1:], strict=True)]
    lines = [_line(cells, widths) for cells in table]
    rule = "-" * max(map(len, lines))
    return [title, *lines[:2], rule, *lines[2:], rule]


def _cells(row: SummaryRow) -> tuple[str, ...]:
    return (
        _shortened(row.region),
        _shortened(row.routing),
        str(row.requests),
        _rate(row.rate_per_s),
        milliseconds(row.p50_s),
        milliseconds(row.p95_s),
        milliseconds(row.p99_s),
        milliseconds(row.response_time_p99_s),
        str(row.responses_503),
        str(row.affected),
        seconds_text(row.wait_p50_s),
        seconds_text(row.wait_max_s),
        str(row.giveups),
        percent(row.affinity),
        str(row.responses_429),
    )


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    # Headings of several columns begin above the first of them and may run over the next ones.
    line, end = "", 0
    for index, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        start = end + (2 if index else 0)
        end = start + width
        if cell:
            left = index < _LEFT_ALIGNED or len(cell) > width
            line = line.ljust(start) + (cell if left else cell.rjust(width))
    return line


def _rate(per_s: float | None) -> str:
    if per_s is None:
        return NO_DATA
    return f"{per_s:.{1 if per_s < 999.95 else 0}f}"


def milliseconds(seconds: float | None) -> str:
    """A duration in milliseconds: three figures below a hundred, whole above."""
    if seconds is None:
        return NO_DATA
    ms = seconds * 1e3
    decimals = 2 if ms < 9.995 else 1 if ms < 99.95 else 0
    return f"{_above(seconds)}{ms:.{decimals}f}"


def seconds_text(seconds: float | None) -> str:
    """A duration in seconds, to a hundredth below ten."""
    if seconds is None:
        return NO_DATA
    return f"{_above(seconds)}{seconds:.{2 if seconds < 9.995 else 1}f}"


def percent(share: float | None) -> str:
    """A share from 0 to 1 in per cent; 100.0 % only where it is all of them."""
    if share is None:
        return NO_DATA
    shown = f"{share:.1%}"
    return "99.9%" if shown == "100.0%" and share < 1 else shown


def _above(seconds: float) -> str:
    # The last bucket has no upper bound: of what is in it only that it is longer is known.
    return ">" if seconds >= BOUNDS_S[-1] else ""


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
