import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.ledger import Entry, Ledger

# Reports as they come, as (number, oldest kept), and the numbers that are counted of them.
CASES = {
    "in order": ([(1, 1), (2, 2), (3, 3)], [1, 2, 3]),
    "twice": ([(1, 1), (1, 1), (2, 1), (2, 1)], [1, 2]),
    "out of order": ([(1, 1), (3, 1), (2, 1)], [1, 3, 2]),
    "one lost and sent again": ([(1, 1), (3, 2), (2, 2), (4, 4)], [1, 3, 2, 4]),
    "sent again though it came": ([(1, 1), (2, 1), (1, 1), (3, 1)], [1, 2, 3]),
    "a duplicate long after": ([(1, 1), (2, 2), (3, 3), (1, 1)], [1, 2, 3]),
    "a master that began anew": ([(57, 55), (55, 55), (56, 55)], [57, 55, 56]),
    "what the worker does not keep is not awaited": ([(5, 5), (3, 3), (6, 6)], [5, 6]),
}


@pytest.mark.parametrize(("reports", "counted"), CASES.values(), ids=CASES)
def test_each_report_is_counted_once(reports, counted):
    ledger = Ledger()
    entries = [(number, ledger.enter("p", number, oldest)) for number, oldest in reports]
    assert [number for number, entry in entries if entry.new] == counted
    assert ledger.results["counted"] == len(counted)
    assert ledger.results["duplicate"] == len(reports) - len(counted)


def test_the_first_that_shows_a_gap_tells_it():
    ledger = Ledger()
    ledger.enter("p", 1, 1)
    assert ledger.enter("p", 4, 2) == Entry(new=True, latest=True, missed=(2, 3))
    assert ledger.lacking("p") == [2, 3]
    assert ledger.enter("p", 5, 2) == Entry(new=True, latest=True)
    assert ledger.enter("p", 2, 2) == Entry(new=True, latest=False)
    assert ledger.lacking("p") == [3]
    assert ledger.results == {"counted": 4, "duplicate": 0, "missed": 2}


def test_a_receipt_tells_what_is_here():
    ledger = Ledger()
    assert ledger.receipt("p") == {"process": "p", "upto": 0, "beyond": []}
    for number in (1, 2, 6, 4):
        ledger.enter("p", number, 1)
    assert ledger.receipt("p") == {"process": "p", "upto": 2, "beyond": [4, 6]}
    ledger.enter("p", 3, 3)
    assert ledger.receipt("p") == {"process": "p", "upto": 4, "beyond": [6]}


def test_processes_have_their_own_numbers():
    ledger = Ledger()
    assert ledger.enter("p", 1, 1).new
    assert ledger.enter("q", 1, 1).new
    assert not ledger.enter("p", 1, 1).new
    assert ledger.lacking("never heard of") == []


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=80))
def test_no_number_is_counted_twice_whatever_comes(reports):
    ledger = Ledger()
    counted = [
        number for number, oldest in reports if ledger.enter("p", number, min(number, oldest)).new
    ]
    assert len(counted) == len(set(counted)) == ledger.results["counted"]
    receipt = ledger.receipt("p")
    assert all(number > receipt["upto"] + 1 for number in receipt["beyond"])
    assert all(number <= receipt["upto"] or number in receipt["beyond"] for number in counted)
