"""The file, or standard output, that the summaries of runs are written to as JSON."""

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

from loadgen.errors import UsageError

__all__ = ["STANDARD_OUTPUT", "SummaryFile"]

STANDARD_OUTPUT: Final = "-"
_RUN: Final = "{run}"
_LIKE_AN_ID: Final = "20000101T000000Z-0000"


class SummaryFile:
    """``path`` as the option gives it: ``-`` is standard output, ``{run}`` in it the run's id.

    Without ``{run}`` each summary takes the place of the one before. On standard output each is a
    line of its own.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"SummaryFile({self.path!r})"

    def check(self) -> None:
        """Find out whether a summary could be written now, and leave nothing behind.

        Raises:
            UsageError: it could not.
        """
        if self.path == STANDARD_OUTPUT:
            return
        target = self._target(_LIKE_AN_ID)
        try:
            if target.exists() and not target.is_file():
                raise self._problem("it is no regular file")
            trial = _beside(target)
            trial.touch(exist_ok=False)
            trial.unlink()
        except OSError as error:
            raise self._problem(error.strerror or str(error)) from error

    def write(self, run: str, text: str) -> str:
        """Write the summary of a run; whoever reads it finds all of it or none.

        Returns the file's whole path, of standard output what the option calls it.

        Raises:
            UsageError: it cannot be written.
        """
        if self.path == STANDARD_OUTPUT:
            print(text, flush=True)
            return STANDARD_OUTPUT
        target = self._target(run)
        coming = _beside(target)
        try:
            with coming.open("x", encoding="utf-8") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
            coming.replace(target)
        except OSError as error:
            with suppress(OSError):
                coming.unlink()
            raise self._problem(error.strerror or str(error)) from error
        return str(target)

    def _target(self, run: str) -> Path:
        # What a link names is replaced, not the link.
        return Path(os.path.realpath(self.path.replace(_RUN, run)))

    def _problem(self, reason: str) -> UsageError:
        return UsageError(
            f"cannot write the summary to {self.path!r}: {reason}; "
            "choose another file with --summary-json or LOADGEN_SUMMARY_JSON, - is standard output"
        )


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}")
