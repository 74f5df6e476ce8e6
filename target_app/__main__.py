"""``python -m target_app``: the server, one process, on ``$PORT``."""

import os
import secrets
import signal
import sys
import time
from collections.abc import Mapping, Sequence

__all__ = ["main"]


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve until told to stop; 0 after a graceful stop, 2 for an unusable setting."""
    started_unix, started = time.time(), time.perf_counter()
    # Until uvicorn listens to signals, one simply ends the process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        # Importing is most of a boot without a delay: it happens here to be part of its measure.
        from target_app.config import Config, ConfigError
        from target_app.server import serve
    except KeyboardInterrupt:
        return 0
    try:
        config = Config.from_command_line(
            arguments, environ, container=f"ta-local{secrets.token_hex(6)}"
        )
        serve(config, started_unix=started_unix, started=started)
    except ConfigError as error:
        print(f"target_app: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
