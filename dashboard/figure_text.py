"""Figures and names as a table for a terminal has them."""

from collections.abc import Sequence
from math import isinf

from flash.number_text import NO_DATA, milliseconds, rate_text, seconds_text
from flash.objective import Unit

__all__ = ["measured_text", "padded", "printable"]


def measured_text(value: float | None, unit: Unit) -> str:
    """A figure with its unit."""
    if value is None:
        return NO_DATA
    match unit:
        case Unit.SECONDS if isinf(value):
            return "beyond the last bucket"
        case Unit.SECONDS:
            return f"{milliseconds(value)} ms" if value < 1 else f"{seconds_text(value)} s"
        case Unit.SHARE:
            return f"{value:.3%}"
        case Unit.PER_SECOND:
            return f"{rate_text(value)}/s"
        case Unit.COUNT:
            return f"{value:,.0f}"


def padded(rows: Sequence[Sequence[str]], *, words: int = 1) -> list[str]:
    """Lines of a table: names at the left, figures at the right, ``words`` columns after them."""
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    figures = len(widths) - words
    return [
        "  ".join(
            (
                name.ljust(first),
                *(cell.rjust(width) for cell, width in zip(cells, widths[:figures], strict=False)),
                *cells[figures:],
            )
        )
        for name, *cells in rows
    ]


def printable(text: str) -> str:
    """Without control characters: names of runs and regions come from whoever was scraped."""
    return "".join(one if one.isprintable() else "?" for one in text)
