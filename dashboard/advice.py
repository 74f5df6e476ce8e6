"""What a run would have met and cost with other settings of the autoscaler."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Final

import numpy as np

from dashboard.recorded_load import closed_plan, open_plan
from dashboard.recorded_run import RecordedRun
from dashboard.replay import Outcome, replayed
from flash.autoscaler import AutoscalerSettings

__all__ = ["Advice", "Option", "advised", "changes", "option_grid", "sentence"]

# How often a run is replayed by how many requests it has at most: of a large one chance makes less
# of a difference, and each replay takes longer.
_REPLAYS: Final = ((10_000, 8), (50_000, 3))

_CLOSE: Final = 0.15
_MOST_BEST: Final = 6
_WORTH_TELLING: Final = 0.1

_ALWAYS: Final = (
    "All regions share one pool of containers, and nobody else sent requests.",
    "A request is refused only while no container is live, and tried again as the load generator "
    "does.",
    "Latencies, starts and stops are those of the run, in as many containers as it may be; a "
    "crowded container is no slower.",
    "What containers cost after the end of the run is left out.",
)
_OPEN: Final = "Requests come when they came, whatever became of those before (open model)."
_CLOSED: Final = (
    "Users ask, wait for the answer, and pause as long as they did on average, by half of it "
    "either way (closed model): who is refused asks less."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Settings, and what the run would have met and cost with them.

    It is ``best`` if none of the others costs less without more refusals, or has fewer without
    costing more.
    """

    settings: AutoscalerSettings
    outcome: Outcome
    best: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Advice:
    """``own`` is what the replay says of the run's own settings, to be held against ``measured``.

    ``options`` are all that were replayed, the run's own among them, by their cost. ``picked`` are
    a few of the best ones. ``notes`` tell what is taken for granted.
    """

    recorded: RecordedRun
    own: Option
    options: tuple[Option, ...]
    picked: tuple[Option, ...]
    notes: tuple[str, ...]

    @property
    def measured(self) -> Outcome:
        return self.recorded.measured


def advised(recorded: RecordedRun) -> Advice:
    """The run's requests replayed under its own settings and others. It takes a second or two."""
    own = recorded.settings
    outcomes = _outcomes(recorded, option_grid(own, seconds=recorded.load.seconds))
    front = set(_front(outcomes, own))
    options = sorted(
        (
            Option(settings=settings, outcome=outcome, best=settings in front)
            for settings, outcome in outcomes.items()
        ),
        key=lambda option: _rank(option.settings, option.outcome, own),
    )
    mine = next(option for option in options if option.settings == own)
    return Advice(
        recorded=recorded,
        own=mine,
        options=tuple(options),
        picked=tuple(_picked([option for option in options if option.best])),
        notes=(
            *_doubts(mine.outcome, recorded.measured),
            *recorded.notes,
            _OPEN if recorded.is_open else _CLOSED,
            *_ALWAYS,
        ),
    )


def option_grid(own: AutoscalerSettings, *, seconds: float) -> list[AutoscalerSettings]:
    """Settings around a run's ``own``, which are the first; some sixty for a run of ``seconds``."""
    least = [n for n in (0, 1, 2) if n <= own.max_containers]
    # Windows longer than the run are all the same to it.
    windows = [own.scaledown_window / 4, own.scaledown_window]
    if own.scaledown_window < seconds:
        windows.append(own.scaledown_window * 4)
    concurrencies = [own.target_concurrency / 2, own.target_concurrency, own.target_concurrency * 2]
    grid = [
        replace(
            own,
            min_containers=minimum,
            buffer_containers=buffer,
            target_concurrency=_plain(concurrency),
            scaledown_window=_plain(window),
        )
        for minimum, buffer, concurrency, window in product(
            sorted({*least, own.min_containers}),
            sorted({0, 1, own.buffer_containers}),
            concurrencies,
            windows,
        )
    ]
    grid.append(replace(own, max_containers=own.max_containers * 2))
    grid.append(replace(own, max_containers=max(1, own.min_containers, own.max_containers // 2)))
    return list(dict.fromkeys([own, *grid]))


def changes(settings: AutoscalerSettings, own: AutoscalerSettings) -> dict[str, float]:
    """The settings that differ from the run's ``own``, by name."""
    return {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if getattr(settings, field.name) != getattr(own, field.name)
    }


def sentence(option: Option, own: Option) -> str:
    """What an option would have made of the run, against the replay of its own settings."""
    changed = changes(option.settings, own.settings)
    if not changed:
        return "The run's own settings."
    named = ", ".join(f"{name}={value:g}" for name, value in changed.items())
    more = option.outcome.container_s - own.outcome.container_s
    cost = f"{abs(more):,.0f} container-seconds {'more' if more > 0 else 'less'}"
    if own.outcome.container_s:
        cost += f" ({more / own.outcome.container_s:+.0%})"
    if round(abs(more)) == 0:
        cost = "the same"
    refused, before = round(option.outcome.refused), round(own.outcome.refused)
    met = f"{refused:,} instead of {before:,}" if refused != before else f"as many ({refused:,})"
    return f"{named} would have cost {cost} and met {met} refusals."


def _outcomes(
    recorded: RecordedRun, grid: Sequence[AutoscalerSettings]
) -> dict[AutoscalerSettings, Outcome]:
    """Means over some replays; each of these has the same requests and chances for all settings."""
    found: dict[AutoscalerSettings, list[Outcome]] = {settings: [] for settings in grid}
    make_plan = open_plan if recorded.is_open else closed_plan
    replays, seed = 1, 0
    while seed < replays:
        plan = make_plan(recorded.load, np.random.default_rng(seed))
        replays = next((number for most, number in _REPLAYS if len(plan.at) <= most), 1)
        chances = np.random.default_rng((seed, 1))
        outcomes = replayed(plan, grid, recorded.conditions, chances)
        for settings, outcome in zip(grid, outcomes, strict=True):
            found[settings].append(outcome)
        seed += 1
    return {settings: _mean(outcomes) for settings, outcomes in found.items()}


def _mean(outcomes: Sequence[Outcome]) -> Outcome:
    return Outcome(
        **{
            field.name: sum(getattr(one, field.name) for one in outcomes) / len(outcomes)
            for field in fields(Outcome)
        }
    )


def _rank(
    settings: AutoscalerSettings, outcome: Outcome, own: AutoscalerSettings
) -> tuple[float, float, int]:
    """By cost, then by refusals; of equal ones the one with the fewest changes."""
    return outcome.container_s, outcome.refused, len(changes(settings, own))


def _front(
    outcomes: dict[AutoscalerSettings, Outcome], own: AutoscalerSettings
) -> Iterator[AutoscalerSettings]:
    """The settings that no others beat (the Pareto front), the cheapest first."""
    fewest: float | None = None
    for settings, outcome in sorted(
        outcomes.items(), key=lambda item: _rank(item[0], item[1], own)
    ):
        if fewest is None or outcome.refused < fewest:
            fewest = outcome.refused
            yield settings


def _picked(front: Sequence[Option]) -> Iterable[Option]:
    """Those of the front that differ enough from each other, and always the one that ends it."""
    most = max(option.outcome.refused for option in front)
    picked = [front[0]]
    for option in front[1:-1]:
        if picked[-1].outcome.refused - option.outcome.refused >= _WORTH_TELLING * most:
            picked.append(option)
    picked = picked[: _MOST_BEST - 1]
    return picked if front[-1] in picked else [*picked, front[-1]]


def _doubts(own: Outcome, measured: Outcome) -> Iterator[str]:
    """What of the replay of the run's own settings is not what was measured."""
    for what, said, was in (
        ("refusals", own.refused, measured.refused),
        ("container-seconds", own.container_s, measured.container_s),
    ):
        if abs(said - was) > _CLOSE * max(was, 1.0):
            yield (
                f"For the run's own settings the replay says {said:,.0f} {what}, and "
                f"{was:,.0f} were measured: take the rest with care."
            )


def _plain(value: float) -> float:
    return int(value) if value == int(value) else value
