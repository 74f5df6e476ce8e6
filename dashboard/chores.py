"""Work on the side: started and left alone, its failures logged, ended with whoever started it."""

import asyncio
import logging
from collections.abc import Coroutine

from dashboard.errors import DashboardError

__all__ = ["Chores"]

_log = logging.getLogger(__name__)


class Chores:
    """Tasks that nobody waits for. For one event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[None, None, None], what: str) -> None:
        """Start ``work``; ``what`` says in a log what failed."""

        async def supervised() -> None:
            try:
                await work
            except DashboardError as error:
                _log.error("%s failed: %s", what, error)

        task = asyncio.create_task(supervised())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Cancel what is under way and wait until it is over."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
