"""A proxy token is whole or absent, and keeps its secret."""

import pytest

from flash.platform import TargetError
from flash.proxy_token import ProxyToken

BOTH = {"MODAL_PROXY_TOKEN_ID": "wk-1", "MODAL_PROXY_TOKEN_SECRET": "ws-canary"}


def test_both_halves_make_the_two_headers() -> None:
    token = ProxyToken.from_env(BOTH)
    assert token is not None
    assert token.headers() == {"Modal-Key": "wk-1", "Modal-Secret": "ws-canary"}
    assert "canary" not in repr(token)


def test_no_half_is_no_token() -> None:
    assert ProxyToken.from_env({}) is None
    assert ProxyToken.from_env(dict.fromkeys(BOTH, "")) is None


@pytest.mark.parametrize("given", list(BOTH))
def test_one_half_alone_is_refused_and_the_other_named(given: str) -> None:
    (missing,) = set(BOTH) - {given}
    with pytest.raises(TargetError, match=f"{given} is set but {missing} is not") as caught:
        ProxyToken.from_env({given: BOTH[given]})
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("bad", ["ws-a\r\nX: y", "ws a", "ws-é"])
def test_what_cannot_stand_in_a_header_is_refused(bad: str) -> None:
    with pytest.raises(TargetError, match="MODAL_PROXY_TOKEN_SECRET holds characters") as caught:
        ProxyToken.from_env({**BOTH, "MODAL_PROXY_TOKEN_SECRET": bad})
    assert bad not in str(caught.value)


def test_a_token_goes_to_another_process_by_its_environment() -> None:
    token = ProxyToken.from_env(BOTH)
    assert token is not None
    assert token.environment() == BOTH
    assert ProxyToken.from_env(token.environment()) == token
