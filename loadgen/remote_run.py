"""A run of a master and workers that are far from each other: who runs where, with which options.

Each worker measures from its own region. Everything here is decided before anything is started.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from flash.regions import is_region_name
from loadgen.arrival_schedule import RateSchedule
from loadgen.errors import UsageError

__all__ = [
    "SUMMARY_FILE",
    "Place",
    "RemoteRun",
    "Results",
    "master_arguments",
    "plan_run",
    "worker_arguments",
]

SUMMARY_FILE: Final = "summary.json"
"""Name of the file with the summary of the run, the whole histograms among it."""

# Where Modal's functions can run is named a little otherwise than where its proxies are.
COMPUTE_REGIONS: Final = MappingProxyType({"ca-central": "ca"})

_KINDS: Final = MappingProxyType(
    {"both": (), "sticky": ("StickyUser",), "non_sticky": ("NonStickyUser",)}
)
_MOST_WORKERS: Final = 100
_JOIN_WITHIN_S: Final = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One worker: the name of its region in the figures, where Modal is to run it, its targets."""

    client_region: str
    compute_region: str
    urls: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRun:
    """What :func:`plan_run` has decided; durations in seconds.

    ``urls`` are all targets by region. ``options`` are further ones of ``locust -f loadgen``.
    """

    urls: Mapping[str, str]
    places: tuple[Place, ...]
    users: int
    spawn_rate: float
    run_time_s: int
    stop_timeout_s: int
    options: tuple[str, ...] = field(default=(), repr=False)  # headers among them may be secrets

    @property
    def longest_s(self) -> int:
        """How long it can take, with the time that containers may need to start."""
        return _JOIN_WITHIN_S + self.run_time_s + self.stop_timeout_s + 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What a master leaves: its exit status, and its files by name."""

    status: int
    files: Mapping[str, str]


def plan_run(
    urls: Mapping[str, str],
    *,
    regions: str = "",
    workers_per_region: int = 1,
    across: bool = False,
    routing: str = "both",
    users: int,
    spawn_rate: float,
    run_time_s: int,
    stop_timeout_s: int,
    arrival_rate: str = "",
    options: Sequence[str] = (),
) -> RemoteRun:
    """Workers in every region that is to be measured from.

    ``regions`` are those to run workers in, separated by commas, each as ``REGION`` or as
    ``REGION=COMPUTE`` where Modal names it otherwise; without any, those of ``urls``. A worker
    sends to the URL of its own region, or with ``across`` to all of them.

    Raises:
        UsageError: it cannot be done like this.
    """
    placed = _placed(regions) or {region: COMPUTE_REGIONS.get(region, region) for region in urls}
    _check_urls(urls)
    if routing not in _KINDS:
        raise UsageError(f"expected --routing {', '.join(_KINDS)}, got {routing!r}")
    count = len(placed) * workers_per_region
    if not 1 <= count <= _MOST_WORKERS:
        raise UsageError(
            f"expected 1 to {_MOST_WORKERS} workers, got {workers_per_region} in each of "
            f"{len(placed)} regions; change --workers-per-region or --regions"
        )
    if users < count:
        raise UsageError(
            f"{users} users are too few for {count} workers; raise --users to {count} at least"
        )
    for name, value in (("--run-time", run_time_s), ("--spawn-rate", spawn_rate)):
        if not value > 0:
            raise UsageError(f"expected a {name} above 0, got {value:g}")
    if stop_timeout_s < 0:
        raise UsageError(f"expected a --stop-timeout from 0 on, got {stop_timeout_s}")
    if arrival_rate:
        RateSchedule.parse(arrival_rate)
        options = ("--arrival-rate", arrival_rate, *options)
    return RemoteRun(
        urls=dict(urls),
        places=tuple(
            Place(
                client_region=region,
                compute_region=compute,
                urls=dict(urls) if across else {region: _own(urls, region)},
            )
            for region, compute in placed.items()
            for _ in range(workers_per_region)
        ),
        users=users,
        spawn_rate=spawn_rate,
        run_time_s=run_time_s,
        stop_timeout_s=stop_timeout_s,
        options=(*options, *_KINDS[routing]),
    )


def master_arguments(
    run: RemoteRun, *, port: int, metrics_port: int, results: str
) -> tuple[str, ...]:
    """What Locust's master is called with; it leaves its files below ``results``."""
    return (
        *("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", str(port)),
        *("--metrics-port", str(metrics_port), "--headless", "--only-summary"),
        *("--expect-workers", str(len(run.places))),
        *("--expect-workers-max-wait", str(_JOIN_WITHIN_S)),
        *("--users", str(run.users), "--spawn-rate", f"{run.spawn_rate:g}"),
        *("--run-time", f"{run.run_time_s}s", "--stop-timeout", str(run.stop_timeout_s)),
        *("--csv", f"{results}/locust", "--summary-json", f"{results}/{SUMMARY_FILE}"),
        *_targets(run.urls),
        *run.options,
    )


def worker_arguments(place: Place, *, port: int) -> tuple[str, ...]:
    """What a worker is called with; the rest its master tells it."""
    return (
        *("--worker", "--master-host", "127.0.0.1", "--master-port", str(port)),
        *("--client-region", place.client_region, *_targets(place.urls)),
    )


def _targets(urls: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(
        part for region, url in urls.items() for part in ("--flash-url", f"{region}={url}")
    )


def _placed(regions: str) -> dict[str, str]:
    placed = {}
    for part in filter(None, map(str.strip, regions.split(","))):
        region, equals, compute = part.partition("=")
        compute = compute if equals else COMPUTE_REGIONS.get(region, region)
        for name in (region, compute):
            if not is_region_name(name):
                raise UsageError(
                    f"expected --regions as REGION or REGION=COMPUTE, by commas, got {part!r}"
                )
        if region in placed:
            raise UsageError(f"region {region!r} is in --regions twice; see --workers-per-region")
        placed[region] = compute
    return placed


def _own(urls: Mapping[str, str], region: str) -> str:
    try:
        return urls[region]
    except KeyError:
        raise UsageError(
            f"no flash URL is in region {region!r}, only in {', '.join(urls)}; "
            "pass --across to measure these from there"
        ) from None


def _check_urls(urls: Mapping[str, str]) -> None:
    for region, url in urls.items():
        if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
            raise UsageError(f"{region} is {url}, which containers on Modal cannot reach")
