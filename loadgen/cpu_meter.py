"""How much CPU a process of the generator uses, second by second and over a run."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from flash.generator_limit import CpuUse

__all__ = ["CpuMeter", "CpuSample", "CpuTotal"]

_WHOLE_S: Final = 0.5  # a shorter sample, as at the end of a run, is no second


class CpuSample(NamedTuple):
    """CPU of one process, 1 is one core, in the ``seconds`` before it was measured."""

    ratio: float
    seconds: float


class CpuMeter:
    """Measures this process. ``wall`` and ``cpu`` give seconds."""

    def __init__(
        self,
        wall: Callable[[], float] = time.monotonic,
        cpu: Callable[[], float] = time.process_time,
    ) -> None:
        self._wall, self._cpu = wall, cpu
        self._at = (wall(), cpu())
        self.last = CpuSample(0.0, 0.0)

    def __repr__(self) -> str:
        return f"<CpuMeter at {self.last.ratio:.0%} of a core>"

    @property
    def age_s(self) -> float:
        """Seconds since the last measuring."""
        return self._wall() - self._at[0]

    def measure(self) -> CpuSample:
        """What was used since the last measuring."""
        wall, cpu = self._wall(), self._cpu()
        seconds = wall - self._at[0]
        if seconds > 0:
            self.last = CpuSample((cpu - self._at[1]) / seconds, seconds)
            self._at = (wall, cpu)
        return self.last


class CpuTotal:
    """The samples of one process in a run, summed up."""

    def __init__(self) -> None:
        self._used_s = self._seconds = self._highest = 0.0

    def __repr__(self) -> str:
        return f"<CpuTotal of {self._seconds:.1f} s>"

    def add(self, sample: CpuSample) -> None:
        self._used_s += sample.ratio * sample.seconds
        self._seconds += sample.seconds
        if sample.seconds >= _WHOLE_S:
            self._highest = max(self._highest, sample.ratio)

    def use(self) -> CpuUse | None:
        """``None`` without a sample."""
        if not self._seconds:
            return None
        mean = self._used_s / self._seconds
        return CpuUse(mean, max(mean, self._highest))
