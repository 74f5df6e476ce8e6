from loadgen.worker_roll import Changed, WorkerRoll


def looked(roll: WorkerRoll, present: str, missing: str = "") -> Changed:
    return roll.look(set(present), set(missing))


def test_a_worker_joins_once():
    roll = WorkerRoll()
    assert looked(roll, "ab").joined == {"a", "b"}
    assert looked(roll, "").joined == set()
    assert looked(roll, "abc").joined == {"c"}
    assert roll.changes == {"joined": 3, "lost": 0, "returned": 0}


def test_a_worker_that_is_missed_is_lost_once_until_it_returns():
    roll = WorkerRoll()
    looked(roll, "ab")
    assert looked(roll, "b", "a").lost == {"a"}
    assert looked(roll, "b", "a").lost == set()
    assert looked(roll, "ab").returned == {"a"}
    assert looked(roll, "ab").returned == set()
    assert looked(roll, "b", "a").lost == {"a"}
    assert roll.changes == {"joined": 2, "lost": 2, "returned": 1}


def test_a_worker_that_its_master_forgets_stays_lost():
    roll = WorkerRoll()
    looked(roll, "a")
    looked(roll, "", "a")
    assert looked(roll, "") == Changed(frozenset(), frozenset(), frozenset())
    assert looked(roll, "a").returned == {"a"}


def test_a_worker_that_leaves_in_order_is_not_lost():
    roll = WorkerRoll()
    looked(roll, "ab")
    looked(roll, "b")
    assert roll.changes["lost"] == 0
