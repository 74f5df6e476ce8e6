"""``python -m flash.edge``: Modal's edge on this machine, in front of COMMAND."""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence

from flash.edge.config import configuration
from flash.edge.errors import ConfigError
from flash.edge.service import serve
from flash.file_limit import raise_file_limit

__all__ = ["main"]


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run until told to stop; 0 after that, 2 for unusable settings."""
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s: %(message)s", level="INFO")
    try:
        config = configuration(arguments, environ)
        files = raise_file_limit()
        with asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(serve(config, environ, files=files))
    except ConfigError as error:
        print(f"flash.edge: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    return 0


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
