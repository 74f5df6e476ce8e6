"""``python -m dashboard``, and its sub-commands."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from dashboard import advise, check, compare, export, report
from dashboard.config import configuration
from dashboard.errors import DashboardError
from dashboard.server import serve

__all__ = ["main"]

COMMANDS: Final[Mapping[str, Callable[[Sequence[str], Mapping[str, str]], int]]] = {
    "advise": advise.main,
    "check": check.main,
    "compare": compare.main,
    "export": export.main,
    "report": report.main,
}
"""Each takes its arguments and the environment, and returns the exit status."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve until told to stop, or do what a sub-command says.

    Exit status 2 when that cannot be begun.
    """
    try:
        if arguments and arguments[0] in COMMANDS:
            return COMMANDS[arguments[0]](arguments[1:], environ)
        serve(configuration(arguments, environ))
    except DashboardError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
