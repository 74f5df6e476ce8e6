"""How a user of the open model runs its tasks: each for an arrival, at its intended start."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from gevent import get_hub, getcurrent, sleep
from locust.exception import StopUser
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    LOCUST_STATE_WAITING,
)

from loadgen.dispatcher import Dispatcher, Lane
from loadgen.flash_client import FlashClient
from loadgen.user_tasks import UserTasks

__all__ = ["ArrivalTasks"]


class ArrivalTasks(UserTasks):
    """Locust's loop over a user's tasks; before each one it waits for an arrival.

    The task's first request counts from the arrival's intended start. A task without a request
    uses its arrival up all the same. Wait times are not asked for, since users that wait for
    themselves would decide when requests start; in the tasks of a nested ``TaskSet`` those of the
    user stand for arrivals too.
    """

    def __init__(self, user: Any, dispatcher: Dispatcher) -> None:
        super().__init__(user)
        self._dispatcher = dispatcher
        self._lane: Lane | None = None
        self._client: FlashClient = user.client
        self._resume = getcurrent().switch

    def on_start(self) -> None:
        """The user has started: arrivals can come."""
        user: Any = self.user
        self._lane = self._dispatcher.join((type(user), user.region))
        user.wait_time = self._wait_nested

    def leave(self) -> None:
        """The user has ended; an arrival that it did not begin is left to others. Repeatable."""
        lane, self._lane = self._lane, None
        if lane is not None:
            intended, self._client.intended_start = self._client.intended_start, None
            if intended is not None:
                lane.give_back(intended)
            lane.leave()

    def execute_next_task(self) -> None:
        """Run a task for the next arrival, and so on, until something else than a task ends.

        Whatever they raise goes to Locust's own loop, which then calls this again.
        """
        queue, user, client = self._task_queue, self.user, self._client
        execute_task: Callable[[Any], None] = self.execute_task
        while True:
            client.intended_start = None
            client.intended_start = self._arrival()
            task = queue.popleft() if queue else self.get_next_task()
            if type(task) is FunctionType:
                task(user)
            else:
                execute_task(task)

    def wait(self) -> None:
        """No pause: it is the next arrival that is waited for.

        Raises:
            StopUser: the user was told to stop.
        """
        if self.user._state == LOCUST_STATE_STOPPING:
            raise StopUser

    def _arrival(self) -> float:
        """The intended start of the arrival that is this user's, when it has come.

        Raises:
            StopUser: the user was told to stop.
        """
        user: Any = self.user
        lane = self._lane
        assert lane is not None  # it joined when it started
        if lane.queue and not user.take_turn():
            sleep(0)  # the tasks so far have kept the others from running
        if user._state == LOCUST_STATE_STOPPING:
            raise StopUser
        intended = lane.take(self._resume)
        if intended is not None:
            return intended
        user._state = LOCUST_STATE_WAITING
        try:
            handed: float = get_hub().switch()
        finally:
            lane.withdraw(self._resume)
        if user._state == LOCUST_STATE_STOPPING:
            lane.give_back(handed)
            raise StopUser
        user._state = LOCUST_STATE_RUNNING
        return handed

    def _wait_nested(self) -> float:
        """The wait time of nested tasks: until the next arrival, and then no more."""
        self._client.intended_start = None
        self._client.intended_start = self._arrival()
        self.user._state = LOCUST_STATE_WAITING  # which Locust takes it for, until it is over
        return 0.0
