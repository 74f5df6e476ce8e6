"""How long a server takes to wake up: cycles of scaling to zero, one request, and its answer.

Each cycle of each region waits until no container is there, sends one request, tries again on 503
until it is answered, and sends one more to the warm server. Against a local edge the phases of the
container's own start are told, too; of Modal's only those that the server itself tells. Durations
of the platform are differences of its own times, so its clock and this machine's need not agree.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from dashboard.config import is_loopback
from dashboard.container_lives import ContainerLife, container_lives
from dashboard.edge_events import EdgeEvents
from dashboard.errors import DashboardError
from dashboard.scraper import HttpFetch
from flash.local_edge import LocalEdgePlatform
from flash.platform import Container, FlashError, Platform
from flash.proxy_token import ProxyToken
from flash.target import TargetOptions, resolve_target

__all__ = ["Cycle", "distributions", "main", "table"]

_CONTAINER_HEADERS: Final = ("x-edge-container", "x-container-id")
_BOOT: Final = "target_boot_duration_seconds"
_REFUSED: Final = 503
_LOOK_EVERY_S: Final = 0.25
_SAY_EVERY_S: Final = 5.0

PHASES: Final = {
    "cold_s": "first attempt sent to the first byte of the answer",
    "placement_s": "container asked for to its process's start",
    "boot_s": "process's start to its port's opening",
    "container_s": "container asked for to its port's opening",
    "server_s": "what the server says that its start took",
    "rest_s": "the cold start less the container's: noticing, trying again, the way, the answer",
    "answer_s": "last attempt sent to the first byte of the answer",
    "warm_s": "the next request, to the first byte of its answer",
}


class BenchmarkError(Exception):
    """The target cannot be measured; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """One cold start. Durations in seconds, ``None`` for what the target does not tell."""

    region: str
    refused: int
    status: int
    container: str | None
    cold_s: float
    answer_s: float
    warm_s: float
    placement_s: float | None = None
    boot_s: float | None = None
    container_s: float | None = None
    server_s: float | None = None

    @property
    def rest_s(self) -> float | None:
        return None if self.container_s is None else self.cold_s - self.container_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One phase of one region over all its cycles, in seconds."""

    region: str
    phase: str
    samples: int
    lowest_s: float
    median_s: float
    p90_s: float
    highest_s: float


def distributions(cycles: Sequence[Cycle]) -> list[Distribution]:
    """Of every region and phase that has a number, in the order of their names in a cycle."""
    found: list[Distribution] = []
    for region in dict.fromkeys(cycle.region for cycle in cycles):
        for phase in PHASES:
            values = sorted(
                value
                for cycle in cycles
                if cycle.region == region and (value := getattr(cycle, phase)) is not None
            )
            if values:
                found.append(
                    Distribution(
                        region=region,
                        phase=phase,
                        samples=len(values),
                        lowest_s=values[0],
                        median_s=statistics.median(values),
                        p90_s=values[ceil(0.9 * len(values)) - 1],  # nearest rank
                        highest_s=values[-1],
                    )
                )
    return found


def table(cycles: Sequence[Cycle]) -> str:
    """For people, in Markdown."""
    lines = [
        "| region | phase | cycles | lowest | median | p90 | highest |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {one.region} | {one.phase.removesuffix('_s')} | {one.samples} | {one.lowest_s:.3f} s"
        f" | {one.median_s:.3f} s | {one.p90_s:.3f} s | {one.highest_s:.3f} s |"
        for one in distributions(cycles)
    ]
    lines.append("")
    for region in dict.fromkeys(cycle.region for cycle in cycles):
        of_region = [cycle for cycle in cycles if cycle.region == region]
        refused = [cycle.refused for cycle in of_region]
        at_once = refused.count(0)
        held = f"; {at_once} without a 503: held, or warm" if at_once else ""
        lines.append(f"{region}, {len(of_region)} cycles: {sum(refused)} 503s{held}")
    told = {one.phase for one in distributions(cycles)}
    lines += ["", *(f"{p.removesuffix('_s')}: {text}" for p, text in PHASES.items() if p in told)]
    return "\n".join(lines)


class Bench:
    """Drives ``platform``; ``say`` is told what goes on."""

    def __init__(
        self, platform: Platform, options: argparse.Namespace, say: Callable[[str], None]
    ) -> None:
        self._platform = platform
        self._options = options
        self._say = say
        token = ProxyToken.from_env(os.environ)
        self._headers = {} if token is None else token.headers()

    def cycles(self) -> Iterator[Cycle]:
        """All of them, region by region in turn, each when it is over.

        Raises:
            BenchmarkError: it does not scale to zero, or does not answer.
            FlashError: the platform does not answer.
        """
        urls = self._platform.flash_urls()
        chosen = self._options.region or list(urls)
        for region in chosen:
            if region not in urls:
                raise BenchmarkError(f"--region: no {region!r}; there are {', '.join(urls)}")
        for number in range(self._options.cycles):
            for region in chosen:
                where = f"{region}, cycle {number + 1} of {self._options.cycles}"
                self._wait_for_zero(where)
                cycle = self._cold_start(region, urls[region] + self._options.path)
                self._say(
                    f"{where}: {cycle.refused} 503s, answered with {cycle.status} after "
                    f"{cycle.cold_s:.3f} s; warm {cycle.warm_s:.3f} s"
                )
                yield cycle

    def _wait_for_zero(self, where: str) -> None:
        began = time.monotonic()
        said = -_SAY_EVERY_S
        while (there := self._platform.containers()) != []:
            if there is None:
                self._wait_idle(where)
                return
            waited = time.monotonic() - began
            if waited > self._options.zero_timeout:
                raise BenchmarkError(
                    f"not at zero after {waited:.0f} s, containers still there: {len(there)}; is "
                    "min_containers above 0, or somebody else sending? Or raise --zero-timeout"
                )
            if waited - said >= _SAY_EVERY_S:
                said = waited
                self._say(f"{where}: waiting for zero, {len(there)} there, {waited:.0f} s")
            time.sleep(_LOOK_EVERY_S)

    def _wait_idle(self, where: str) -> None:
        if self._options.idle is None:
            raise BenchmarkError(
                f"{self._platform.describe()} does not tell its containers; pass --idle SECONDS, "
                "longer than its scaledown_window, to wait so long before each cycle"
            )
        self._say(f"{where}: waiting {self._options.idle:g} s for zero")
        time.sleep(self._options.idle)

    def _cold_start(self, region: str, url: str) -> Cycle:
        timeout_s = self._options.timeout
        near = is_loopback(urlsplit(url).hostname or "")
        with httpx.Client(headers=self._headers, timeout=timeout_s, trust_env=not near) as client:
            began = time.perf_counter()
            refused = 0
            while True:
                sent = time.perf_counter()
                response, first_at = _get(client, url)
                if response.status_code != _REFUSED:
                    break
                refused += 1
                if first_at - began > timeout_s:
                    raise BenchmarkError(
                        f"{region} still answers 503 after {timeout_s:g} s; see --timeout"
                    )
                time.sleep(self._options.pause)
            warm_sent = time.perf_counter()
            _, warm_at = _get(client, url)
        named = (response.headers.get(name) for name in _CONTAINER_HEADERS)
        container = next((name for name in named if name), None)
        life, server_s = self._told(container)
        return Cycle(
            region=region,
            refused=refused,
            status=response.status_code,
            container=container,
            cold_s=first_at - began,
            answer_s=first_at - sent,
            warm_s=warm_at - warm_sent,
            placement_s=_between(life.requested_at, life.process_started_at),
            boot_s=_between(life.process_started_at, life.live_at),
            container_s=_between(life.requested_at, life.live_at),
            server_s=server_s,
        )

    def _told(self, name: str | None) -> tuple[ContainerLife, float | None]:
        """What platform and server tell of the container that answered, or of the only one."""
        there = self._platform.containers() or []
        if name is None and len(there) == 1:
            name = there[0].task_id
        container = next((one for one in there if one.task_id == name), None)
        life = ContainerLife(task_id=name or "")
        if isinstance(self._platform, LocalEdgePlatform):
            lives = asyncio.run(_lives(self._platform.admin_url))
            life = next((one for one in lives if one.task_id == name), life)
        return life, None if container is None else _server_boot_s(container)


def _get(client: httpx.Client, url: str) -> tuple[httpx.Response, float]:
    """A response, read whole, and when its first byte came (``perf_counter``).

    Raises:
        BenchmarkError: there is none.
    """
    try:
        with client.stream("GET", url) as response:
            first_at = time.perf_counter()
            response.read()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise BenchmarkError(f"{url}: {type(error).__name__}: {error}") from error
    return response, first_at


async def _lives(admin_url: str) -> list[ContainerLife]:
    fetch = HttpFetch(timeout_s=5.0)
    try:
        return container_lives(await EdgeEvents(admin_url).look(fetch))
    finally:
        await fetch.close()


def _server_boot_s(container: Container) -> float | None:
    """What a container's own metrics say; ``None`` if it has none, as any server but ours."""
    near = is_loopback(urlsplit(container.url).hostname or "")
    try:
        answer = httpx.get(f"{container.url}/metrics", timeout=5.0, trust_env=not near)
    except httpx.HTTPError:
        return None
    for line in answer.text.splitlines():
        if line.startswith(_BOOT + "{"):
            return float(line.rpartition(" ")[2])
    return None


def _between(earlier: float | None, later: float | None) -> float | None:
    return None if earlier is None or later is None else later - earlier


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the distributions; the exit status is 2 where that is not possible."""
    options = _parser().parse_args(arguments)
    cycles: list[Cycle] = []
    failure = ""
    try:
        platform = resolve_target(_target(options), os.environ)
        _say(f"target: {platform.describe()}")
        for cycle in Bench(platform, options, _say).cycles():
            cycles.append(cycle)  # noqa: PERF402 - those before a failure are worth having
    except (BenchmarkError, FlashError, DashboardError) as error:
        failure = str(error)
    except KeyboardInterrupt:
        failure = "interrupted"
    if cycles:
        print(table(cycles))
        if options.json:
            _write(options.json, cycles)
    if failure:
        _say(f"benchmark: {failure}")
    return 2 if failure else 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _write(path: Path, cycles: Sequence[Cycle]) -> None:
    told = {
        "cycles": [{**asdict(cycle), "rest_s": cycle.rest_s} for cycle in cycles],
        "distributions": [asdict(one) for one in distributions(cycles)],
    }
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _target(options: argparse.Namespace) -> TargetOptions:
    return TargetOptions(
        flash_urls=tuple(options.flash_url),
        modal_app=options.modal_app,
        modal_cls=options.modal_cls,
        modal_server=options.modal_server,
        flash_edge=options.flash_edge,
        host=options.host,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.bench_cold_starts", description=__doc__
    )
    parser.add_argument("--cycles", type=_count, default=5, help="of each region (default: 5)")
    parser.add_argument("--region", action="append", default=[], help="only this one; repeat it")
    parser.add_argument("--path", default="/", help="what is asked for (default: /)")
    parser.add_argument(
        "--pause", type=_seconds, default=0.1, help="seconds between two attempts (default: 0.1)"
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=300.0, help="seconds until it answers (default: 300)"
    )
    parser.add_argument(
        "--idle", type=_seconds, help="seconds to wait where the target tells no containers"
    )
    parser.add_argument(
        "--zero-timeout",
        type=_seconds,
        default=900.0,
        help="seconds until all containers are gone (default: 900)",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all figures there")
    target = parser.add_argument_group("target, as for 'locust -f loadgen'")
    target.add_argument("--flash-url", action="append", default=[], metavar="REGION=URL")
    for name in ("--modal-app", "--modal-cls", "--modal-server", "--flash-edge", "--host"):
        target.add_argument(name)
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError(f"expected seconds, got {text!r}")
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
