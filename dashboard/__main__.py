"""``python -m dashboard``."""

import os
import sys
from collections.abc import Mapping, Sequence

from dashboard.config import configuration
from dashboard.errors import DashboardError
from dashboard.server import serve

__all__ = ["main"]


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve until told to stop; exit status 2 when that cannot be begun."""
    try:
        serve(configuration(arguments, environ))
    except DashboardError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
