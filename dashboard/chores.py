"""Work on the side: started and left alone, its failures logged, ended with whoever started it."""

import asyncio
from collections.abc import Coroutine

from dashboard.errors import DashboardError
from dashboard.troubles import Troubles

__all__ = ["Chores"]


class Chores:
    """Tasks that nobody waits for. For one event loop."""

    def __init__(self, troubles: Troubles) -> None:
        self._troubles = troubles
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[None, None, None], what: str) -> None:
        """Start ``work``; ``what`` says in a log what failed."""

        async def supervised() -> None:
            try:
                await work
            except DashboardError as error:
                self._troubles.failed(what, error)
            else:
                self._troubles.went_well(what)

        task = asyncio.create_task(supervised())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Cancel what is under way and wait until it is over."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
