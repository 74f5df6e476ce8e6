"""Which proxy the environment names for an origin."""

import pytest

from loadgen.errors import UsageError
from loadgen.origin import split_url
from loadgen.proxies import Proxy, proxy_for


def found(url, **environ):
    return proxy_for(split_url(url)[0], environ)


def test_each_scheme_has_its_own_variable():
    environ = {"http_proxy": "http://a:1", "HTTPS_PROXY": "http://b:2/"}
    assert found("http://x", **environ) == Proxy("a", 1)
    assert found("https://x", **environ) == Proxy("b", 2)
    assert found("http://x") is None


def test_lower_case_goes_first_and_all_proxy_last():
    assert found("http://x", http_proxy="http://a:1", HTTP_PROXY="http://b:2").host == "a"
    assert found("http://x", http_proxy="", HTTP_PROXY="http://b:2").host == "b"
    assert found("http://x", ALL_PROXY="http://c:3").host == "c"
    assert found("http://x", http_proxy="http://a:1", all_proxy="http://c:3").host == "a"


def test_the_scheme_and_port_may_be_left_out():
    assert found("http://x", http_proxy="proxy:3128") == Proxy("proxy", 3128)
    assert found("http://x", http_proxy="http://proxy") == Proxy("proxy", 80)
    assert str(found("http://x", http_proxy="http://[fd00::1]:8080")) == "[fd00::1]:8080"


def test_credentials_become_a_header_and_are_not_shown():
    proxy = found("http://x", http_proxy="http://us%40er:p%3Aw@proxy:1")
    assert proxy.authorization == "Basic dXNAZXI6cDp3"
    assert "dXN" not in repr(proxy) + str(proxy)


@pytest.mark.parametrize(
    "value", ["socks5://u:secret@a:1", "https://u:secret@a", "http://:1", "http://[secret"]
)
def test_other_kinds_are_refused_without_showing_the_value(value):
    with pytest.raises(UsageError, match="http_proxy must be") as caught:
        found("http://x", http_proxy=value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:1",
        "http://a.localhost",
        "http://127.0.0.1",
        "http://127.9.9.9:5",
        "http://[::1]",
    ],
)
def test_this_machine_is_never_reached_through_a_proxy(url):
    assert found(url, http_proxy="http://a:1", all_proxy="http://a:1") is None


@pytest.mark.parametrize(
    ("url", "no_proxy", "direct"),
    [
        ("http://a.example", "a.example", True),
        ("http://a.example", "other, A.Example ,x", True),
        ("http://b.a.example", "a.example", True),
        ("http://b.a.example", ".a.example", True),
        ("http://b.a.example", "*.a.example", True),
        ("http://ba.example", "a.example", False),
        ("http://a.example:81", "a.example:81", True),
        ("http://a.example:82", "a.example:81", False),
        ("http://a.example", "*", True),
        ("http://a.example", "", False),
        ("http://a.example", ",,", False),
        ("http://10.1.2.3", "10.0.0.0/8", True),
        ("http://11.1.2.3", "10.0.0.0/8", False),
        ("http://10.1.2.3", "10.1.2.3", True),
        ("http://10.1.2.3:81", "10.1.2.3:81", True),
        ("http://[fd00::1]", "fd00::/8", True),
        ("http://[fd00::1]:81", "[fd00::1]:81", True),
        ("http://a.example", "10.0.0.0/8", False),
    ],
)
def test_no_proxy_names_what_is_reached_directly(url, no_proxy, direct):
    assert (found(url, http_proxy="http://p:1", no_proxy=no_proxy) is None) == direct
