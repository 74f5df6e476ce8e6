"""Sessions that kept meeting 503s while other containers had room (*503 attractors*)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dashboard.generator_sessions import SESSION_REFUSED
from dashboard.model import Event
from dashboard.refusal_record import RefusalRecord
from dashboard.source import Match

__all__ = ["RefusedSession", "refused_sessions_of"]

_MOST: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedSession:
    """One session as the load generator tells of it (Unix seconds, about).

    It met ``refused`` 503s in a row; before ``beside`` of these, others of its region had been
    answered since its last one. The others met ``others_answered`` answers and ``others_refused``
    503s meanwhile. ``containers`` are those that its 503s named. ``answered`` tells whether it got
    an answer in the end. ``idlest_in_flight`` is what the least busy other container served, where
    they are scraped, and ``target_concurrency`` what the autoscaler aimed at.
    """

    region: str
    session: str
    began_at: float
    ended_at: float
    refused: float
    beside: float
    others_answered: float
    others_refused: float
    containers: tuple[str, ...]
    answered: bool
    idlest_in_flight: float | None
    target_concurrency: float | None


def refused_sessions_of(record: RefusalRecord, match: Match) -> list[RefusedSession]:
    """Those of the window, the most refused first; not those whose other containers were full."""
    by_session: dict[tuple[str, str], list[Event]] = {}
    for event in record.seen.events:
        if event.kind == SESSION_REFUSED and event.at >= record.window.start:
            key = event.labels["region"], event.labels["session"]
            by_session.setdefault(key, []).append(event)
    # Only a session that is sent with the requests can be told apart.
    chosen = "sticky" in match.get("routing", {"sticky"})
    found = [
        one
        for (region, session), events in by_session.items()
        if chosen and region in match.get("region", {region})
        if not _others_full(one := _refused(record, region, session, events))
    ]
    return sorted(found, key=lambda one: (-one.refused, one.region, one.session))[:_MOST]


def _refused(
    record: RefusalRecord, region: str, session: str, events: Sequence[Event]
) -> RefusedSession:
    """One session from all that was told of it, in order."""

    def total(name: str) -> float:
        return sum(float(event.labels[name]) for event in events)

    began = events[0].at - float(events[0].labels["seconds"])
    ended = events[-1].at
    containers = tuple(
        dict.fromkeys(
            event.labels["refused_by"] for event in events if "refused_by" in event.labels
        )
    )
    return RefusedSession(
        region=region,
        session=session,
        began_at=began,
        ended_at=ended,
        refused=total("refused"),
        beside=total("beside"),
        others_answered=total("others_answered"),
        others_refused=total("others_refused"),
        containers=containers,
        answered=events[-1].labels["answered"] == "1",
        idlest_in_flight=record.idlest(began, ended, without=next(iter(containers), None)),
        target_concurrency=record.target_at(ended),
    )


def _others_full(one: RefusedSession) -> bool:
    idlest, target = one.idlest_in_flight, one.target_concurrency
    return idlest is not None and target is not None and idlest >= target
