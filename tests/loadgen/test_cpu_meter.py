import pytest

from flash.generator_limit import CpuUse
from loadgen.cpu_meter import CpuMeter, CpuSample, CpuTotal


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_sample_is_what_was_used_since_the_one_before():
    wall, cpu = Clock(), Clock()
    meter = CpuMeter(wall, cpu)
    wall.now, cpu.now = 2.0, 0.5
    assert meter.age_s == 2.0
    assert meter.measure() == CpuSample(0.25, 2.0)
    wall.now, cpu.now = 3.0, 1.5
    assert meter.measure() == CpuSample(1.0, 1.0)
    assert meter.age_s == 0.0


def test_without_time_in_between_it_is_the_last_sample():
    wall, cpu = Clock(), Clock()
    meter = CpuMeter(wall, cpu)
    wall.now, cpu.now = 1.0, 0.5
    first = meter.measure()
    cpu.now = 0.6
    assert meter.measure() is first


def test_the_mean_is_over_time_and_a_moment_is_no_highest():
    total = CpuTotal()
    assert total.use() is None
    for sample in (CpuSample(0.2, 1.0), CpuSample(0.6, 3.0), CpuSample(1.0, 0.01)):
        total.add(sample)
    mean, highest = (0.2 + 1.8 + 0.01) / 4.01, 0.6
    use = total.use()
    assert (use.mean, use.highest) == (pytest.approx(mean), highest)


def test_of_a_run_of_a_moment_the_mean_is_the_highest():
    total = CpuTotal()
    total.add(CpuSample(0.7, 0.1))
    assert total.use() == CpuUse(pytest.approx(0.7), pytest.approx(0.7))
