"""Streaks of 503s, and what each came from: refusals joined with the states of containers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dashboard.refusal_cause import Verdict, verdict_of
from dashboard.refusal_parts import parts_of
from dashboard.refusal_record import RefusalRecord
from dashboard.source import Match

__all__ = ["RefusalStreak", "refusals_of"]

_MOST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalStreak:
    """503s of a region that have one cause (Unix seconds, to the length of a step)."""

    region: str
    began_at: int
    ended_at: int
    refused: float
    by_routing: Mapping[str, float]
    verdict: Verdict


def refusals_of(record: RefusalRecord, match: Match) -> list[RefusalStreak]:
    """The newest streaks of 503s, newest first, of the regions and routings that match.

    They are judged by what all regions and routings met.
    """
    found = [
        streak
        for region in record.refused
        if region in match.get("region", {region})
        for streak in _of_region(record, region, match)
    ]
    return sorted(found, key=lambda streak: (-streak.began_at, streak.region))[:_MOST]


def _of_region(record: RefusalRecord, region: str, match: Match) -> list[RefusalStreak]:
    start, step = record.window.start, record.window.step
    found: list[RefusalStreak] = []
    for part in parts_of(record.whole(region), record.gap_of, step):
        by_routing = {
            routing: count
            for routing, refused in record.refused[region].items()
            if routing in match.get("routing", {routing})
            and (count := part.count(refused, record.gap_of))
        }
        if by_routing:
            found.append(
                RefusalStreak(
                    region=region,
                    began_at=start + part.first * step,
                    ended_at=start + part.last * step,
                    refused=sum(by_routing.values()),
                    by_routing=by_routing,
                    verdict=verdict_of(record.circumstances(region, part)),
                )
            )
    return found
