"""One process of the load generator: its target, what it records, and its runs."""

import logging
import os
import random
import secrets
import time
from collections.abc import Mapping
from typing import Final

import gevent
from locust.env import Environment
from locust.runners import WorkerRunner

from flash.local_edge import LocalEdgePlatform
from flash.modal_platform import ModalPlatform
from flash.platform import Platform, PlatformUnreachableError, TargetError
from flash.proxy_token import ProxyToken
from flash.target import TargetOptions, resolve_target
from loadgen.arrival_schedule import RateSchedule
from loadgen.client_config import DEFAULT_HEADERS, ClientConfig
from loadgen.cold_start_policy import ColdStartPolicy
from loadgen.dispatcher import Dispatcher
from loadgen.exposition import Run
from loadgen.flash_client import RetryPolicy
from loadgen.load_profile import LoadProfile
from loadgen.load_shape import ProfileShape
from loadgen.open_model import OpenModel
from loadgen.options import Options
from loadgen.platform_sessions import PlatformSessions
from loadgen.probe import Probe
from loadgen.recorder import Recorder
from loadgen.request_body import NO_BODY
from loadgen.request_file import MOST_NAMES, OTHER_NAME, read_body_file, read_request_file
from loadgen.session import IdSessions, SessionSource
from loadgen.statistics_feed import StatisticsFeed
from loadgen.steady_clock import SteadyClock
from loadgen.step_model import StepModel
from loadgen.traffic import Traffic, starting_place
from loadgen.traffic_request import TrafficRequest

__all__ = ["Generator", "generator_of"]

_log = logging.getLogger("loadgen")

_ATTRIBUTE: Final = "flashgauge"
_MOST_RUNS: Final = 100
_MADE_WITHIN_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.02
_EDGE_WITHIN_S: Final = 10.0  # who starts all parts at once does not say in which order they come
_ASK_EVERY_S: Final = 0.2


class Generator:
    """What the users of one Locust environment share.

    Raises:
        UsageError: a file that the options name cannot be used.
        TargetError: no target is given, it has no sessions that are asked for, or a proxy token is
            given by half.
        PlatformUnreachableError: the target's URLs cannot be had.
    """

    def __init__(self, environment: Environment, options: Options) -> None:
        self.environment = environment
        self.options = options
        # For good: at the start of a run a worker is given its master's options.
        self.recorder = Recorder(options.client_region or os.environ.get("MODAL_REGION") or None)
        self.clock = SteadyClock()  # by which runs begin, go on and end
        self.feed = StatisticsFeed(environment, clock=self.clock)
        self.runs: list[Run] = []
        self.started = self.clock()
        self.policy = RetryPolicy(options.cold_start_timeout_s)
        self.open_model: OpenModel | None = None  # of the run, if it has one
        self.step_model: StepModel | None = None  # likewise, when a capacity is searched
        self.client_config = _client_config(options)
        self.traffic: Traffic | None = None  # of the run, unless it is but the path of the options
        self._requests = _requests(options)
        self._begin_traffic()
        self._assigned: dict[tuple[str, str], int] = {}
        self._probes: dict[str, Probe] = {}
        self._host: str | None = None
        self.sessions: SessionSource = IdSessions()
        self.find_target(edge_within_s=_EDGE_WITHIN_S)
        setattr(environment, _ATTRIBUTE, self)

    def __repr__(self) -> str:
        return f"<Generator for {self.platform.describe()}>"

    def find_target(self, *, edge_within_s: float = 0.0) -> None:
        """Look the target up, also again after its host was changed on Locust's page.

        A local edge that is named has ``edge_within_s`` seconds to answer.
        """
        options = self.options
        self._host = self.environment.host
        given = TargetOptions(
            flash_urls=options.flash_urls,
            modal_app=options.modal_app,
            modal_cls=options.modal_cls,
            modal_server=options.modal_server,
            flash_edge=options.flash_edge,
            # Locust reads its variable as if it was the option, which goes before all variables.
            host=None if self._host == os.environ.get("LOCUST_HOST") else self._host,
        )
        platform = resolve_target(given, os.environ)
        sessions = self._sessions_of(platform)
        self.urls: Mapping[str, str] = _flash_urls(platform, edge_within_s)
        self.platform: Platform = platform
        self.sessions = sessions

    def _sessions_of(self, platform: Platform) -> SessionSource:
        if not self.options.modal_sessions:
            return IdSessions()
        server = platform.name if isinstance(platform, ModalPlatform) else None
        if server is None or server.server is None:
            raise TargetError(
                "--modal-sessions needs --modal-server: only a server on Modal, declared with "
                f"@modal.sessioned(), starts sessions, and the target is {platform.describe()}"
            )
        if isinstance(self.sessions, PlatformSessions) and self.sessions.server == server:
            return self.sessions
        return PlatformSessions(server, within_s=lambda: self.policy.deadline_s)

    def close_sessions(self) -> None:
        """End those that Modal started."""
        if isinstance(self.sessions, PlatformSessions):
            self.sessions.close()

    def apply(self, options: Options) -> None:
        """What a run is made with: it can be changed on Locust's page, and of a worker by its
        master. Files are read again only if they are others.

        Raises:
            UsageError: a file cannot be used; nothing has changed then.
        """
        before = self.options
        if _described_by(options) != _described_by(before):
            self._requests = _requests(options)
        if options.headers != before.headers:
            self.client_config = _client_config(options)
        self.options = options
        self.policy = RetryPolicy(options.cold_start_timeout_s)
        self._begin_traffic()

    def probe(self, region: str) -> Probe | None:
        """What the users of a region in this process wait for, ``None`` if each asks by itself."""
        if self.options.cold_start_policy is ColdStartPolicy.RETRY:
            return None
        return self._probes.setdefault(region, Probe())

    @property
    def dispatcher(self) -> Dispatcher | None:
        """Who hands arrivals to the run's users; ``None`` in the closed model."""
        model = self.open_model or self.step_model
        return None if model is None else model.dispatcher

    @property
    def load_profile(self) -> LoadProfile | None:
        """The option's, or that of a shape in the locustfile."""
        shape = self.environment.shape_class
        own = shape.load_profile if isinstance(shape, ProfileShape) else None
        return self.options.load_profile or own

    @property
    def schedule(self) -> RateSchedule | None:
        """Of the open model's arrivals; ``None`` in the closed model."""
        rate, profile = self.options.arrival_rate, self.load_profile
        if rate is None or profile is None:
            return rate
        return profile.schedule(rate.rate(0.0))

    def host_changed(self) -> bool:
        """Whether Locust's host is no longer the one that the target was looked up with."""
        return self.environment.host != self._host

    def next_region(self, kind: str, first: int) -> str:
        """The region with the fewest users of a kind; of equal ones the next after ``first``."""
        regions = list(self.urls)
        start = first % len(regions)
        turned = regions[start:] + regions[:start]
        region = min(turned, key=lambda name: self._assigned.get((kind, name), 0))
        self._assigned[kind, region] = self._assigned.get((kind, region), 0) + 1
        return region

    def leave_region(self, kind: str, region: str) -> None:
        """A user of a kind has gone."""
        self._assigned[kind, region] -= 1

    def worker_index(self) -> int:
        """This worker's number among its master's, 0 where there is no master."""
        return max(0, int(getattr(self.environment.runner, "worker_index", 0) or 0))

    def run_started(self) -> None:
        """A run begins now."""
        started = self.clock()
        moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(started))
        options = self.options
        is_open = self.schedule is not None or bool(options.find_capacity)
        info = {
            "target": self.platform.describe(),
            "regions": ",".join(self.urls),
            "load_model": "open" if is_open else "closed",
            "cold_start_policy": options.cold_start_policy.value,
            "cold_start_timeout": f"{options.cold_start_timeout_s:g}",
        }
        if is_open:
            info["arrival_process"] = options.arrival_process.value
        if objectives := options.objectives or options.find_capacity:
            info["objective"] = ",".join(map(str, objectives))
        self.runs.append(Run(f"{moment}-{secrets.token_hex(2)}", started, info=info))
        del self.runs[:-_MOST_RUNS]

    def run_stopped(self) -> None:
        """The run ends now."""
        self.recorder.run_ended()
        if self.runs and not self.runs[-1].ended:
            last = self.runs[-1]
            self.runs[-1] = Run(last.run, last.started, self.clock(), last.info)

    def _begin_traffic(self) -> None:
        self.traffic = None
        if self._requests:
            self.traffic = Traffic(
                self._requests,
                self.options.request_order,
                start=starting_place(self.worker_index(), len(self._requests)),
                uniform=random.random,
            )


def generator_of(environment: Environment) -> Generator:
    """The generator of an environment; on a worker whose target is still looked up, once it is.

    Raises:
        RuntimeError: Locust was used as a library and none was made.
    """
    found = getattr(environment, _ATTRIBUTE, None)
    if found is None and isinstance(environment.runner, WorkerRunner):
        # A master may have a worker start users as soon as the two are connected.
        found = _awaited(environment)
    if not isinstance(found, Generator):
        raise RuntimeError(
            "this Locust environment has no load generator; fire environment.events.init, "
            "or make a loadgen.generator.Generator(environment, Options())"
        )
    return found


def _described_by(options: Options) -> tuple[object, ...]:
    return options.request_file, options.method, options.path, options.body_file


def _requests(options: Options) -> tuple[TrafficRequest, ...]:
    """What the users that come with Locust request in turn; nothing if it is a path to GET, for
    which the client has its own short way."""
    if options.request_file is not None:
        found = read_request_file(options.request_file)
        if found.renamed:
            _log.warning(
                "%s has more than %d names: %d of its requests are called %s in Locust's table; "
                "have them share names",
                *(options.request_file, MOST_NAMES, found.renamed, OTHER_NAME),
            )
        return found.requests
    if options.method == "GET" and options.body_file is None:
        return ()
    body = NO_BODY if options.body_file is None else read_body_file(options.body_file)
    return (TrafficRequest(options.method, options.path, options.path, body=body),)


def _client_config(options: Options) -> ClientConfig:
    token = ProxyToken.from_env(os.environ)
    secrets_of_target = {} if token is None else token.headers()
    return ClientConfig(headers={**DEFAULT_HEADERS, **secrets_of_target, **dict(options.headers)})


def _flash_urls(platform: Platform, edge_within_s: float) -> Mapping[str, str]:
    give_up = time.monotonic() + edge_within_s
    told = False
    while True:
        try:
            return platform.flash_urls()
        except PlatformUnreachableError as error:
            if not isinstance(platform, LocalEdgePlatform) or time.monotonic() >= give_up:
                raise
            if not told:
                _log.warning("%s; it has %g s to come", error, edge_within_s)
                told = True
            gevent.sleep(_ASK_EVERY_S)


def _awaited(environment: Environment) -> object:
    give_up = time.monotonic() + _MADE_WITHIN_S
    while getattr(environment, _ATTRIBUTE, None) is None and time.monotonic() < give_up:
        gevent.sleep(_LOOK_EVERY_S)
    return getattr(environment, _ATTRIBUTE, None)
