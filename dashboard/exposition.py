"""The Prometheus text format, read fast and strictly.

A scrape repeats the scrape before it but for some values, so the work is split: every line is cut
at its last space into a series' raw text and a value, and only raw text never seen before is
parsed into a name and labels. The value of a text is in :class:`Exposition`, the meaning of its
series in :mod:`dashboard.shape`.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4). Not read are
sample timestamps and exemplars, which none of our targets sends; they are refused as garbage.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from dashboard.errors import ExpositionError

__all__ = [
    "Exposition",
    "Labels",
    "SeriesName",
    "parse_number",
    "parse_series",
    "read_exposition",
]

Labels = tuple[tuple[str, str], ...]
"""A label set: name and value pairs in the order of the names, none with an empty value."""

LONGEST_SERIES: Final = 4096
"""Characters of one series' raw text; longer ones are garbage."""

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\[\\"n])*)"\s*')
_BLANKS: Final = re.compile(r"\s*")
_ESCAPE: Final = re.compile(r"\\(.)")
_ESCAPED: Final = {"\\": "\\", '"': '"', "n": "\n"}
_VALUE: Final = re.compile(
    r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|[iI]nf|[nN]a[nN])",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class SeriesName:
    """One series: its metric name as exposed and its labels."""

    name: str
    labels: Labels


@dataclass(frozen=True, slots=True)
class Exposition:
    """One scrape's text: ``series`` are raw texts in their order, ``values`` theirs.

    ``comments`` are the lines that begin with ``#``; ``lines`` holds the line number of each
    series, counted from 1.
    """

    series: list[str]
    values: NDArray[np.float64]
    comments: list[str]
    lines: list[int]


def read_exposition(body: bytes) -> Exposition:
    """Cut a scrape's body into series and values.

    Raises:
        ExpositionError: not UTF-8, cut off within a line, or a line that has no value.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise ExpositionError(line, "expected UTF-8 text") from error
    if text and not text.endswith("\n"):
        raise ExpositionError(text.count("\n") + 1, "the text ends within a line")
    series: list[str] = []
    values: list[str] = []
    comments: list[str] = []
    numbers: list[int] = []
    for number, text_line in enumerate(text.split("\n"), 1):
        if text_line:
            if text_line[0] == "#":
                comments.append(text_line)
            else:
                name, _, value = text_line.rpartition(" ")
                series.append(name)
                values.append(value)
                numbers.append(number)
    return Exposition(series, _values(values, numbers), comments, numbers)


def parse_series(raw: str) -> SeriesName:
    """The name and labels in a series' raw text.

    Raises:
        ValueError: anything but ``name`` or ``name{label="value",...}``; the message says what.
    """
    if len(raw) > LONGEST_SERIES:
        raise ValueError(f"a series of {len(raw)} characters; at most {LONGEST_SERIES} are read")
    found = _NAME.match(raw)
    if found is None:
        raise ValueError(f"expected a metric name, got {raw[:60]!r}")
    rest = raw[found.end() :].strip(" ")
    if not rest:
        return SeriesName(found.group(), ())
    if rest[0] != "{" or rest[-1] != "}":
        raise ValueError(f'expected name{{label="value"}} value, got {raw[:60]!r}')
    return SeriesName(found.group(), _labels(rest[1:-1], raw))


def parse_number(text: str) -> float:
    """A number as the format writes it.

    Raises:
        ValueError: it is none; Python's own ``float`` takes more than the format does.
    """
    if not _VALUE.fullmatch(text):
        raise ValueError(f"expected a number, got {text[:40]!r}")
    return float(text)


def _labels(text: str, raw: str) -> Labels:
    labels: dict[str, str] = {}
    at = 0
    while (blanks := _BLANKS.match(text, at)) is not None and blanks.end() < len(text):
        found = _LABEL.match(text, at)
        if found is None:
            raise ValueError(f'expected label="value" in {raw[:60]!r}')
        name, value = found.groups()
        if name in labels:
            raise ValueError(f"label {name!r} is given twice in {raw[:60]!r}")
        labels[name] = (
            _ESCAPE.sub(lambda m: _ESCAPED[m.group(1)], value) if "\\" in value else value
        )
        at = found.end()
        if at < len(text):
            if text[at] != ",":
                raise ValueError(f"expected a comma between labels in {raw[:60]!r}")
            at += 1
    # An empty label value is the same as no label.
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def _values(texts: list[str], numbers: list[int]) -> NDArray[np.float64]:
    # Python's float() takes more than the format does: underscores, blanks, other scripts'
    # digits. All of these show in characters that no value of the format has.
    joined = "".join(texts)
    if joined.isascii() and joined.isprintable() and "_" not in joined:
        with suppress(ValueError):
            return np.array(list(map(float, texts)), dtype=np.float64)
    values: list[float] = []
    for text, number in zip(texts, numbers, strict=True):
        try:
            values.append(parse_number(text))
        except ValueError:
            raise ExpositionError(
                number, f"expected a number at the end, got {text[:40]!r}"
            ) from None
    return np.array(values, dtype=np.float64)
