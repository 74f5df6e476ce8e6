import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.traffic import RequestOrder, Traffic, starting_place
from loadgen.traffic_request import TrafficRequest

REQUESTS = [TrafficRequest("GET", f"/{n}", f"/{n}") for n in range(8)]


def numbers(traffic, count):
    return [int(traffic.next().name[1:]) for _ in range(count)]


def test_in_order_each_request_is_taken_in_turn_and_then_again():
    traffic = Traffic(REQUESTS[:3], RequestOrder.IN_ORDER, start=0, uniform=random.random)
    assert numbers(traffic, 7) == [0, 1, 2, 0, 1, 2, 0]


def test_in_order_it_begins_where_it_is_told_and_goes_round_all():
    traffic = Traffic(REQUESTS, RequestOrder.IN_ORDER, start=6, uniform=random.random)
    assert numbers(traffic, 9) == [6, 7, 0, 1, 2, 3, 4, 5, 6]


def test_at_random_all_are_equally_likely():
    uniform = random.Random(5).random
    traffic = Traffic(REQUESTS, RequestOrder.RANDOM, start=0, uniform=uniform)
    taken = Counter(numbers(traffic, 8000))
    assert set(taken) == set(range(8))
    # Binomial with a deviation of about 30 from the mean of 1000.
    assert all(abs(count - 1000) < 150 for count in taken.values())


@pytest.mark.parametrize(("uniform", "taken"), [(0.0, 0), (0.124, 0), (0.125, 1), (1 - 2**-53, 7)])
def test_at_random_the_ends_are_reached_and_not_passed(uniform, taken):
    traffic = Traffic(REQUESTS, RequestOrder.RANDOM, start=0, uniform=lambda: uniform)
    assert numbers(traffic, 1) == [taken]


def test_workers_begin_at_halves_quarters_and_eighths():
    assert [starting_place(worker, 80) for worker in range(8)] == [0, 40, 20, 60, 10, 50, 30, 70]
    assert [starting_place(worker, 3) for worker in range(4)] == [0, 1, 0, 2]
    assert [starting_place(worker, 1) for worker in range(4)] == [0, 0, 0, 0]


@given(st.integers(0, 6), st.integers(1, 10_000))
def test_so_many_workers_as_a_power_of_two_cover_the_file_in_equal_parts(power, count):
    workers = 2**power
    places = sorted(starting_place(worker, count) for worker in range(workers))
    assert places == [count * part // workers for part in range(workers)]


@given(st.integers(0, 5000), st.integers(1, 10_000))
def test_every_worker_begins_inside_the_file(worker, count):
    assert 0 <= starting_place(worker, count) < count


def test_an_order_is_parsed_by_its_name():
    assert [RequestOrder.parse(order.value) for order in RequestOrder] == list(RequestOrder)
    with pytest.raises(UsageError, match="expected in-order or random, got 'sorted'"):
        RequestOrder.parse("sorted")
