"""URLs given by hand are checked, item by item."""

import pytest

from flash.platform import TargetError
from flash.static_list import StaticPlatform, parse_flash_urls, server_url


def test_items_become_urls_by_region_in_their_order_without_trailing_slashes() -> None:
    items = ["us-east=https://a.example/", " eu-west = http://[::1]:80/base/ "]
    urls = parse_flash_urls(items, where="FLASH_URLS")
    assert list(urls.items()) == [
        ("us-east", "https://a.example"),
        ("eu-west", "http://[::1]:80/base"),
    ]
    platform = StaticPlatform(urls)
    assert platform.flash_urls() == urls
    assert platform.containers() is None


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["https://a.example"], "expected REGION=URL"),
        (["=https://a.example"], "expected REGION=URL"),
        (["US=https://a.example"], "expected REGION=URL"),
        (["a=http://x", "a=http://y"], "'a' is given twice"),
        (["a=ftp://x"], "region a: expected an http"),
    ],
)
def test_a_bad_item_is_named(items: list[str], message: str) -> None:
    with pytest.raises(TargetError, match=message) as caught:
        parse_flash_urls(items, where="FLASH_URLS")
    assert str(caught.value).startswith("FLASH_URLS")


def test_an_empty_list_is_refused() -> None:
    with pytest.raises(TargetError, match="at least one"):
        StaticPlatform({})


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example",
        "ftp://a",
        "http://",
        "http://a:99999",
        "http://a:0",
        "http://a b",
        "http://[x",
    ],
)
def test_what_no_request_can_be_sent_to_is_refused(url: str) -> None:
    with pytest.raises(TargetError, match="--host: expected an http"):
        server_url(url, where="--host")


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(TargetError) as caught:
        server_url("http://user:canary@a.example", where="--host")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://a/?q=1", "http://a/#f"])
def test_a_query_or_fragment_is_refused(url: str) -> None:
    with pytest.raises(TargetError, match="without query or fragment"):
        server_url(url, where="--host")
