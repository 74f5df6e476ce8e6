"""A run's summary as JSON: ``docs/load.md`` says what each key means."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from flash.buckets import BOUNDS_S
from flash.generator_limit import reasons, verdict
from loadgen.dispatcher import Arrived
from loadgen.recorder import CHANNEL_HISTOGRAMS, Channel, Histogram
from loadgen.run_watch import RunSummary, Workers

__all__ = ["SCHEMA", "JsonValue", "summary_json"]

SCHEMA: Final = 1
"""Raised when a key goes or means something else; not when one is added."""

_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)

JsonValue = str | int | float | bool | None | Sequence["JsonValue"] | Mapping[str, "JsonValue"]


def summary_json(summary: RunSummary, capacity: Mapping[str, JsonValue] | None = None) -> str:
    """One line of JSON. Durations are seconds, no data is ``null``, histograms are whole.

    ``capacity`` is what the run found, if it searched for that.
    """
    return json.dumps({**_document(summary), "capacity": capacity}, allow_nan=False)


def _document(summary: RunSummary) -> Mapping[str, JsonValue]:
    run, recorded, seconds = summary.run, summary.recorded, summary.seconds
    return {
        "schema": SCHEMA,
        "run": run.run,
        "started": run.started,
        "ended": run.ended or None,
        "seconds": seconds,
        "target": run.info.get("target"),
        "regions": [name for name in run.info.get("regions", "").split(",") if name],
        "options": summary.options,
        "bucket_bounds": list(BOUNDS_S),
        "rows": [
            {
                "client_region": channel.client_region,
                "region": channel.region,
                "routing": channel.routing,
                **_figures(channel, seconds),
            }
            for channel in recorded
        ],
        "totals": _figures(recorded.total(), seconds),
        "connects": [
            {
                "client_region": client_region,
                "region": region,
                "connect_duration": _histogram(made),
            }
            for client_region, region, made in recorded.all_connects()
        ],
        "cold_start_windows": [
            {"region": region, "cold_start_window": _histogram(ended)}
            for region, ended in sorted(recorded.windows.items())
        ],
        "generator": _generator(summary),
        "arrivals": _arrivals(summary.arrivals),
        "workers": _workers(summary.workers),
    }


def _figures(channel: Channel, seconds: float) -> dict[str, JsonValue]:
    compared = channel.same + channel.moved
    return {
        "requests": channel.requests,
        "rate": channel.requests / seconds if seconds else None,
        "outcomes": {str(outcome): count for outcome, count in channel.outcomes.items()},
        "responses": {str(code): count for code, count in sorted(channel.codes.items())},
        "affected": channel.affected,
        "giveups": channel.giveups,
        "same": channel.same,
        "moved": channel.moved,
        "affinity": channel.same / compared if compared else None,
        **{name: _histogram(getattr(channel, name)) for name in CHANNEL_HISTOGRAMS},
    }


def _histogram(histogram: Histogram) -> Mapping[str, JsonValue]:
    return {
        "count": histogram.total,
        "sum": histogram.sum,
        "quantiles": {f"{q:g}": histogram.quantile(q) for q in _QUANTILES},
        "buckets": list(histogram.counts),
    }


def _generator(summary: RunSummary) -> Mapping[str, JsonValue]:
    evidence = summary.evidence()
    found = reasons(evidence)
    return {
        "limited": bool(found),
        "limits": [reason.limit.value for reason in found],
        "verdict": verdict(evidence),
        "cpu": [
            {"process": process, "mean": use.mean, "highest": use.highest}
            for process, use in summary.cpu.items()
        ],
    }


def _arrivals(arrived: Arrived | None) -> JsonValue:
    if arrived is None:
        return None
    return {
        "intended": arrived.intended,
        "started": arrived.started,
        "dropped": arrived.dropped,
        "waiting": arrived.waiting,
        "waited": arrived.waited,
    }


def _workers(workers: Workers | None) -> JsonValue:
    return None if workers is None else {"seen": workers.seen, "lost": workers.lost}
