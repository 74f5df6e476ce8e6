"""The containers of the edge: one pool behind all regions, kept as large as the autoscaler says."""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Final, Literal, cast

from flash.autoscaler import (
    SHORTEST_STEP_S,
    STEP_S,
    Autoscaler,
    AutoscalerSettings,
    Candidate,
    to_stop,
)
from flash.edge.complaints import Complaints
from flash.edge.config import Config
from flash.edge.counters import StartCounters
from flash.edge.events import EventLog
from flash.edge.life_cycle import MOST_FAILED_CHECKS, Happening, State, next_state
from flash.edge.open_files import OWN_SHORTAGES
from flash.edge.processes import Launcher, Process, free_port
from flash.edge.region import Upstream
from flash.edge.routing import Router
from flash.edge.upstream import UpstreamConnection

__all__ = ["ContainerPool", "ManagedContainer"]

_log = logging.getLogger("flash.edge")

_CHECK_EVERY_S: Final = 1.0
_CHECK_WITHIN_S: Final = 0.5
_PORT_POLL_S: Final = 0.02
_KILL_AFTER_S: Final = 30.0
_CLOSE_ALLOWANCE_S: Final = 0.5
_CLOSE_WITHIN_S: Final = 3.0
_LONGEST_BACK_OFF_S: Final = 30.0
_SHORTEST_LIFE_S: Final = 5.0
_HOST: Final = "127.0.0.1"


class ManagedContainer:
    """One container of the pool, from the decision to start it to its end."""

    def __init__(self, region: str) -> None:
        self.task_id = f"ta-{secrets.token_hex(8)}"
        self.region = region
        self.host = _HOST
        self.port = 0
        self.state = State.STARTING
        self.in_flight = 0
        self.idle: list[UpstreamConnection] = []
        self.routed = b"x-edge-container: " + self.task_id.encode() + b"\r\n"
        self.started_at = time.time()
        self.ready_at: float | None = None
        self.process: Process | None = None
        self.stop_asked = asyncio.Event()
        self.gone = asyncio.Event()

    def __repr__(self) -> str:
        return f"ManagedContainer({self.task_id!r}, {self.state})"


class ContainerPool:
    """Starts, checks, drains and replaces containers; tells the proxies which one to use."""

    def __init__(self, config: Config, launcher: Launcher, events: EventLog) -> None:
        self.events = events
        self.complaints = Complaints(
            _log.warning, lambda after_s, call: asyncio.get_running_loop().call_later(after_s, call)
        )
        self.starts = StartCounters()
        self.grace_s = config.exit_grace_period_s
        self.max_concurrency = config.max_concurrency
        self._config = config
        self._launcher = launcher
        self._autoscaler = Autoscaler(config.autoscaler)
        self._router: Router[ManagedContainer] = Router()
        self.choose: Callable[[str | None], Upstream | None] = self._router.choose
        self._containers: dict[str, ManagedContainer] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._refused = False
        self._crowded = 0
        self._in_flight = 0
        self._request_seconds = 0.0
        self._stepped = monotonic()
        self._wake = asyncio.Event()
        self._closing = False
        self._hurried = False
        self._failures = 0
        self._not_before = 0.0

    def __repr__(self) -> str:
        return f"ContainerPool({list(self._containers.values())!r})"

    # What the data plane asks and tells.

    def saturated(self, container: Upstream) -> bool:
        limit = self.max_concurrency
        if limit is None or container.in_flight < limit:
            return False
        if self._router.least_in_flight() >= limit:
            self._crowded = len(self._router)
        return True

    def refused(self) -> None:
        if not self._refused:
            self._refused = True
            self._wake.set()

    def unreachable(self, container: Upstream) -> None:
        self._happens(cast(ManagedContainer, container), Happening.CHECK_FAILED)

    def misbehaved(self, container: Upstream, what: str) -> None:
        if cast(ManagedContainer, container).state is not State.DRAINING:
            self.complaints.add(f"container {container.task_id}", what)

    def short_of(self, error: OSError) -> None:
        self.complaints.add("the edge", f"cannot connect to containers: {error.strerror}")

    def entered(self, container: Upstream) -> None:
        container.in_flight += 1
        self._in_flight += 1
        self._request_seconds -= monotonic() - self._stepped

    def left(self, container: Upstream) -> None:
        container.in_flight -= 1
        self._in_flight -= 1
        self._request_seconds += monotonic() - self._stepped

    # What the operator asks and tells.

    @property
    def settings(self) -> AutoscalerSettings:
        return self._autoscaler.settings

    def update(self, settings: AutoscalerSettings) -> None:
        """From now on the autoscaler aims at these."""
        self._autoscaler.settings = settings
        self.events.add("autoscaler_updated", detail=repr(settings))
        self._wake.set()

    def containers(self) -> list[ManagedContainer]:
        """All that exist, in the order of their start."""
        return list(self._containers.values())

    def by_state(self) -> dict[str, int]:
        """How many are starting, live and draining, as :func:`public_state` counts them."""
        counts = {"starting": 0, "live": 0, "draining": 0}
        for container in self._containers.values():
            counts[public_state(container.state)] += 1
        return counts

    def find(self, task_id: str) -> ManagedContainer | None:
        return self._containers.get(task_id)

    def kill(self, container: ManagedContainer) -> None:
        """End its processes at once, as a crash would."""
        self.events.add("kill_requested", container.task_id)
        self._happens(container, Happening.STOPPED)
        if container.process is not None:
            container.process.kill()
        else:
            container.stop_asked.set()

    def stop(self, container: ManagedContainer) -> None:
        """Take it out of routing, let it finish, end it."""
        self._happens(container, Happening.STOPPED)
        container.stop_asked.set()

    async def run(self) -> None:
        """Keep the pool as large as the autoscaler says, until cancelled."""
        while True:
            self._step()
            await asyncio.sleep(SHORTEST_STEP_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STEP_S - SHORTEST_STEP_S):
                    await self._wake.wait()
            self._wake.clear()

    def sweep(self) -> None:
        """Called each second: closes connections that containers may be about to close."""
        for container in self._containers.values():
            for connection in [one for one in container.idle if one.grows_old()]:
                container.idle.remove(connection)
                connection.abort()

    async def close(self, cut_off: Callable[[], None]) -> None:
        """Stop every container and wait until all are gone.

        ``cut_off`` is called after the grace period; it ends the requests that are left.
        """
        self._closing = True
        for container in self.containers():
            self.stop(container)
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=self.grace_s + _CLOSE_ALLOWANCE_S)
            if left:
                cut_off()
                _, left = await asyncio.wait(left, timeout=_CLOSE_WITHIN_S)
            if left:
                self.hurry()
                await asyncio.wait(left)

    def hurry(self) -> None:
        """End every container now, and those that are just being started."""
        self._hurried = True
        for container in self.containers():
            self.kill(container)

    # Keeping the size.

    def _step(self) -> None:
        if self._closing:
            return
        now = monotonic()
        elapsed = now - self._stepped
        # Who entered took the time before from it, who left added the time until then.
        request_seconds = self._request_seconds + self._in_flight * elapsed
        demand = request_seconds / elapsed if elapsed > 0 else float(self._in_flight)
        self._stepped, self._request_seconds = now, 0.0
        refused, self._refused = self._refused, False
        crowded, self._crowded = self._crowded, 0
        counted = [
            container
            for container in self._containers.values()
            if container.state is not State.DRAINING
        ]
        change = self._autoscaler.step(
            now, demand=demand, refused=refused, containers=len(counted), crowded=crowded
        )
        if change > 0 and now >= self._not_before:
            for _ in range(change):
                self._start()
        elif change < 0:
            self._scale_down(counted, -change)

    def _scale_down(self, counted: list[ManagedContainer], number: int) -> None:
        settings = self.settings
        too_many = len(counted) > settings.max_containers
        candidates = [
            Candidate(one.task_id, one.in_flight, one.started_at, one.ready_at) for one in counted
        ]
        ready_by = None if too_many else time.time() - settings.scaledown_window
        for task_id in to_stop(candidates, number, ready_by=ready_by):
            self.stop(self._containers[task_id])

    def _start(self) -> None:
        container = ManagedContainer(self._config.container_region)
        self._containers[container.task_id] = container
        self.events.add("requested", container.task_id)
        self._spawn(self._live_and_die(container))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # One container's life.

    async def _live_and_die(self, container: ManagedContainer) -> None:
        try:
            await self._live(container)
        except Exception:
            _log.exception("container %s failed", container.task_id)
        finally:
            if container.process is not None:
                container.process.kill()
            self._happens(container, Happening.EXITED)
            self._containers.pop(container.task_id, None)
            self.complaints.forget(f"container {container.task_id}")
            container.gone.set()
            for connection in list(container.idle):
                connection.abort()
            self._wake.set()

    async def _live(self, container: ManagedContainer) -> None:
        if await _first(container.stop_asked.wait(), after_s=self._config.boot_delay_s):
            self.starts.results["stopped"] += 1
            return
        try:
            taken = [one.port for one in self._containers.values()]
            container.port = free_port(container.host, taken=taken)
            container.process = await self._launcher.start(
                {
                    "PORT": str(container.port),
                    "MODAL_TASK_ID": container.task_id,
                    "MODAL_REGION": container.region,
                    "MODAL_CLOUD_PROVIDER": "CLOUD_PROVIDER_LOCAL",
                    "MODAL_ENVIRONMENT": "local",
                }
            )
        except OSError as error:
            self._failed(container, "exited", f"cannot be started: {error}")
            return
        self.events.add("process_started", container.task_id)
        if self._hurried:
            container.process.kill()
        ended = asyncio.ensure_future(container.process.ended())
        stopped = asyncio.ensure_future(container.stop_asked.wait())
        try:
            await self._run(container, ended, stopped)
        finally:
            stopped.cancel()
            container.process.kill()
            await ended

    async def _run(
        self,
        container: ManagedContainer,
        ended: "asyncio.Future[int]",
        stopped: "asyncio.Future[Literal[True]]",
    ) -> None:
        opened = asyncio.ensure_future(_port_opens(container.host, container.port))
        await asyncio.wait(
            (ended, stopped, opened),
            timeout=self._config.startup_timeout_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
        opened.cancel()
        if stopped.done() or container.state is State.DRAINING:
            self.starts.results["stopped"] += 1
        elif ended.done():
            self._failed(container, "exited", f"exited with status {ended.result()} while starting")
            return
        elif not opened.done() or opened.cancelled():
            self._happens(container, Happening.STARTED_TOO_SLOWLY)
            within = f"{self._config.startup_timeout_s:g} s"
            self._failed(
                container, "timeout", f"did not open port {container.port} within {within}"
            )
            return
        else:
            self._is_ready(container)
            checks = asyncio.ensure_future(self._check(container))
            await asyncio.wait((ended, stopped, checks), return_when=asyncio.FIRST_COMPLETED)
            checks.cancel()
        if ended.done():
            self._exited(container, ended.result())
            return
        await self._drain(container, ended)

    def _is_ready(self, container: ManagedContainer) -> None:
        container.ready_at = time.time()
        self.starts.results["ready"] += 1
        self.starts.boot.observe(container.ready_at - container.started_at)
        self._happens(container, Happening.PORT_OPEN)

    def _exited(self, container: ManagedContainer, status: int) -> None:
        self.events.add("exited", container.task_id, f"status {status}")
        if container.state is State.DRAINING:
            return
        lived_s = 0.0 if container.ready_at is None else time.time() - container.ready_at
        if lived_s >= _SHORTEST_LIFE_S:
            self._failures = 0
            _log.warning("container %s exited with status %s", container.task_id, status)
            return
        wait_s = self._back_off()
        _log.error(
            "container %s exited with status %s after %.1f s; the next start waits %g s%s",
            *(container.task_id, status, lived_s, wait_s, _last_words(container)),
        )

    def _back_off(self) -> float:
        """Seconds for which nothing is started; more after each failure in a row."""
        wait_s = float(min(_LONGEST_BACK_OFF_S, 0.5 * 2 ** min(self._failures, 10)))
        self._failures += 1
        self._not_before = monotonic() + wait_s
        return wait_s

    def _failed(self, container: ManagedContainer, result: str, what: str) -> None:
        """A start that came to nothing: the next one waits, longer each time."""
        self.starts.results[result] += 1
        wait_s = self._back_off()
        self.events.add("start_failed", container.task_id, what)
        _log.error(
            "container %s %s; the next start waits %g s%s",
            *(container.task_id, what, wait_s, _last_words(container)),
        )

    async def _check(self, container: ManagedContainer) -> None:
        """Look at the port every second; returns when it failed too often in a row."""
        failed = 0
        while True:
            await asyncio.sleep(_CHECK_EVERY_S)
            accepts = await _accepts(container.host, container.port, within_s=_CHECK_WITHIN_S)
            if accepts is None:
                continue
            if accepts:
                failed = 0
                self._failures = 0
                self._happens(container, Happening.CHECK_PASSED)
                continue
            failed += 1
            self._happens(container, Happening.CHECK_FAILED)
            if failed > MOST_FAILED_CHECKS:
                _log.warning("container %s does not answer; replacing it", container.task_id)
                self._happens(container, Happening.TOO_MANY_FAILED)
                return

    async def _drain(self, container: ManagedContainer, ended: "asyncio.Future[int]") -> None:
        assert container.process is not None
        until = monotonic() + self.grace_s
        while container.in_flight and monotonic() < until and not ended.done():
            await asyncio.wait((ended,), timeout=0.02)
        for connection in list(container.idle):
            connection.abort()  # servers may wait for open connections before they end
        container.process.terminate()
        self.events.add("terminated", container.task_id)
        await asyncio.wait((ended,), timeout=_KILL_AFTER_S)
        if not ended.done():
            _log.warning("container %s ignored SIGTERM; killing it", container.task_id)

    def _happens(self, container: ManagedContainer, happening: Happening) -> None:
        before = container.state
        container.state = after = next_state(before, happening)
        if after is before:
            return
        self.events.add(after.value, container.task_id, happening.value)
        if after is State.UNHEALTHY:
            self.misbehaved(container, "takes no connections; it gets no requests until it does")
        elif before is State.UNHEALTHY and after is State.LIVE:
            _log.info("container %s takes connections again", container.task_id)
        if State.LIVE in (before, after):
            self._router.replace(
                [one for one in self._containers.values() if one.state is State.LIVE]
            )


def public_state(state: State) -> str:
    """The state as the admin interface tells it: starting, live or draining."""
    if state is State.UNHEALTHY:
        return State.STARTING.value  # not in routing, and may be so again
    return State.DRAINING.value if state is State.GONE else state.value


def _last_words(container: ManagedContainer) -> str:
    """The last line that it printed, to be put behind a message about its end."""
    lines = container.process.last_output().splitlines() if container.process is not None else []
    return f"; it said last: {lines[-1].strip()}" if lines else ""


async def _first(wait: Coroutine[None, None, Literal[True]], *, after_s: float) -> bool:
    """Whether ``wait`` ended within the time."""
    try:
        # asyncio.wait_for of Python 3.11 can swallow a cancellation.
        async with asyncio.timeout(after_s):
            await wait
    except TimeoutError:
        return False
    return True


async def _port_opens(host: str, port: int) -> None:
    while not await _accepts(host, port, within_s=1.0):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(_PORT_POLL_S)


async def _accepts(host: str, port: int, *, within_s: float) -> bool | None:
    """Whether somebody takes connections; ``None`` where this machine has none left to try with."""
    try:
        async with asyncio.timeout(within_s):
            _, writer = await asyncio.open_connection(host, port)
    except OSError as error:  # also a time-out
        return None if error.errno in OWN_SHORTAGES else False
    # A connection to a free port of this machine can, by chance, meet itself.
    itself = writer.get_extra_info("sockname") == writer.get_extra_info("peername")
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return not itself
