"""What there is to scrape: the given pages, the edge, and the containers the platform tells of."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Final
from urllib.parse import urlsplit

from dashboard.config import DEFAULT_LOADGEN, Config
from dashboard.errors import ConfigError
from dashboard.model import Event, Target
from flash.control_plane import ModalServer
from flash.local_edge import DEFAULT_ADMIN_URL, LocalEdgePlatform
from flash.modal_platform import ModalPlatform
from flash.platform import Container, ContainerState, FlashError, Platform
from flash.target import modal_server_named

__all__ = [
    "Discovery",
    "container_events",
    "container_targets",
    "edge_of",
    "fixed_targets",
    "platform_of",
]

_LOCAL_EVERY_S: Final = 1.0
_MODAL_EVERY_S: Final = 5.0  # each question is a call of Modal's control plane
_LOOKS_TOLD: Final = 3  # after so many that might have been, an answer is no longer what is

_log = logging.getLogger(__name__)


def fixed_targets(config: Config) -> list[Target]:
    """The targets that stand from the start: the given pages, and the edge itself."""
    targets = [
        Target(key=url, job="loadgen" if url == DEFAULT_LOADGEN else _job(url), url=url)
        for url in dict.fromkeys(config.scrape)
    ]
    edge = edge_of(config)
    if edge is not None:
        url = f"{edge}/metrics"
        targets.append(Target(key=url, job="edge", url=url, optional=config.flash_edge is None))
    return targets


def platform_of(config: Config) -> Platform | None:
    """The platform that tells of containers, ``None`` where there is none to ask.

    Raises:
        ConfigError: the names given do not make one.
    """
    try:
        modal: ModalServer | None = modal_server_named(
            app=config.modal_app,
            cls=config.modal_cls,
            server=config.modal_server,
            where="the command line",
        )
        if modal is not None:
            return ModalPlatform(modal)
        edge = edge_of(config)
        return None if edge is None else LocalEdgePlatform(edge)
    except FlashError as error:
        raise ConfigError(str(error)) from error


def container_targets(containers: Iterable[Container]) -> list[Target]:
    """The containers that can be scraped, each by its own address and never through a proxy."""
    return [
        Target(
            key=f"container {container.task_id}",
            job="target_app",
            url=f"{container.url}/metrics",
            labels={"container": container.task_id}
            | ({"region": container.region} if container.region else {}),
        )
        for container in containers
        if container.state is not ContainerState.STARTING
    ]


def container_events(
    before: Sequence[Container], after: Sequence[Container], now: float
) -> list[Event]:
    """What happened to containers between two looks at them."""
    old = {container.task_id: container for container in before}
    new = {container.task_id: container for container in after}
    events = []
    for task_id, container in new.items():
        was = old.get(task_id)
        if was is not None and was.state is container.state:
            continue
        if was is None and container.state is not ContainerState.STARTING:
            # It went through its first state between two looks, or before the first one.
            if container.started_at is not None:
                events.append(_event(container, "container_starting", container.started_at))
        at = now
        if container.state is ContainerState.STARTING and container.started_at is not None:
            at = container.started_at
        elif container.state is ContainerState.LIVE and container.ready_at is not None:
            at = container.ready_at
        events.append(_event(container, f"container_{container.state}", at))
    gone = [container for task_id, container in old.items() if task_id not in new]
    return events + [_event(container, "container_gone", now) for container in gone]


class Discovery:
    """Looks at the platform in a thread of its own, since its calls block.

    ``on_events`` is called in the event loop with what happened to containers.
    """

    def __init__(
        self,
        config: Config,
        *,
        platform: Platform | None,
        on_events: Callable[[list[Event]], None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fixed = fixed_targets(config)
        self._platform = platform
        self._optional = config.flash_edge is None and config.modal_app is None
        self._on_events = on_events
        self._clock = clock
        self._monotonic = monotonic
        self._every_s = _MODAL_EVERY_S if isinstance(platform, ModalPlatform) else _LOCAL_EVERY_S
        self._containers: list[Container] = []
        self._told_until = -inf
        self._answered = False
        self._error: str | None = None
        self._stop = threading.Event()

    @property
    def error(self) -> str | None:
        """Why the platform does not answer; ``None`` when it does or was never expected to."""
        return None if self._optional and not self._answered else self._error

    def targets(self) -> list[Target]:
        """Everything to scrape now."""
        return self._fixed + container_targets(self._containers)

    def containers(self) -> list[Container] | None:
        """The containers there are now, ``None`` while the platform does not tell."""
        return self._containers if self._monotonic() < self._told_until else None

    def start(self) -> None:
        """Begin to look; within a running event loop."""
        if self._platform is not None:
            loop = asyncio.get_running_loop()
            # A daemon: a call of the platform may take long, and nobody waits for it at the end.
            threading.Thread(
                target=self._look, args=(self._platform, loop), name="discovery", daemon=True
            ).start()

    def stop(self) -> None:
        """Stop looking; a call under way is not waited for."""
        self._stop.set()

    def _look(self, platform: Platform, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stop.is_set():
            found: list[Container] | None = None
            error: str | None = None
            try:
                found = platform.containers()
            except FlashError as unanswered:
                error = str(unanswered)
            except Exception as unexpected:  # this look is supervised: the next one is tried
                error = f"{type(unexpected).__name__}: {unexpected}"
                if error != self._error:
                    _log.exception("looking for containers failed")
            if self._stop.is_set():
                return
            try:
                loop.call_soon_threadsafe(self._looked, found, error)
            except RuntimeError:
                return  # the loop is closed: everybody has gone
            self._stop.wait(self._every_s)

    def _looked(self, found: list[Container] | None, error: str | None) -> None:
        self._error = error
        if error is None:
            self._answered = True
        # Without an answer the containers known last are still tried; each tells for itself.
        self._told_until = -inf
        if found is not None:
            self._told_until = self._monotonic() + _LOOKS_TOLD * self._every_s
            events = container_events(self._containers, found, self._clock())
            self._containers = found
            if events:
                self._on_events(events)


def edge_of(config: Config) -> str | None:
    """The local edge's admin address, ``None`` where none is asked."""
    if config.flash_edge is not None:
        return config.flash_edge
    if config.modal_app or config.modal_server or config.scrape_given:
        return None
    return DEFAULT_ADMIN_URL


def _job(url: str) -> str:
    port = urlsplit(url).port
    return {9646: "loadgen", 7400: "edge"}.get(port or 0, "scrape")


def _event(container: Container, kind: str, at: float) -> Event:
    verb = {
        "container_starting": "requested",
        "container_live": "live",
        "container_draining": "draining",
        "container_gone": "gone",
    }[kind]
    labels = {"container": container.task_id}
    if container.region:
        labels["region"] = container.region
    return Event(at=at, kind=kind, text=f"Container {container.task_id} {verb}", labels=labels)
