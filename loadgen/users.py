"""The base class of virtual users, for our locustfile and for anybody's own."""

import logging
import uuid
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
from loadgen.generator import generator_of
from loadgen.plugin import install
from loadgen.user_tasks import UserTasks

__all__ = ["FlashUser"]

_log = logging.getLogger("loadgen")

install()


class FlashUser(User):
    """A user of a Modal HTTP Server: ``self.client`` sends to the flash URL of its region.

    Users of a class are spread evenly over the target's regions. With ``routing = "sticky"`` every
    request carries the user's own ``Modal-Session-ID``; with ``"non_sticky"`` none does.
    """

    abstract = True
    routing: ClassVar[str] = "non_sticky"

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        generator = generator_of(environment)
        self._kind = type(self).__name__
        self.region = generator.next_region(self._kind, generator.worker_index())
        channel = generator.recorder.channel(self.region, self.routing)
        self._channel = channel
        self.client = FlashClient(
            generator.urls[self.region],
            channel,
            generator.recorder,
            generator.feed,
            config=generator.client_config,
            session=str(uuid.uuid4()) if self.routing == "sticky" else None,
            policy=generator.policy,
            probe=generator.probe(self.region),
            container_headers=generator.options.container_headers,
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
        model = generator_of(self.environment).open_model
        if model is None:
            self._taskset_instance = UserTasks(self)
        else:
            self._taskset_instance = ArrivalTasks(self, model.dispatcher)
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
