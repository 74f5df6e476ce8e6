"""Gives every worker users of every class, where Locust's own dealing would sort them.

Locust deals its classes in turn to its workers in turn: with two of each, one worker has all users
of one class and the other those of the other. Here the turn moves on by one with every round.
"""

from collections.abc import Iterator
from itertools import islice

from locust.dispatch import UsersDispatcher

__all__ = ["EvenDispatcher"]


class EvenDispatcher(UsersDispatcher):
    """Locust's dispatcher with the classes of each round of workers turned on by one.

    How many users each class has, and each worker, stays as it was.
    """

    def _user_gen(self) -> Iterator[str | None]:
        in_turn = super()._user_gen()
        if any(user.fixed_count for user in self._user_classes):
            # Locust deals those first, and looks at what is there while it does.
            yield from in_turn
        turn = 0
        while True:
            dealt = list(islice(in_turn, len(self._worker_nodes)))
            start = turn % len(dealt)
            yield from dealt[start:]
            yield from dealt[:start]
            turn += 1
