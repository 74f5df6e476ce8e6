"""The log of events: numbers without gaps, and a bounded memory."""

from flash.edge.events import EventLog


def test_events_are_numbered_from_one_and_read_from_a_number_on() -> None:
    log = EventLog()
    log.add("requested", "ta-1")
    log.add("live", "ta-1", "port_open")
    log.add("autoscaler_updated", detail="max_containers=2")
    told = log.since(0)
    assert [event.sequence for event in told] == [1, 2, 3]
    assert [(event.kind, event.task_id, event.detail) for event in told] == [
        ("requested", "ta-1", ""),
        ("live", "ta-1", "port_open"),
        ("autoscaler_updated", None, "max_containers=2"),
    ]
    assert told[0].time <= told[1].time <= told[2].time
    assert [event.sequence for event in log.since(2)] == [3]
    assert log.since(3) == []
    assert log.since(99) == []


def test_an_empty_log_has_nothing_to_tell() -> None:
    assert EventLog().since(0) == []


def test_only_the_newest_are_kept_and_the_first_number_tells_how_many_are_missing() -> None:
    log = EventLog()
    for n in range(10_005):
        log.add("live", f"ta-{n}")
    kept = log.since(0)
    assert len(kept) == 10_000
    assert kept[0].sequence == 6
    assert kept[-1].sequence == 10_005
    assert [event.sequence for event in log.since(10_003)] == [10_004, 10_005]
    assert log.since(3)[0].sequence == 6
