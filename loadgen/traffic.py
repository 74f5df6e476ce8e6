"""Which of the described requests comes next."""

from collections.abc import Callable, Sequence
from enum import Enum

from loadgen.errors import UsageError
from loadgen.traffic_request import TrafficRequest

__all__ = ["RequestOrder", "Traffic", "starting_place"]


class RequestOrder(Enum):
    """How requests are picked."""

    IN_ORDER = "in-order"
    """One after the other, by whichever user is next, and from the first again after the last."""
    RANDOM = "random"
    """Each time any of them, all equally likely."""

    @classmethod
    def parse(cls, text: str) -> "RequestOrder":
        """By its name.

        Raises:
            UsageError: there is none of that name.
        """
        try:
            return cls(text)
        except ValueError:
            known = " or ".join(order.value for order in cls)
            raise UsageError(f"expected {known}, got {text!r}") from None


class Traffic:
    """The described requests of a process in one run; not for several threads.

    ``requests`` are one or more. In order they begin with number ``start``, from 0. ``uniform``
    gives random numbers from 0 to below 1.
    """

    def __init__(
        self,
        requests: Sequence[TrafficRequest],
        order: RequestOrder,
        *,
        start: int,
        uniform: Callable[[], float],
    ) -> None:
        self._requests = requests
        self._is_random = order is RequestOrder.RANDOM
        self._at = start
        self._uniform = uniform

    def __repr__(self) -> str:
        return f"<Traffic of {len(self._requests)} requests, the next is {self._at}>"

    def next(self) -> TrafficRequest:
        """The request that comes next."""
        requests = self._requests
        if self._is_random:
            return requests[int(self._uniform() * len(requests))]
        at = self._at
        self._at = at + 1 if at + 1 < len(requests) else 0
        return requests[at]


def starting_place(worker: int, count: int) -> int:
    """Where among ``count`` requests a worker, numbered from 0, begins to go round.

    The first at the first request, the second half-way, then at a quarter and at three quarters,
    then at the eighths between: van der Corput's sequence in base 2, which lies evenly however many
    there are. Each still goes round all of them, so that none is left out when a worker is lost.
    """
    numerator, denominator = 0, 1
    while worker:
        worker, bit = divmod(worker, 2)
        numerator, denominator = 2 * numerator + bit, 2 * denominator
    return count * numerator // denominator
