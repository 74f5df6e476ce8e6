from loadgen.outbox import (
    ACKNOWLEDGED_WITHIN_S,
    MOST_UNACKNOWLEDGED,
    SEND_AGAIN_AFTER_S,
    Outbox,
)


def due(outbox: Outbox[str], now_s: float) -> list[tuple[int, str]]:
    found = []
    while (one := outbox.next_due(now_s)) is not None:
        found.append(one)
    return found


def filled(*reports: str) -> Outbox[str]:
    outbox: Outbox[str] = Outbox()
    for report in reports:
        outbox.put(report)
    return outbox


def test_reports_are_numbered_from_1_and_due_once_in_their_order():
    outbox = filled("a", "b")
    assert due(outbox, 0.0) == [(1, "a"), (2, "b")]
    assert due(outbox, 1.0) == []
    assert outbox.put("c") == 3
    assert due(outbox, 2.0) == [(3, "c")]


def test_what_is_acknowledged_is_forgotten():
    outbox = filled("a", "b", "c")
    due(outbox, 0.0)
    assert outbox.oldest == 1
    outbox.acknowledged(2, [])
    assert outbox.oldest == 3
    outbox.acknowledged(3, [])
    assert outbox.oldest == 4
    assert due(outbox, 100.0) == []


def test_what_is_missing_before_an_acknowledged_one_is_due_again():
    outbox = filled("a", "b", "c", "d")
    due(outbox, 0.0)
    outbox.acknowledged(1, [3])
    assert due(outbox, 0.1) == [(2, "b")]
    assert due(outbox, 0.2) == []


def test_without_any_acknowledgement_only_the_oldest_is_sent_again_after_a_while():
    outbox = filled("a", "b")
    due(outbox, 10.0)
    assert due(outbox, 10.0 + SEND_AGAIN_AFTER_S - 0.1) == []
    assert due(outbox, 10.0 + SEND_AGAIN_AFTER_S) == [(1, "a")]
    assert due(outbox, 10.0 + SEND_AGAIN_AFTER_S + 0.1) == []


def test_what_could_not_be_sent_stays_due():
    outbox = filled("a")
    assert outbox.next_due(0.0) == (1, "a")
    outbox.not_sent(1)
    assert due(outbox, 0.1) == [(1, "a")]


def test_an_acknowledgement_of_what_is_forgotten_changes_nothing():
    outbox = filled("a", "b")
    outbox.acknowledged(1, [])
    outbox.acknowledged(0, [])
    outbox.not_sent(1)
    assert due(outbox, 0.0) == [(2, "b")]


def test_it_is_full_until_something_is_acknowledged():
    outbox = filled(*"x" * (MOST_UNACKNOWLEDGED - 1))
    assert not outbox.full
    outbox.put("y")
    assert outbox.full
    outbox.acknowledged(1, [])
    assert not outbox.full


def test_all_that_is_overdue_can_be_sent_again_at_once_but_nothing_that_was_just_sent():
    outbox = filled("a", "b")
    due(outbox, 10.0)
    outbox.put("c")
    due(outbox, 10.5)
    outbox.hasten(10.1 + ACKNOWLEDGED_WITHIN_S)
    assert due(outbox, 11.1) == [(1, "a"), (2, "b")]
    outbox.hasten(11.2)
    assert due(outbox, 11.2) == []
