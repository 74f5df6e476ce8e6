"""Hands each arrival of an open load model to a user: at its time, or as soon as one is free."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import astuple, dataclass
from math import inf
from operator import attrgetter
from typing import Final

from loadgen.pauses import MOST_AT_ONCE
from loadgen.ticker import Ticker

__all__ = ["Arrived", "Dispatcher", "Lane", "Resume", "sum_arrived"]

Resume = Callable[[float], object]
"""Lets a user that waits go on with an arrival: its intended start, by the dispatcher's clock."""

_TURN: Final = attrgetter("turn")


@dataclass(frozen=True, slots=True)
class Arrived:
    """What became of the arrivals whose time came: ``intended == started + dropped + waiting``.

    A user took up the ``started``. The ``waiting`` wait for one; ``waited`` tells how many ever
    did, because all users were busy. The ``dropped`` still waited when the schedule was ended.
    """

    intended: int
    started: int
    dropped: int
    waiting: int
    waited: int


def sum_arrived(several: Iterable[Arrived]) -> Arrived:
    """What became of the arrivals of several dispatchers together."""
    return Arrived(*map(sum, zip(*map(astuple, several), strict=True)))


class Dispatcher:
    """One process's arrivals, and the users that wait for them. All of it happens in one hub.

    Users wait in lanes, by what they send and where. Arrivals are dealt to the lanes evenly, in
    proportion to their users and whether or not these are free: a server that is slow for one lane
    gets no fewer arrivals by it, and the others no more. Within its lane an arrival goes to the
    user that has been free for the longest; if there is none it keeps its intended start, and the
    next user that becomes free takes it at once.
    """

    def __init__(
        self, ticker: Callable[[Callable[[], None]], Ticker], clock: Callable[[], float]
    ) -> None:
        self._clock = clock
        self._ticker = ticker(self._tick)
        self._started_at = 0.0
        self._arrivals: Iterator[float] = iter(())
        self._next = inf
        self._ended = False
        self._lanes: dict[Hashable, Lane] = {}
        self._order: list[Lane] = []
        self._admits: Callable[[Hashable], bool] = lambda key: True
        self._turn = 0.0
        self._homeless: deque[float] = deque()
        self._returned: deque[float] = deque()
        self._intended = self._taken = self._dropped = self._waited = 0

    def __repr__(self) -> str:
        state = "ended" if self._ended else "idle" if self._next == inf else "running"
        return f"<Dispatcher {state}, {self.arrived()}>"

    def begin(self, arrivals: Iterator[float], started_at: float) -> None:
        """Have ``arrivals``, ascending seconds since ``started_at``, from now on.

        They take the place of earlier ones that have not come yet.
        """
        if self._ended:
            return
        self._arrivals = arrivals
        self._started_at = started_at
        self._draw()
        self._set()

    def go_on(self) -> None:
        """The arrivals had come to their end, maybe, and there are more of them now."""
        if self._next == inf and not self._ended:
            self._draw()
            self._set()

    def end(self) -> None:
        """No arrival begins from now on, and those that wait are dropped. It may be repeated.

        An arrival since the last tick has not come: no user was wanting for it, and it is the end
        of the run itself that keeps the hub busy then.
        """
        if self._ended:
            return
        self._ended = True
        self._next = inf
        self._ticker.close()
        self._drop_waiting()

    def confine(self, admits: Callable[[Hashable], bool]) -> None:
        """Drop what waits, and from now on deal to those lanes alone whose key is admitted."""
        self._drop_waiting()
        self._admits = admits
        self._order = [lane for key, lane in self._lanes.items() if lane.users and admits(key)]
        for lane in self._order:
            lane.turn = self._turn

    def join(self, key: Hashable) -> "Lane":
        """One more user in the lane of that key; it must leave again."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(self)
        admitted = self._admits(key)
        if admitted and not lane.users:
            lane.turn = self._turn
            self._order.append(lane)
        lane.users += 1
        while admitted and self._homeless:
            lane.give(self._homeless.popleft())
        return lane

    def arrived(self) -> Arrived:
        waiting = sum(map(len, self._queues()))
        return Arrived(self._intended, self._taken, self._dropped, waiting, self._waited)

    # For its lanes.

    def left(self, lane: "Lane") -> None:
        """A lane lost its last user; what waited in it goes to the others."""
        if lane in self._order:
            self._order.remove(lane)
        self._deal_anew(lane.queue)
        lane.queue = deque()

    def took(self) -> None:
        self._taken += 1

    def returned(self, moment: float) -> None:
        """What a user took but did not begin: somebody else has it, or nobody if it is too late."""
        self._taken -= 1
        if self._ended:
            self._dropped += 1
        else:
            self._deal_anew((moment,))

    # Inside.

    def _drop_waiting(self) -> None:
        for queue in self._queues():
            self._dropped += len(queue)
            queue.clear()

    def _queues(self) -> Iterator[deque[float]]:
        yield self._homeless
        yield self._returned
        for lane in self._order:
            yield lane.queue

    def _deal_anew(self, moments: Iterable[float]) -> None:
        # Not here and now: a user that is resumed by another never comes back to it.
        self._returned.extend(moments)
        if self._returned:
            self._ticker.wake_at(self._clock())

    def _draw(self) -> None:
        self._next = self._started_at + next(self._arrivals, inf)

    def _set(self) -> None:
        if self._ended:
            return
        if self._returned:
            self._ticker.wake_at(self._clock())
        elif self._next < inf:
            self._ticker.wake_at(self._next)
        else:
            self._ticker.cancel()

    def _tick(self) -> None:
        now = self._clock()
        try:
            while self._returned:
                self._deal(self._returned.popleft())
            # What comes due meanwhile, and what is more than a few, has a tick of its own, after
            # whatever else is ready by then.
            for _ in range(MOST_AT_ONCE):
                moment = self._next
                if moment > now:
                    break
                self._draw()
                self._intended += 1
                if not self._deal(moment):
                    self._waited += 1
        finally:
            self._set()

    def _deal(self, moment: float) -> bool:
        """To the lane whose turn it is (stride scheduling; Waldspurger and Weihl, 1995).

        Whether a user has it now.
        """
        order = self._order
        if not order:
            self._homeless.append(moment)
            return False
        lane = order[0] if len(order) == 1 else min(order, key=_TURN)
        self._turn = lane.turn
        lane.turn += 1 / lane.users
        return lane.give(moment)


class Lane:
    """Where users of one kind wait for their arrivals. ``users`` tells how many are in it."""

    __slots__ = ("_dispatcher", "_idle", "queue", "turn", "users")

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._idle: OrderedDict[Resume, None] = OrderedDict()
        self.queue: deque[float] = deque()
        self.turn = 0.0
        self.users = 0

    def __repr__(self) -> str:
        idle, waiting = len(self._idle), len(self.queue)
        return f"<Lane of {self.users} users, {idle} free, {waiting} arrivals waiting>"

    def take(self, resume: Resume) -> float | None:
        """The arrival that has waited longest; of ``None`` the caller waits to be resumed.

        ``resume`` is called in the hub, once, unless it is withdrawn before.
        """
        if self.queue:
            self._dispatcher.took()
            return self.queue.popleft()
        self._idle[resume] = None
        return None

    def withdraw(self, resume: Resume) -> None:
        """Who takes arrivals with ``resume`` waits no more; harmless if it does not."""
        self._idle.pop(resume, None)

    def give_back(self, moment: float) -> None:
        """An arrival that was taken, and will not be begun by who took it."""
        self._dispatcher.returned(moment)

    def leave(self) -> None:
        """One user less."""
        self.users -= 1
        if not self.users:
            self._dispatcher.left(self)

    def give(self, moment: float) -> bool:
        """For the dispatcher: an arrival for this lane. Whether a user was free to take it."""
        if self._idle:
            resume, _ = self._idle.popitem(last=False)
            self._dispatcher.took()
            resume(moment)
            return True
        queue = self.queue
        queue.append(moment)
        if len(queue) > 1 and moment < queue[-2]:
            # One that was given back, or comes from a lane without users.
            self.queue = deque(sorted(queue))
        return False
