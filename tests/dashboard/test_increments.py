import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.errors import ExpositionError
from dashboard.exposition import read_exposition
from dashboard.increments import Memory, counting_since, increments, remembered
from dashboard.shape import ShapeReader


class Looked:
    """A target looked at again and again; adds up what each look found."""

    def __init__(self, *, from_zero: bool = False) -> None:
        self.reader = ShapeReader()
        self.memory: Memory | None = None
        self.from_zero = from_zero
        self.total: dict[str, float] = {}
        self.buckets = np.zeros(0)
        self.sum = 0.0

    def look(self, text: str) -> None:
        scrape = read_exposition(text.encode())
        shape = self.reader.shape_of(scrape)
        for found in increments(shape, scrape, self.memory, from_zero=self.from_zero):
            if found.values is None:
                continue
            if found.sums is not None:
                self.buckets = found.values.sum(axis=0) + (
                    self.buckets if self.buckets.size else 0.0
                )
                self.sum += float(found.sums.sum())
            else:
                for labels, value in zip(found.family.labels, found.values.tolist(), strict=True):
                    key = found.family.name + str(dict(labels))
                    self.total[key] = self.total.get(key, 0.0) + value
        self.memory = remembered(shape, scrape, self.memory)


def counter(value: float, label: str = "a") -> str:
    return f'loadgen_x_total{{l="{label}"}} {value}\n'


A = "loadgen_x_total{'l': 'a'}"
B = "loadgen_x_total{'l': 'b'}"


def test_what_a_target_had_counted_before_anyone_looked_is_a_base_line() -> None:
    target = Looked()
    target.look(counter(1000))
    assert target.total == {}
    target.look(counter(1003))
    assert target.total == {A: 3.0}


def test_a_target_known_to_have_begun_at_zero_counts_from_zero() -> None:
    target = Looked(from_zero=True)
    target.look(counter(7))
    assert target.total == {A: 7.0}


def test_a_series_that_comes_later_counts_from_zero() -> None:
    target = Looked()
    target.look(counter(1000))
    target.look(counter(1000) + counter(4, "b"))
    assert target.total == {A: 0.0, B: 4.0}


def test_a_series_that_was_away_goes_on_where_it_was() -> None:
    target = Looked()
    target.look(counter(10) + counter(20, "b"))
    target.look(counter(11))
    target.look(counter(12))
    target.look(counter(13) + counter(25, "b"))
    assert target.total == {A: 3.0, B: 5.0}


def test_a_process_that_says_it_started_anew_counts_from_zero_even_above_the_last_value() -> None:
    target = Looked()
    target.look("process_start_time_seconds 1000\n" + counter(10))
    target.look("process_start_time_seconds 2000\n" + counter(12))
    assert target.total[A] == 12.0


def test_a_start_time_that_wanders_by_a_second_is_no_restart() -> None:
    target = Looked()
    target.look("process_start_time_seconds 1000.00\n" + counter(10))
    target.look("process_start_time_seconds 1000.99\n" + counter(12))
    assert target.total[A] == 2.0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50)), min_size=1, max_size=30))
def test_increments_add_up_to_what_was_counted_across_restarts(
    steps: list[tuple[bool, int]],
) -> None:
    target = Looked(from_zero=True)
    value = counted = last = 0
    target.look(counter(0))
    for restarts, more in steps:
        # A restart that has already counted further than before cannot be told from none.
        if restarts and more < last:
            value = 0
        value += more
        counted += more
        last = value
        target.look(counter(value))
    assert target.total[A] == counted


def histogram(counts: list[int], total: float) -> str:
    cumulative = np.cumsum(counts)
    lines = ["# TYPE loadgen_d histogram\n"]
    for bound, number in zip(["0.1", "0.2", "+Inf"], cumulative, strict=True):
        lines.append(f'loadgen_d_bucket{{le="{bound}"}} {number}\n')
    lines.append(f"loadgen_d_sum {total}\nloadgen_d_count {cumulative[-1]}\n")
    return "".join(lines)


@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(st.integers(0, 9), min_size=3, max_size=3)), max_size=20
    )
)
def test_a_histogram_restarts_whole(steps: list[tuple[bool, list[int]]]) -> None:
    target = Looked(from_zero=True)
    now, counted = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    target.look(histogram([0, 0, 0], 0.0))
    for restarts, more in steps:
        # Told from none by one bucket that shrinks, which is what a restart of any use does.
        if restarts and (np.array(more) < now).any():
            now = np.zeros(3, dtype=int)
        now = now + more
        counted += more
        target.look(histogram(now.tolist(), float(now.sum())))
    assert target.buckets.tolist() == counted.tolist()
    assert target.sum == counted.sum()


def test_buckets_left_out_of_our_layout_count_as_the_one_below() -> None:
    def page(small: int, large: int) -> str:
        some = f'loadgen_d_bucket{{le="0.125"}} {small}\n' if small else ""
        return (
            f'# TYPE loadgen_d histogram\n{some}loadgen_d_bucket{{le="1.0"}} {large}\n'
            f'loadgen_d_bucket{{le="+Inf"}} {large}\nloadgen_d_sum 1\nloadgen_d_count {large}\n'
        )

    target = Looked(from_zero=True)
    target.look(page(0, 5))
    target.look(page(2, 7))
    assert target.buckets.sum() == 7
    assert sorted(target.buckets[target.buckets > 0].tolist()) == [2.0, 5.0]


@pytest.mark.parametrize(
    "sums",
    [("", ""), ("NaN", "3"), ("3", "NaN"), ("+Inf", "+Inf"), ("3", "+Inf"), ("+Inf", "3")],
)
def test_a_sum_that_is_not_told_or_no_number_is_unknown_and_the_counts_are_exact(
    sums: tuple[str, str],
) -> None:
    def page(count: int, told: str) -> str:
        told = f"loadgen_d_sum {told}\n" if told else ""
        return f'# TYPE loadgen_d histogram\nloadgen_d_bucket{{le="+Inf"}} {count}\n{told}'

    target = Looked(from_zero=True)
    target.look(page(2, sums[0]))
    target.look(page(5, sums[1]))
    assert target.buckets.sum() == 5
    assert np.isnan(target.sum)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (counter(-1), "expected a count"),
        (counter(float("nan")), "expected a count"),
        (counter(float("inf")), "expected a count"),
        (histogram([1, 1, 1], 1).replace('"0.2"} 2', '"0.2"} 0'), "cumulative"),
        (histogram([1, 1, 1], 1).replace('"0.2"} 2', '"0.2"} 1.5'), "cumulative"),
    ],
)
def test_counts_that_cannot_be_are_garbage(text: str, why: str) -> None:
    with pytest.raises(ExpositionError, match=why):
        Looked(from_zero=True).look("loadgen_users 1\n" + text)


def test_since_when_a_target_counts() -> None:
    def since(text: str) -> float | None:
        scrape = read_exposition(text.encode())
        return counting_since(ShapeReader().shape_of(scrape), scrape)

    runs = "".join(
        f'loadgen_run_start_timestamp_seconds{{run="{run}"}} {at}\n'
        for run, at in ((1, 90), (2, 50))
    )
    assert since("loadgen_users 1\n") is None
    assert since(runs) == 50.0
    assert since("process_start_time_seconds 40\n" + runs) == 50.0
    assert since("process_start_time_seconds 60\n" + runs) == 60.0
    assert since("process_start_time_seconds 40\n") == 40.0
    assert since('target_start_timestamp_seconds{container="a"} 30\n') == 30.0
