"""What was recorded, in a few figures per region and routing: for the terminal and the web page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flash.generator_limit import verdict
from flash.number_text import milliseconds, percent, rate_text, seconds_text
from loadgen.recorder import Channel, Recorder
from loadgen.run_watch import RunSummary

__all__ = ["SummaryRow", "TokenRow", "summary_lines", "summary_rows", "token_rows", "total_row"]

_LONGEST_NAME: Final = 12
_LONGEST_WAY: Final = 17  # such as us-east>ap-south, and a little


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryRow:
    """One region and routing; durations in seconds, ``None`` where there is no data.

    ``client_region`` is where the requests came from, ``None`` if nobody said.
    ``requests`` ended, each after one or more attempts; ``responses_503`` and ``responses_429``
    count attempts. ``p50_s`` to ``p99_s`` are of the duration of attempts that got another
    response than 503, ``response_time_p99_s`` of whole requests with their retries. ``affinity``
    is the share, 0 to 1, of a session's responses from the same container as the one before.
    Quantiles and the longest wait stand for a bucket of ``flash.buckets``.
    """

    client_region: str | None
    region: str
    routing: str
    requests: int
    rate_per_s: float | None
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    response_time_p99_s: float | None
    schedule_lag_p99_s: float | None
    responses_503: int
    affected: int
    wait_p50_s: float | None
    wait_max_s: float | None
    giveups: int
    affinity: float | None
    responses_429: int

    @property
    def way(self) -> str:
        """The region, after where the requests came from, if that is known."""
        return _way(self.client_region, self.region)


def summary_rows(recorder: Recorder, *, seconds: float | None) -> list[SummaryRow]:
    """A row for each channel, by region and routing.

    ``seconds`` is how long the recorded requests were made, ``None`` if that is not known.
    """
    return [_row(channel, seconds) for channel in recorder]


def total_row(recorder: Recorder, *, seconds: float | None) -> SummaryRow:
    """All channels in one row, without a name."""
    return _row(recorder.total(), seconds)


def _row(channel: Channel, seconds: float | None) -> SummaryRow:
    compared = channel.same + channel.moved
    return SummaryRow(
        client_region=channel.client_region,
        region=channel.region,
        routing=channel.routing,
        requests=channel.requests,
        rate_per_s=channel.requests / seconds if seconds else None,
        p50_s=channel.request_duration.quantile(0.5),
        p95_s=channel.request_duration.quantile(0.95),
        p99_s=channel.request_duration.quantile(0.99),
        response_time_p99_s=channel.response_time.quantile(0.99),
        schedule_lag_p99_s=channel.schedule_lag.quantile(0.99),
        responses_503=channel.outcomes["cold_start"],
        affected=channel.affected,
        wait_p50_s=channel.cold_start_wait.quantile(0.5),
        wait_max_s=channel.cold_start_wait.quantile(1.0),
        giveups=channel.giveups,
        affinity=channel.same / compared if compared else None,
        responses_429=channel.outcomes["throttled"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """The streamed answers of one region and routing; durations in seconds.

    Of ``streams`` answers with at least one token ``tokens`` were recorded in all. Quantiles of the
    time between tokens are ``None`` where no answer had two.
    """

    client_region: str | None
    region: str
    routing: str
    streams: int
    tokens: int
    rate_per_s: float | None
    first_p50_s: float | None
    first_p95_s: float | None
    first_p99_s: float | None
    between_p50_s: float | None
    between_p95_s: float | None
    between_p99_s: float | None

    @property
    def way(self) -> str:
        """As that of a :class:`SummaryRow`."""
        return _way(self.client_region, self.region)


def token_rows(recorder: Recorder, *, seconds: float | None) -> list[TokenRow]:
    """A row for each channel that had tokens, and of several one for all of them without a name."""
    rows = [
        _token_row(channel, seconds) for channel in recorder if channel.time_to_first_token.total
    ]
    return [*rows, _token_row(recorder.total(), seconds)] if len(rows) > 1 else rows


def _token_row(channel: Channel, seconds: float | None) -> TokenRow:
    first, between = channel.time_to_first_token, channel.time_between_tokens
    tokens = first.total + between.total
    return TokenRow(
        client_region=channel.client_region,
        region=channel.region,
        routing=channel.routing,
        streams=first.total,
        tokens=tokens,
        rate_per_s=tokens / seconds if seconds else None,
        first_p50_s=first.quantile(0.5),
        first_p95_s=first.quantile(0.95),
        first_p99_s=first.quantile(0.99),
        between_p50_s=between.quantile(0.5),
        between_p95_s=between.quantile(0.95),
        between_p99_s=between.quantile(0.99),
    )


def _way(client_region: str | None, region: str) -> str:
    return region if client_region is None else f"{client_region}>{region}"


# For a terminal.

_Column = tuple[str, str, str]
"""What stands above it, at its head, and in a row."""

_LEFT_ALIGNED: Final = 2


def summary_lines(summary: RunSummary) -> list[str]:
    """The tables of a run for a terminal, at most 155 columns wide, and its verdict."""
    title = f"Cold starts and latency by region, run {summary.run.run}, {summary.seconds:.1f} s"
    recorder, seconds = summary.recorded, summary.seconds or None
    rows = summary_rows(recorder, seconds=seconds)
    if not rows:
        return [f"{title}: no requests"]
    if len(rows) > 1:
        rows.append(total_row(recorder, seconds=seconds))
    late = any(row.schedule_lag_p99_s is not None for row in rows)
    table = _table([tuple(_columns(row, late=late)) for row in rows])
    tokens = [tuple(_token_columns(row)) for row in token_rows(recorder, seconds=seconds)]
    token_table = ["Streamed tokens by region", *_table(tokens)] if tokens else []
    return [title, *table, *token_table, verdict(summary.evidence())]


def _columns(row: SummaryRow, *, late: bool) -> Iterator[_Column]:
    """The cells of a row; ``late`` is with the open model's schedule lag."""
    yield "", "region", _shortened(row.way or "all", _LONGEST_WAY)
    yield "", "routing", _shortened(row.routing)
    yield "", "requests", str(row.requests)
    yield "", "req/s", rate_text(row.rate_per_s)
    yield "request (ms)", "p50", milliseconds(row.p50_s)
    yield "", "p95", milliseconds(row.p95_s)
    yield "", "p99", milliseconds(row.p99_s)
    response = "response, late (ms)" if late else "response (ms)"
    yield response, "p99", milliseconds(row.response_time_p99_s)
    if late:
        yield "", "p99", milliseconds(row.schedule_lag_p99_s)
    yield "", "503s", str(row.responses_503)
    yield "", "affected", str(row.affected)
    yield "cold wait (s)", "p50", seconds_text(row.wait_p50_s)
    yield "", "max", seconds_text(row.wait_max_s)
    yield "", "give-ups", str(row.giveups)
    yield "", "affinity", percent(row.affinity)
    yield "", "429s", str(row.responses_429)


def _token_columns(row: TokenRow) -> Iterator[_Column]:
    yield "", "region", _shortened(row.way or "all", _LONGEST_WAY)
    yield "", "routing", _shortened(row.routing)
    yield "", "streams", str(row.streams)
    yield "", "tokens", str(row.tokens)
    yield "", "tokens/s", rate_text(row.rate_per_s)
    yield "first (ms)", "p50", milliseconds(row.first_p50_s)
    yield "", "p95", milliseconds(row.first_p95_s)
    yield "", "p99", milliseconds(row.first_p99_s)
    yield "between (ms)", "p50", milliseconds(row.between_p50_s)
    yield "", "p95", milliseconds(row.between_p95_s)
    yield "", "p99", milliseconds(row.between_p99_s)


def _table(rows: Sequence[Sequence[_Column]]) -> list[str]:
    """The lines of a table; the last of several rows is their total, and set apart."""
    above, heads, *cells = zip(*rows[0], strict=True)
    cells += [tuple(cell for _, _, cell in row) for row in rows[1:]]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = [_line(texts, widths) for texts in (above, heads, *cells)]
    rule = "-" * max(map(len, lines))
    body, total = (lines[2:-1], [rule, lines[-1]]) if len(rows) > 1 else (lines[2:], [])
    return [*lines[:2], rule, *body, *total, rule]


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


def _shortened(name: str, longest: int = _LONGEST_NAME) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
