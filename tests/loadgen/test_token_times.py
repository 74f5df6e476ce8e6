import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.recorder import Channel
from loadgen.token_times import TokenTimes


def test_the_first_token_counts_from_the_request_and_each_other_from_the_one_before():
    channel = Channel("a", "sticky")
    tokens = TokenTimes(channel, started=100.0)
    for at in (100.5, 100.6, 100.6, 101.0):
        tokens.came(at)
    assert channel.time_to_first_token.sum == 0.5
    assert channel.time_between_tokens.total == 3
    assert channel.time_between_tokens.sum == pytest.approx(0.1 + 0.0 + 0.4)


@given(st.lists(st.floats(0, 100), min_size=1))
def test_all_times_of_an_answer_add_up_to_its_last_token(waits):
    channel = Channel("a", "sticky")
    tokens, now = TokenTimes(channel, started=7.0), 7.0
    for wait in waits:
        now += wait
        tokens.came(now)
    first, between = channel.time_to_first_token, channel.time_between_tokens
    assert (first.total, between.total) == (1, len(waits) - 1)
    assert first.sum + between.sum == pytest.approx(now - 7.0)
