"""What was counted in one region, of both kinds of routing, and what of it in a time."""

from collections.abc import Iterable
from dataclasses import dataclass

from flash.buckets import BUCKETS
from loadgen.recorder import Channel

__all__ = ["RegionFigures"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionFigures:
    """Counts of one region.

    ``requests`` ended, ``ok`` of them with a good response. Of the ``attempts`` at them
    ``responses_503`` were refused with 503. The histograms have the buckets of ``flash.buckets``;
    ``latency`` is of attempts that got another response than a refusal.
    """

    requests: int
    ok: int
    attempts: int
    responses_503: int
    latency: tuple[int, ...]
    response_time: tuple[int, ...]
    schedule_lag: tuple[int, ...]

    @classmethod
    def of(cls, region: str, channels: Iterable[Channel]) -> "RegionFigures":
        """All that the channels of a region have counted; they have to be settled."""
        own = [channel for channel in channels if channel.region == region]
        return cls(
            requests=sum(channel.requests for channel in own),
            ok=sum(channel.outcomes["ok"] for channel in own),
            attempts=sum(sum(channel.outcomes.values()) for channel in own),
            responses_503=sum(channel.outcomes["cold_start"] for channel in own),
            latency=_summed(channel.request_duration.counts for channel in own),
            response_time=_summed(channel.response_time.counts for channel in own),
            schedule_lag=_summed(channel.schedule_lag.counts for channel in own),
        )

    def since(self, earlier: "RegionFigures") -> "RegionFigures":
        """What was counted after ``earlier``, of the same region."""
        return RegionFigures(
            requests=self.requests - earlier.requests,
            ok=self.ok - earlier.ok,
            attempts=self.attempts - earlier.attempts,
            responses_503=self.responses_503 - earlier.responses_503,
            latency=_grown(self.latency, earlier.latency),
            response_time=_grown(self.response_time, earlier.response_time),
            schedule_lag=_grown(self.schedule_lag, earlier.schedule_lag),
        )

    @property
    def errors(self) -> float | None:
        """Share of the requests, 0 to 1, that ended without a good response."""
        return (self.requests - self.ok) / self.requests if self.requests else None

    @property
    def share_503(self) -> float | None:
        """Share of the attempts, 0 to 1, that were refused with 503."""
        return self.responses_503 / self.attempts if self.attempts else None


def _summed(histograms: Iterable[list[int]]) -> tuple[int, ...]:
    return tuple(map(sum, zip([0] * BUCKETS, *histograms, strict=True)))


def _grown(later: tuple[int, ...], earlier: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a - b for a, b in zip(later, earlier, strict=True))
