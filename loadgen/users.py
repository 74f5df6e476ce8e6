"""The base class of virtual users, for our locustfile and for anybody's own."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import gevent
from gevent import GreenletExit
from gevent.pool import Group
from locust import User
from locust.env import Environment
from locust.exception import StopTest, StopUser
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    LOCUST_STATE_WAITING,
)

from loadgen.arrival_tasks import ArrivalTasks
from loadgen.flash_client import FlashClient
from loadgen.generator import Generator, generator_of
from loadgen.plugin import install
from loadgen.session import UNLIMITED, Session, SessionLimit
from loadgen.session_client import SessionClient
from loadgen.user_tasks import UserTasks

__all__ = ["FlashUser"]

_log = logging.getLogger("loadgen")

install()


class FlashUser(User):
    """A user of a Modal HTTP Server: ``self.client`` sends to the flash URL of its region.

    Users of a class are spread evenly over the target's regions. With ``routing = "sticky"`` every
    request carries the user's own session; with ``"non_sticky"`` none does. A session is followed
    by a new one after ``session_requests`` or when it is ``session_seconds`` old, whichever comes
    first; what is ``None`` is as the options say.
    """

    abstract = True
    routing: ClassVar[str] = "non_sticky"
    session_requests: ClassVar[int | None] = None
    session_seconds: ClassVar[float | None] = None

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        generator = generator_of(environment)
        self._kind = type(self).__name__
        self.region = generator.next_region(self._kind, generator.worker_index())
        channel = generator.recorder.channel(self.region, self.routing)
        self._channel = channel
        self.client = self._new_client(generator)

    def renew_session(self) -> None:
        """Go on in a new session, of which the next request is the first.

        Raises:
            UsageError: the user is not sticky.
            SessionError: Modal was asked for one, and gave none; the next request asks again.
        """
        self.client.renew_session()

    def _new_client(self, generator: Generator) -> FlashClient:
        options = generator.options
        sessions, sticky = generator.sessions, self.routing == "sticky"
        limit = SessionLimit(
            options.session_requests if self.session_requests is None else self.session_requests,
            options.session_seconds if self.session_seconds is None else self.session_seconds,
        )
        new_client: Callable[..., FlashClient] = FlashClient
        if sticky and (sessions.asks_platform or limit != UNLIMITED):
            new_client = partial(SessionClient, sessions=sessions, limit=limit)
        return new_client(
            generator.urls[self.region],
            self._channel,
            generator.recorder,
            generator.feed,
            config=generator.client_config,
            session=Session.new().id if sticky and not sessions.asks_platform else None,
            policy=generator.policy,
            probe=generator.probe(self.region),
            container_headers=options.container_headers,
            context=self.context,
        )

    def start(self, group: Group) -> gevent.Greenlet:
        """Start it, as Locust does; it counts as a user until it ends, however that comes."""
        greenlet = super().start(group)
        self._channel.gauges.users += 1
        greenlet.link(self._ended)
        return greenlet

    def run(self) -> None:  # type: ignore[misc] # final, but there is no other way in
        """Locust's own, but for the loop over the tasks."""
        self._state = LOCUST_STATE_RUNNING
        dispatcher = generator_of(self.environment).dispatcher
        if dispatcher is None:
            self._taskset_instance = UserTasks(self)
        else:
            self._taskset_instance = ArrivalTasks(self, dispatcher)
        try:
            try:
                self.on_start()
            except Exception as error:
                if not isinstance(error, (StopUser, StopTest)):
                    _log.exception("on_start of %s failed", self._kind)
                    self.environment.events.user_error.fire(
                        user_instance=self, exception=error, tb=error.__traceback__
                    )
                raise
            self._taskset_instance.run()
        except (GreenletExit, StopUser, StopTest):
            self.on_stop()

    def take_turn(self) -> bool:
        """Whether the user has given way to others, by a request, since this was last asked."""
        gave_way, self.client.gave_way = self.client.gave_way, False
        return gave_way

    def stop(self, force: bool = False) -> bool:
        """Stop it, as Locust does; unless by force, a request that has begun is finished."""
        if not force and self._state == LOCUST_STATE_WAITING:
            # Locust kills whom it finds waiting, but only in a moment: whose pause ends meanwhile
            # would begin a request that the server counts and nobody here.
            self._state = LOCUST_STATE_STOPPING
            self.group.killone(self.greenlet)
            return True
        return bool(super().stop(force))

    def _ended(self, greenlet: Any) -> None:
        if isinstance(self._taskset_instance, ArrivalTasks):
            self._taskset_instance.leave()
        self._channel.gauges.users -= 1
        generator_of(self.environment).leave_region(self._kind, self.region)
        self.client.close()
