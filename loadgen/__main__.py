"""``python -m loadgen``: what ``locust -f loadgen`` does, and a help that has its options too.

Locust answers ``--help`` before it loads the file that ``-f`` names, so its own help cannot have
the options of that file.
"""

import sys
from pathlib import Path

from locust.argument_parser import get_parser
from locust.main import main

from loadgen.plugin import install


def run(arguments: list[str]) -> None:
    """Do what ``locust -f loadgen`` does with ``arguments``; ends the process."""
    # Locust reads them from there, and names the command by its first one.
    sys.argv = ["python -m loadgen", "-f", str(Path(__file__).parent), *arguments]
    if not {"-h", "--help"}.isdisjoint(arguments):
        install()
        parser = get_parser()
        parser.description = (
            "Usage: python -m loadgen [options] [UserClass ...]\n\n"
            "The same as locust -f loadgen, from any folder; this help has the options of both."
        )
        parser.print_help()
        return
    main()


if __name__ == "__main__":
    run(sys.argv[1:])
