"""URLs taken apart: origins, request targets, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.origin import Origin, request_target, split_url


@pytest.mark.parametrize(
    ("url", "origin", "target", "authority"),
    [
        ("http://a", Origin("http", "a", 80), "/", "a"),
        ("HTTP://A.Example:80/x", Origin("http", "a.example", 80), "/x", "a.example"),
        ("https://a:8443?q=1#f", Origin("https", "a", 8443), "/?q=1", "a:8443"),
        ("https://[::1]/", Origin("https", "::1", 443), "/", "[::1]"),
        ("http://[::1]:81/a?b", Origin("http", "::1", 81), "/a?b", "[::1]:81"),
        (
            "http://bücher.example/ü",
            Origin("http", "xn--bcher-kva.example", 80),
            "/%C3%BC",
            "xn--bcher-kva.example",
        ),
        (
            "https://w--app.us-east.modal.direct",
            Origin("https", "w--app.us-east.modal.direct", 443),
            "/",
            "w--app.us-east.modal.direct",
        ),
    ],
)
def test_urls_have_an_origin_and_a_target(url, origin, target, authority):
    assert split_url(url) == (origin, target)
    assert origin.authority == authority
    assert split_url(f"{origin}{target}") == (origin, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a",
        "/a",
        "ftp://a",
        "http://",
        "http:///a",
        "http://a:b",
        "http://a:99999",
        "http://a:0",
        "http://u:p@a",
        "http://a b",
        "http://a\r\nb",
        "http://[::1",
        "http://a\\b/",
        "http://a_é<",
    ],
)
def test_what_is_no_usable_url_is_refused(url):
    with pytest.raises(UsageError):
        split_url(url)


def test_no_message_repeats_a_password():
    with pytest.raises(UsageError) as caught:
        split_url("http://user:hunter2@a")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "params", "target"),
    [
        ("/a%20b?c=%26", None, "/a%20b?c=%26"),
        ("/a b", None, "/a%20b"),
        ("/ü", {"k": "v w"}, "/%C3%BC?k=v+w"),
        ("/a?b=1", [("c", 2), ("c", 3)], "/a?b=1&c=2&c=3"),
        ("/a", "x=1&y", "/a?x=1&y"),
        ("/a", {"k": ["1", "2"]}, "/a?k=1&k=2"),
        ("/a#b", None, "/a"),
        ("/a", {}, "/a"),
    ],
)
def test_targets_are_escaped_once(path, params, target):
    assert request_target(path, params) == target
    assert request_target(target) == target


@given(st.text())
def test_no_target_breaks_the_request_line(text):
    target = request_target("/" + text, {"k": text})
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target
    assert "#" not in target
