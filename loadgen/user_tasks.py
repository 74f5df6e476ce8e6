"""How a user runs its own tasks: as Locust does, without what most turns can do without."""

from types import FunctionType
from typing import Any

from locust.exception import StopUser
from locust.user.task import (
    LOCUST_STATE_RUNNING,
    LOCUST_STATE_STOPPING,
    LOCUST_STATE_WAITING,
    DefaultTaskSet,
)

from loadgen.pauses import pause

__all__ = ["UserTasks"]


class UserTasks(DefaultTaskSet):
    """Locust's loop over a user's tasks; a pause of no length is left out after a request.

    Locust has every task followed by at least a turn of the event loop, so that no user keeps the
    others from running. One that made a request has given way already, while it waited for the
    response, and a second turn would cost more than all the rest of the loop.
    """

    def get_next_task(self) -> Any:
        """One of the tasks by their weights."""
        tasks = self.user.tasks
        return tasks[0] if len(tasks) == 1 else super().get_next_task()

    def execute_next_task(self) -> None:
        """Run the task whose turn it is, and the next ones, until something else than a task ends.

        Whatever they raise goes to Locust's own loop, which then calls this again.
        """
        queue, user = self._task_queue, self.user
        while True:
            task = queue.popleft() if queue else self.get_next_task()
            if type(task) is FunctionType:
                task(user)
            else:
                self.execute_task(task)
            self.wait()

    def wait(self) -> None:
        """Pause for the user's wait time.

        Raises:
            StopUser: the user was told to stop.
        """
        user: Any = self.user
        if user._state == LOCUST_STATE_STOPPING:
            raise StopUser
        seconds = user.wait_time() if user.wait_time else self.wait_time()
        if seconds <= 0 and user.take_turn():
            return
        user._state = LOCUST_STATE_WAITING
        if seconds > 0:
            pause(seconds)
        else:
            self._sleep(0)
        if user._state == LOCUST_STATE_STOPPING:
            raise StopUser
        user._state = LOCUST_STATE_RUNNING
