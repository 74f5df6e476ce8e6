"""The prefix cache: bounded, the least recently used goes first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from target_app.prefix_cache import PrefixCache


def test_a_kept_prefix_is_there_and_only_grows() -> None:
    cache = PrefixCache(2)
    assert cache.cached_tokens("a") is None
    cache.keep("a", 100)
    cache.keep("a", 40)
    assert cache.cached_tokens("a") == 100
    cache.keep("a", 130)
    assert cache.cached_tokens("a") == 130


def test_a_prefix_of_no_tokens_is_not_the_same_as_none() -> None:
    cache = PrefixCache(1)
    cache.keep("a", 0)
    assert cache.cached_tokens("a") == 0


def test_the_least_recently_used_goes_first_and_a_look_is_a_use() -> None:
    cache = PrefixCache(2)
    cache.keep("a", 1)
    cache.keep("b", 2)
    cache.cached_tokens("a")
    cache.keep("c", 3)
    assert [cache.cached_tokens(session) for session in "abc"] == [1, None, 3]


def test_a_look_for_what_is_not_there_displaces_nothing() -> None:
    cache = PrefixCache(1)
    cache.keep("a", 1)
    cache.cached_tokens("b")
    assert cache.cached_tokens("a") == 1


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50))))
def test_it_never_holds_more_than_it_may_and_always_the_last(capacity, kept) -> None:
    cache = PrefixCache(capacity)
    for session, tokens in kept:
        cache.keep(str(session), tokens)
        assert (cache.cached_tokens(str(session)) or 0) >= tokens
        assert len(cache) <= capacity
    distinct = list(dict.fromkeys(str(session) for session, _ in reversed(kept)))
    held = [session for session in distinct if cache.cached_tokens(session) is not None]
    assert held == distinct[:capacity]


def test_a_cache_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one session, got 0"):
        PrefixCache(0)
