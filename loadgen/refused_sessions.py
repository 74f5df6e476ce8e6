"""Sessions that keep meeting 503s while others of their region are answered.

With sticky routing a session goes back to the same container, also to one that is full or failing
while others have room: a *503 attractor*. Labels of a metric must stay few, so which sessions these
were is told one by one, of a few of each region at a time; how many there were is counted.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

__all__ = ["RefusedSession", "RefusedSessions", "RegionWatch", "SessionStreak"]

_LEAST_BESIDE: Final = 3
_CHANCE: Final = 1e-6
"""So many 503s in a row are not chance: of a million requests one would meet as many."""

_TOLD_AFTER_S: Final = 30.0
"""A session that is still refused after this long is told of, and begins anew."""

_SLOT_S: Final = 30.0
_MOST_IN_SLOT: Final = 5
_MOST_KEPT: Final = 200


class RefusedSession(NamedTuple):
    """One session's 503s in a row, told at Unix time ``at`` by the clock of who tells it.

    It met ``refused`` of them in ``seconds``; before ``beside`` of these, others of its region had
    been answered since its last one. In all the others, of the same process, met
    ``others_answered`` answers and ``others_refused`` 503s meanwhile. ``container`` is the one that
    the last 503 named, ``None`` for the proxy's own. ``answered`` tells that an answer followed.
    ``sequence`` counts up from 1.
    """

    sequence: int
    at: float
    region: str
    session: str
    container: str | None
    refused: int
    beside: int
    seconds: float
    others_answered: int
    others_refused: int
    answered: bool


class RegionWatch:
    """How all users of a region in this process fare, and which sessions do worse.

    ``answers`` and ``refusals`` count all so far; an answer is known a tenth of a second later.
    """

    __slots__ = ("_tell", "answers", "refusals", "region")

    def __init__(self, region: str, tell: Callable[[RefusedSession], None]) -> None:
        self.region = region
        self.answers = 0
        self.refusals = 0
        self._tell = tell

    def __repr__(self) -> str:
        return f"<RegionWatch of {self.region}, {self.answers} answers, {self.refusals} 503s>"

    def begin(self, session: str) -> "SessionStreak":
        """A session has met a 503; it is counted in ``refusals`` by now."""
        return SessionStreak(self, session)

    def tell(self, streak: "SessionStreak", *, answered: bool) -> None:
        """Have it known."""
        self._tell(
            RefusedSession(
                sequence=0,
                at=0.0,
                region=self.region,
                session=streak.session,
                container=streak.container,
                refused=streak.refused,
                beside=streak.beside,
                seconds=streak.seconds,
                others_answered=streak.others_answered,
                others_refused=streak.others_refused,
                answered=answered,
            )
        )


class SessionStreak:
    """The 503s in a row that one session meets; moments in seconds of one clock."""

    __slots__ = (
        "_answers_at_last",
        "_answers_before",
        "_answers_when_sent",
        "_began",
        "_last",
        "_refusals_before",
        "_watch",
        "beside",
        "container",
        "refused",
        "session",
    )

    def __init__(self, watch: RegionWatch, session: str) -> None:
        self.session = session
        self._watch = watch
        self._begin()

    def __repr__(self) -> str:
        return f"<SessionStreak of {self.session}: {self.refused}, {self.beside} beside answers>"

    def _begin(self) -> None:
        watch = self._watch
        self.refused = 0
        self.beside = 0
        self.container: str | None = None
        self._began = self._last = 0.0
        self._answers_before = self._answers_at_last = self._answers_when_sent = watch.answers
        self._refusals_before = watch.refusals - 1

    def sending(self) -> None:
        """The session asks once more."""
        self._answers_when_sent = self._watch.answers

    def met(self, at: float, container: str | None) -> bool:
        """A 503 at ``at``. Whether the streak was long enough to be told of, and begins anew."""
        if not self.refused:
            self._began = at
        elif self._answers_when_sent > self._answers_at_last:
            # That others were answered meanwhile tells it from a region that is cold.
            self.beside += 1
        self.refused += 1
        self.container = container
        self._last = at
        self._answers_at_last = self._watch.answers
        if self.seconds < _TOLD_AFTER_S or not self.end(answered=False):
            return False
        self._begin()
        self._refusals_before += 1  # the next one has yet to be counted
        return True

    @property
    def seconds(self) -> float:
        """From the first 503 to the last."""
        return self._last - self._began

    @property
    def others_answered(self) -> int:
        return self._watch.answers - self._answers_before

    @property
    def others_refused(self) -> int:
        return max(0, self._watch.refusals - self._refusals_before - self.refused)

    def end(self, *, answered: bool) -> bool:
        """It was answered, or asks no more. Whether the 503s were its own, and are told of.

        They are when the others fared too well for so many in a row to be chance.
        """
        refused, others = self.others_refused, self.others_refused + self.others_answered
        share = (refused + 1) / (others + 2)  # Laplace's rule: little may be known of the others
        its_own = self.beside >= _LEAST_BESIDE and share**self.beside < _CHANCE
        if its_own:
            self._watch.tell(self, answered=answered)
        return its_own


class RefusedSessions:
    """What is told of refused sessions: the newest ones, and of each region a few at a time.

    ``clock`` is Unix time. Not for several threads; greenlets of one hub only.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._watches: dict[str, RegionWatch] = {}
        self._told: deque[RefusedSession] = deque(maxlen=_MOST_KEPT)
        self._last = 0
        self._slots: dict[str, tuple[float, int]] = {}

    def __repr__(self) -> str:
        return f"<RefusedSessions, {self._last} so far>"

    def watch(self, region: str) -> RegionWatch:
        """That of a region; made on the first use."""
        if region not in self._watches:
            self._watches[region] = RegionWatch(region, self._add)
        return self._watches[region]

    def since(self, sequence: int) -> list[RefusedSession]:
        """Those told after number ``sequence`` that are still kept."""
        return [one for one in self._told if one.sequence > sequence]

    def take(self) -> list[RefusedSession]:
        """Those told since the last taking, to be merged elsewhere."""
        taken = list(self._told)
        self._told.clear()
        return taken

    def merge(self, taken: Iterable[RefusedSession]) -> None:
        """Tell what another process took, as of now: its clock may be another one."""
        for one in taken:
            # What has travelled may have become a plain list.
            self._add(RefusedSession(*one))

    def _add(self, one: RefusedSession) -> None:
        now = self._clock()
        began, number = self._slots.get(one.region, (now, 0))
        if not 0 <= now - began < _SLOT_S:
            began, number = now, 0
        if number < _MOST_IN_SLOT:
            self._slots[one.region] = began, number + 1
            self._last += 1
            self._told.append(one._replace(sequence=self._last, at=now))
