"""``python -m flash urls | containers``: what Modal knows of a deployed server, as JSON.

``sessions`` starts and ends a sessioned server's sessions, as lines on standard input say.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import BinaryIO

from flash.control_plane import ClientControlPlane
from flash.platform import FlashError, TargetError
from flash.server_sessions import ModalServerSessions, serve
from flash.target import modal_server_named

__all__ = ["main"]


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the answer; exit status 2 when the server is not named or not found."""
    options = _parser().parse_args(arguments)
    try:
        name = modal_server_named(
            app=options.modal_app or environ.get("FLASH_MODAL_APP"),
            cls=options.modal_cls or environ.get("FLASH_MODAL_CLS"),
            server=options.modal_server or environ.get("FLASH_MODAL_SERVER"),
            where="the command line",
        )
        if name is None:
            raise TargetError("pass --modal-app APP with --modal-cls CLS or --modal-server NAME")
        if options.question == "sessions":
            if name.server is None:
                raise TargetError("sessions are those of a server; pass --modal-server NAME")
            answer = partial(print, flush=True)
            asyncio.run(serve(ModalServerSessions(name), _lines(sys.stdin.buffer), answer))
            return 0
        modal = ClientControlPlane(name)
        print(json.dumps(modal.urls() if options.question == "urls" else modal.containers()))
    except FlashError as error:
        print(f"flash: {error}", file=sys.stderr)
        return 2
    return 0


async def _lines(pipe: BinaryIO) -> AsyncIterator[bytes]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    async for line in reader:
        yield line


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flash", description=__doc__)
    parser.add_argument("question", choices=("urls", "containers", "sessions"), help="what to ask")
    parser.add_argument("--modal-app", metavar="APP", help="deployed app [FLASH_MODAL_APP]")
    parser.add_argument(
        "--modal-cls", metavar="CLS", help="its class, for the @app.cls form [FLASH_MODAL_CLS]"
    )
    parser.add_argument(
        "--modal-server",
        metavar="NAME",
        help="its server, for the @app.server form [FLASH_MODAL_SERVER]",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
