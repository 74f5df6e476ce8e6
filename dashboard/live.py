"""The live stream: new points once a second, worked out once per step for all who watch.

A browser subscribes with the step of its charts. Whenever seconds were stored, every panel's points
from the earliest of them on are worked out once and put into each subscriber's queue, already
encoded. A queue holds a few messages; a client that is slower than that loses the oldest ones, and
is told the time from which it has to load again. Points replace those of the same time, so a late
scrape needs no other care than to be sent.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Final, Protocol

import numpy as np

from dashboard.errors import DashboardError
from dashboard.lines import Line, panel_lines
from dashboard.own_metrics import OwnMetrics
from dashboard.panels import PANELS
from dashboard.source import Match, Source
from dashboard.troubles import Troubles
from dashboard.window import Window

__all__ = ["Feed", "LiveHub", "sse_message"]

HEARTBEAT_S: Final = 10.0
RETRY_MS: Final = 1000
LONGEST_REPLAY_STEPS: Final = 600

_QUEUE: Final = 8
_LATE_S: Final = 0.8
_OVERLAP_S: Final = 5
_LONGEST_CHANGE_STEPS: Final = 60
_READING: Final = "reading live points"

_log = logging.getLogger(__name__)


class Feed(Protocol):
    """Says when the source has new seconds."""

    async def settled(self, within_s: float) -> None:
        """Wait until this second's scrapes are stored, at most ``within_s`` seconds."""

    def take_changes(self) -> int | None:
        """The earliest second stored since the last call, ``None`` when nothing was."""


@dataclass(slots=True, eq=False)
class _Client:
    step: int
    panels: tuple[str, ...]
    match: tuple[tuple[str, frozenset[str]], ...]
    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(_QUEUE))
    reload_from: int | None = None


class LiveHub:
    """All live streams of the dashboard. For one event loop."""

    def __init__(
        self,
        source: Source,
        feed: Feed,
        *,
        metrics: OwnMetrics,
        status: Callable[[], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._feed = feed
        self._metrics = metrics
        self._status = status
        self._clock = clock
        self._troubles = Troubles(_log)
        self._clients: set[_Client] = set()
        self._closing = asyncio.Event()
        # From which second on each step's points have not been sent.
        self._unsent: dict[int, int] = {}

    async def run(self) -> None:
        """Send what is new once a second until cancelled."""
        while True:
            now = self._clock()
            # A little after the second, when quick targets have answered.
            await asyncio.sleep(int(now) + 1.1 - now)
            await self._feed.settled(_LATE_S)
            try:
                await self.send(int(self._clock()))
            except Exception:  # supervised: the next second is tried anew
                _log.exception("live points could not be worked out")

    async def send(self, second: int) -> None:
        """Send every client what is new, up to and including ``second``."""
        changed = self._feed.take_changes()
        steps = {client.step for client in self._clients}
        self._unsent = {step: since for step, since in self._unsent.items() if step in steps}
        for step in steps:
            if changed is not None:
                self._send_from(step, changed)
        due = {step: window for step in steps if (window := self._due(step, second))}
        # A step under way is due when it is over, whether or not anything more comes.
        self._unsent |= {step: window.end for step, window in due.items()}
        views: dict[tuple[object, ...], list[_Client]] = {}
        for client in self._clients:
            views.setdefault((client.step, client.panels, client.match), []).append(client)
        status = sse_message("status", self._status())
        for clients in views.values():
            message = status
            window = due.get(clients[0].step)
            if window is not None:
                message += await self._points_or_later(clients[0], window)
            for client in clients:
                self._put(client, message)

    def _send_from(self, step: int, second: int) -> None:
        first = second // step * step
        self._unsent[step] = min(first, self._unsent.get(step, first))

    async def stream(
        self, *, step: int, panels: tuple[str, ...], match: Match, since: int | None
    ) -> AsyncIterator[bytes]:
        """One client's stream, from ``since`` (Unix seconds) on if it was connected before."""
        client = _Client(step, panels, tuple(sorted(match.items())))
        self._clients.add(client)
        self._metrics.live_clients.set(len(self._clients))
        # The step under way was loaded half, or not at all; it is sent when it is over.
        self._send_from(step, int(self._clock()))
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            yield sse_message("status", self._status())
            if since is not None:
                yield await self._replay(client, since)
            while not self._closing.is_set():
                message = await self._next(client)
                if message is not None:
                    yield message
        finally:
            self._clients.discard(client)
            self._metrics.live_clients.set(len(self._clients))

    def close(self) -> None:
        """End all streams; clients come back by themselves when somebody listens again."""
        self._closing.set()

    def _due(self, step: int, second: int) -> Window | None:
        """The full steps that have changed and are over by the end of ``second``."""
        since = self._unsent.get(step)
        end = (second + 1) // step * step
        if since is None or since >= end:
            return None
        return Window(max(since, end - _LONGEST_CHANGE_STEPS * step), end, step)

    async def _points_or_later(self, client: _Client, window: Window) -> bytes:
        """The points of a client's view; none where they cannot be had now, and are due again."""
        try:
            points = await self._points(client.panels, dict(client.match), window)
        except DashboardError as error:
            self._troubles.failed(_READING, error)
            self._send_from(client.step, window.start)
            return b""
        self._troubles.went_well(_READING)
        return points

    async def _points(self, panels: tuple[str, ...], match: Match, window: Window) -> bytes:
        data = {}
        for id_ in panels:
            found = await panel_lines(PANELS[id_], self._source, window, match)
            data[id_] = _compact(found.lines)
        body = {"start": window.start, "end": window.end, "step": window.step, "panels": data}
        return sse_message("points", json.dumps(body, separators=(",", ":")), id_=window.end)

    async def _replay(self, client: _Client, since: int) -> bytes:
        step = client.step
        end = int(self._clock()) // step * step
        # Seconds just before may have been stored after they were sent, or loaded, last time.
        start = max((since - _OVERLAP_S) // step * step, end - LONGEST_REPLAY_STEPS * step)
        if end <= start:
            return b""
        return await self._points(client.panels, dict(client.match), Window(start, end, step))

    def _put(self, client: _Client, message: bytes) -> None:
        if client.queue.full():
            client.queue.get_nowait()
            self._metrics.live_skips.inc()
            if client.reload_from is None:
                client.reload_from = int(self._clock()) - (_QUEUE + 2) * max(1, client.step)
        client.queue.put_nowait(message)

    async def _next(self, client: _Client) -> bytes | None:
        if client.reload_from is not None:
            since, client.reload_from = client.reload_from, None
            return sse_message("skipped", json.dumps({"since": since}))
        return await _first(client.queue.get(), self._closing.wait(), HEARTBEAT_S)


async def _first(
    message: Awaitable[bytes], closing: Awaitable[bool], within_s: float
) -> bytes | None:
    tasks = (asyncio.ensure_future(message), asyncio.ensure_future(closing))
    try:
        done, _ = await asyncio.wait(tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    if tasks[0] in done:
        return tasks[0].result()
    return None if tasks[1] in done else b": still here\n\n"


def _compact(lines: Sequence[Line]) -> dict[str, object]:
    """A panel's lines without repeating what they share; lines without a number are left out.

    ``names`` are label names; each line is its label values (empty where it has no such label)
    and its values, ``null`` for no data, one per step of the message.
    """
    names = sorted({name for line in lines for name in line.labels})
    told = [
        [
            [line.labels.get(name, "") for name in names],
            [value if isfinite(value) else None for value in line.values.tolist()],
        ]
        for line in lines
        if np.isfinite(line.values).any()
    ]
    return {"names": names, "lines": told}


def sse_message(event: str, data: str, *, id_: int | None = None) -> bytes:
    """One server-sent event; ``data`` must hold no line break."""
    head = "" if id_ is None else f"id: {id_}\n"
    return f"{head}event: {event}\ndata: {data}\n\n".encode()
