"""The JSON interface's answers about 503s, as types."""

from pydantic import BaseModel

from dashboard.answers import ContainerStartAnswer, SameNames
from dashboard.held_requests import HeldRequests
from dashboard.refusal_cause import Cause
from dashboard.refusals import RefusalStreak

__all__ = ["HeldAnswer", "RefusalStreakAnswer", "RefusalsAnswer", "RefusedSessionAnswer"]


class FactAnswer(SameNames):
    """A piece of evidence: a number by name, and words that have it."""

    name: str
    value: float
    text: str


class RefusalStreakAnswer(BaseModel):
    """503s of a region that have one cause (Unix seconds); ``evidence`` is what speaks for it."""

    region: str
    cause: Cause
    began_at: int
    ended_at: int
    refused: float
    by_routing: dict[str, float]
    evidence: list[FactAnswer]

    @classmethod
    def of(cls, streak: RefusalStreak) -> "RefusalStreakAnswer":
        return cls(
            region=streak.region,
            cause=streak.verdict.cause,
            began_at=streak.began_at,
            ended_at=streak.ended_at,
            refused=streak.refused,
            by_routing=dict(streak.by_routing),
            evidence=[FactAnswer.of(fact) for fact in streak.verdict.facts],
        )


class HeldAnswer(BaseModel):
    """Attempts that were answered without a 503 after a wait at the edge (Unix seconds).

    ``longest`` is in seconds. ``containers`` began to take requests meanwhile.
    """

    region: str
    began_at: int
    ended_at: int
    held: float
    longest: float
    containers: list[ContainerStartAnswer]

    @classmethod
    def of(cls, held: HeldRequests) -> "HeldAnswer":
        return cls(
            region=held.region,
            began_at=held.began_at,
            ended_at=held.ended_at,
            held=held.held,
            longest=held.longest_s,
            containers=[ContainerStartAnswer.of(life) for life in held.came],
        )


class RefusedSessionAnswer(SameNames):
    """A session that met ``refused`` 503s in a row while others had answers (Unix seconds).

    Before ``beside`` of them others of the region had been answered since its last one.
    ``containers`` are those that its 503s named. ``idlest_in_flight`` is what the least busy other
    container served, ``null`` where that is not known.
    """

    region: str
    session: str
    began_at: float
    ended_at: float
    refused: float
    beside: float
    others_answered: float
    others_refused: float
    containers: list[str]
    answered: bool
    idlest_in_flight: float | None
    target_concurrency: float | None


class RefusalsAnswer(BaseModel):
    """Why there were 503s from ``start`` to before ``end``, looked at in steps of ``step`` seconds.

    Every 503 is in one streak. ``held`` are attempts that took more than ``held_above`` seconds
    beside the server's own time: ``null`` if no server tells that. ``sessions`` met 503s while
    other containers had room.
    """

    start: int
    end: int
    step: int
    streaks: list[RefusalStreakAnswer]
    held_above: float
    held: list[HeldAnswer] | None
    sessions: list[RefusedSessionAnswer]
