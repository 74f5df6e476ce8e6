"""The processes that make the load of a capacity search: this one, or a master's workers."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from gevent.event import Event
from locust.exception import RPCError, RPCSendError
from locust.runners import MasterRunner, WorkerRunner

from loadgen.arrival_schedule import WHOLE, Share
from loadgen.capacity_judgement import Look
from loadgen.dispatcher import Arrived, sum_arrived
from loadgen.generator import Generator
from loadgen.region_figures import RegionFigures

__all__ = ["LocalFleet", "MasterFleet", "WorkerEnd"]

_OFFER_MESSAGE: Final = "flashgauge_offer"
_LOOK_MESSAGE: Final = "flashgauge_look"
_SEEN_MESSAGE: Final = "flashgauge_seen"
_SEEN_WITHIN_S: Final = 5.0

_NOTHING: Final = Arrived(0, 0, 0, 0, 0)


class LocalFleet:
    """This process alone."""

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def __repr__(self) -> str:
        return f"<LocalFleet of {self._generator!r}>"

    def offer(self, region: str, rate: float | None) -> frozenset[str]:
        model = self._generator.step_model
        if model is not None:
            model.offer(region, rate, WHOLE)
        return frozenset()

    def look(self) -> Look:
        cpu_s = {"local": (time.process_time(), time.perf_counter())}
        return _look(self._generator, _arrived(self._generator), cpu_s, frozenset())


class MasterFleet:
    """A master's workers. Each look has from all of them what they counted until they were asked.

    Workers that do not answer a look are not present in it.
    """

    def __init__(self, generator: Generator, runner: MasterRunner) -> None:
        self._generator = generator
        self._runner = runner
        self._asked = 0
        self._awaited: set[str] = set()
        self._all_seen = Event()
        self._seen: dict[str, tuple[Arrived, float, float]] = {}

    def __repr__(self) -> str:
        return f"<MasterFleet of {len(self._seen)} workers>"

    def listen(self) -> None:
        """To the workers; once for a runner."""
        self._runner.register_message(_SEEN_MESSAGE, self._on_seen)

    def offer(self, region: str, rate: float | None) -> frozenset[str]:
        runner = self._runner
        busy = [client.id for client in runner.clients.running if client.user_count]
        busy.sort(key=runner.get_worker_index)
        for index, name in enumerate(busy):
            data = {"region": region, "rate": rate, "index": index, "count": len(busy)}
            runner.send_message(_OFFER_MESSAGE, data, name)
        return frozenset(map(self._name_of, busy))

    def look(self) -> Look:
        runner = self._runner
        self._asked += 1
        self._awaited = {
            client.id for client in (*runner.clients.running, *runner.clients.spawning)
        }
        asked = frozenset(self._awaited)
        self._all_seen.clear()
        for name in asked:
            runner.send_message(_LOOK_MESSAGE, {"number": self._asked}, name)
        if asked:
            self._all_seen.wait(_SEEN_WITHIN_S)
        present = asked - self._awaited
        cpu_s = {
            self._name_of(name): (cpu, wall)
            for name, (_, cpu, wall) in self._seen.items()
            if name in present
        }
        # What those counted who are gone stays counted, as in the recorder.
        arrived = sum_arrived([_NOTHING, *(seen[0] for seen in self._seen.values())])
        return _look(self._generator, arrived, cpu_s, frozenset(map(self._name_of, present)))

    def _name_of(self, client_id: str) -> str:
        return f"worker-{self._runner.get_worker_index(client_id)}"

    def _on_seen(self, msg: Any, **_: Any) -> None:
        data = msg.data
        self._seen[msg.node_id] = (Arrived(**data["arrived"]), data["cpu_s"], data["wall_s"])
        if data["number"] == self._asked:
            self._awaited.discard(msg.node_id)
            if not self._awaited:
                self._all_seen.set()


class WorkerEnd:
    """What a worker does for its master's search; ``report`` sends what it has recorded."""

    def __init__(
        self, generator: Generator, runner: WorkerRunner, report: Callable[[], None]
    ) -> None:
        self._generator = generator
        self._runner = runner
        self._report = report

    def __repr__(self) -> str:
        return f"<WorkerEnd of {self._generator!r}>"

    def listen(self) -> None:
        """To the master."""
        self._runner.register_message(_OFFER_MESSAGE, self._on_offer)
        self._runner.register_message(_LOOK_MESSAGE, self._on_look)

    def _on_offer(self, msg: Any, **_: Any) -> None:
        model, data = self._generator.step_model, msg.data
        if model is not None:
            model.offer(data["region"], data["rate"], Share(data["index"], data["count"]))

    def _on_look(self, msg: Any, **_: Any) -> None:
        seen = {
            "number": msg.data["number"],
            "arrived": asdict(_arrived(self._generator)),
            "cpu_s": time.process_time(),
            "wall_s": time.perf_counter(),
        }
        # In this order, which messages keep: the master then has all that was recorded by now.
        self._report()
        try:
            self._runner.send_message(_SEEN_MESSAGE, seen)
        except (RPCError, RPCSendError):
            pass  # Locust itself says that the master is gone


def _arrived(generator: Generator) -> Arrived:
    dispatcher = generator.dispatcher
    return _NOTHING if dispatcher is None else dispatcher.arrived()


def _look(
    generator: Generator,
    arrived: Arrived,
    cpu_s: Mapping[str, tuple[float, float]],
    present: frozenset[str],
) -> Look:
    recorder = generator.recorder
    channels = list(recorder)
    return Look(
        at_s=time.perf_counter(),
        arrived=arrived,
        regions={region: RegionFigures.of(region, channels) for region in generator.urls},
        in_flight={
            region: sum(recorder.in_flight(one) for one in channels if one.region == region)
            for region in generator.urls
        },
        cpu_s=cpu_s,
        present=present,
    )
