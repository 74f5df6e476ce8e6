"""What a capacity search found, with its evidence: as a table, and as JSON."""

from collections.abc import Mapping, Sequence
from typing import Final

from flash.buckets import BOUNDS_S
from flash.number_text import milliseconds, percent
from loadgen.capacity_judgement import CapacityStep, Measured
from loadgen.capacity_run import CapacityPlan, RegionCapacity
from loadgen.capacity_search import Verdict
from loadgen.summary_json import JsonValue

__all__ = ["capacity_json", "capacity_lines", "exit_status", "step_text"]

_TOLD: Final[Mapping[Verdict, str]] = {
    Verdict.HELD: "held",
    Verdict.MISSED: "missed",
    Verdict.LIMITED: "the generator was the limit",
}


def exit_status(found: Sequence[RegionCapacity], regions: int) -> int:
    """0 where every region has a rate that held, 1 where one has none or was not searched to the
    end; 2 where it has none because of the generator."""
    statuses = [_status(one) for one in found]
    return max([*statuses, 0 if len(found) == regions else 1])


def capacity_lines(plan: CapacityPlan, found: Sequence[RegionCapacity]) -> list[str]:
    """For a terminal: a sentence for each region, and a line for each step."""
    objectives = ",".join(objective.text for objective in plan.objectives)
    lines = [f"Capacity that holds {objectives} for {plan.hold_s:g} s"]
    lines += [f"{one.region}: {_found_text(one)}" for one in found]
    rows = [_cells(one.region, step) for one in found for step in one.steps]
    if not rows:
        return lines
    names = [f"{o.name} (ms)" if o.quantile is not None else o.name for o in plan.objectives]
    heads = ("region", "rate/s", "offered/s", "answered/s", "requests", *names, "verdict")
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    table = [_line(cells, widths) for cells in (heads, *rows)]
    rule = "-" * max(map(len, table))
    return [*lines, table[0], rule, *table[1:], rule]


def step_text(region: str, step: CapacityStep) -> str:
    """One step in a sentence, for the log."""
    figures = ", ".join(f"{one.objective.name} {_figure(one)}" for one in step.measured)
    told = f"capacity of {region}: {step.rate:g}/s {_verdict(step)}"
    return f"{told} [{figures}, {step.samples} requests]"


def capacity_json(plan: CapacityPlan, found: Sequence[RegionCapacity]) -> dict[str, JsonValue]:
    """The same with plain values: seconds, shares from 0 to 1, rates per second, ``None`` for no
    data."""
    return {
        "objectives": [objective.text for objective in plan.objectives],
        "hold_s": plan.hold_s,
        "settle_s": plan.settle_s,
        "resolution": plan.resolution,
        "rates": [plan.rates.lowest, plan.rates.highest],
        "regions": [
            {
                "region": one.region,
                "rate": one.rate,
                "is_complete": one.is_complete,
                "ceiling": None if one.ceiling is None else one.ceiling.rate,
                "ceiling_verdict": None if one.ceiling is None else one.ceiling.verdict.value,
                "steps": [_step_json(step) for step in one.steps],
            }
            for one in found
        ],
    }


def _step_json(step: CapacityStep) -> dict[str, JsonValue]:
    return {
        "rate": step.rate,
        "seconds": step.seconds,
        "offered_per_s": step.offered_per_s,
        "answered_per_s": step.answered_per_s,
        "requests": step.samples,
        # Beyond the last bucket a quantile is only known to be long, which JSON has no number for.
        "measured": {
            one.objective.name: None if one.value == float("inf") else one.value
            for one in step.measured
        },
        "waited_for_a_user": step.waited,
        "schedule_lag_p99_s": step.schedule_lag_p99_s,
        "cpu_ratio": dict(step.cpu_ratio),
        "verdict": step.verdict.value,
        "reason": step.reason,
    }


def _status(capacity: RegionCapacity) -> int:
    if not capacity.is_complete:
        return 1
    if capacity.rate is not None:
        return 0
    ceiling = capacity.ceiling
    return 2 if ceiling is not None and ceiling.verdict is Verdict.LIMITED else 1


def _found_text(capacity: RegionCapacity) -> str:
    rate, ceiling = capacity.rate, capacity.ceiling
    held = "no rate held" if rate is None else f"{rate:g}/s held"
    if not capacity.is_complete:
        return f"{held} before the search was ended"
    if ceiling is None:
        return f"{held}, which is the highest that was to be tried"
    if ceiling.verdict is Verdict.LIMITED:
        at_least = "" if rate is None else ", so it is at least that"
        return f"{held}{at_least}; at {ceiling.rate:g}/s {_verdict(ceiling)}"
    return f"{held}; {ceiling.rate:g}/s {_verdict(ceiling)}"


def _verdict(step: CapacityStep) -> str:
    told = _TOLD[step.verdict]
    return f"{told} ({step.reason})" if step.reason else told


def _cells(region: str, step: CapacityStep) -> tuple[str, ...]:
    return (
        region,
        f"{step.rate:g}",
        f"{step.offered_per_s:.1f}",
        f"{step.answered_per_s:.1f}",
        str(step.samples),
        *map(_figure_cell, step.measured),
        _verdict(step),
    )


def _figure(one: Measured) -> str:
    return f"{_figure_cell(one)} ms" if one.objective.quantile is not None else _figure_cell(one)


def _figure_cell(one: Measured) -> str:
    if one.objective.quantile is not None:
        return milliseconds(None if one.value is None else min(one.value, BOUNDS_S[-1]))
    return percent(None) if one.value is None else f"{one.value:.3%}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *numbers, last = zip(cells, widths, strict=True)
    figures = "  ".join(cell.rjust(width) for cell, width in numbers)
    return f"{first[0].ljust(first[1])}  {figures}  {last[0]}"
