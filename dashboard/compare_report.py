"""What a comparison of two runs found, as a table for people."""

from typing import Final

from dashboard.figure_text import measured_text, padded, printable
from dashboard.run_comparison import FALSE_ALARMS, Outcome, Row, RunComparison
from flash.number_text import NO_DATA
from flash.objective import Unit

__all__ = ["table_of"]

_IN_WORDS: Final = {
    Outcome.NOT_WORSE: "no figure is worse for sure",
    Outcome.WORSE: "a figure is worse for sure",
    Outcome.UNUSABLE: "no verdict, as there is too little data for any figure",
    Outcome.BAD_MEASUREMENT: "no verdict, as the measurement itself is bad",
}


def table_of(comparison: RunComparison) -> str:
    """Lines of text, the verdict last."""
    base, run = comparison.base, comparison.run
    lines = [printable(f"before: run {base.run}"), printable(f"after:  run {run.run}")]
    lines += [
        printable(
            f"{name}: {base.labels.get(name, NO_DATA)} before, {run.labels.get(name, NO_DATA)}"
        )
        for name in sorted(base.labels.keys() | run.labels.keys())
        if base.labels.get(name) != run.labels.get(name)
    ]
    headings = ("figure", "before", "after", "change", "95 % interval", "verdict")
    lines += padded([headings, *map(_row, comparison.rows)])
    tested = sum(row.p is not None for row in comparison.rows)
    if tested:
        lines.append(
            f"changes of up to {comparison.tolerance:.1%} of the figure before are none; of two "
            f"equal runs a row says better or worse in at most {FALSE_ALARMS:.0%} of cases, and in "
            f"as many any of the {tested} rows says so for sure"
        )
    lines += [f"bad measurement: {printable(problem)}" for problem in comparison.problems]
    return "\n".join([*lines, _IN_WORDS[comparison.outcome], ""])


def _row(row: Row) -> tuple[str, ...]:
    scope = ",".join(part for part in (row.region, row.routing) if part)
    change, interval = NO_DATA, NO_DATA
    if row.change is not None:
        value, low, high = (_signed(one, row.unit) for one in row.change)
        change, interval = value, f"{low} to {high}"
    return (
        printable(f"{row.compared.name}({scope})" if scope else row.compared.name),
        measured_text(row.base.value, row.unit),
        measured_text(row.run.value, row.unit),
        change,
        interval,
        f"{row.verdict}, for sure" if row.is_sure else str(row.verdict),
    )


def _signed(change: float, unit: Unit) -> str:
    match unit:
        case Unit.SECONDS:
            return f"{change:+.1%}"
        case Unit.SHARE:
            return f"{change * 100:+.3f} pp"
        case _:
            return f"{change:+.1f}/s"
