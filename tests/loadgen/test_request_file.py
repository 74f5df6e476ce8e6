import json
import string
from itertools import repeat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import UsageError
from loadgen.request_body import NO_BODY, Body
from loadgen.request_file import (
    MOST_NAMES,
    OTHER_NAME,
    parse_request,
    parse_requests,
    read_body_file,
    read_request_file,
)
from loadgen.traffic_request import METHODS


def no_file(name):
    raise UsageError(f"there is no file {name}")


def parsed(line):
    return parse_request(line.encode() if isinstance(line, str) else line, no_file)


def parts(request):
    return (
        *(request.method, request.path, request.name, request.headers),
        *(request.body.content, request.body.content_type, request.stream),
    )


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"path": "/"}', ("GET", "/", "/", None, None, None, False)),
        ('{"path": "/a?b=1"}', ("GET", "/a?b=1", "/a", None, None, None, False)),
        (
            '{"path": "/a", "method": "delete", "name": "gone", "stream": true}',
            ("DELETE", "/a", "gone", None, None, None, True),
        ),
        (
            '{"path": "/a", "headers": {"X-A": "1", "accept": "text/event-stream"}}',
            ("GET", "/a", "/a", {"x-a": "1", "accept": "text/event-stream"}, None, None, False),
        ),
        ('{"path": "/a", "body": "é"}', ("POST", "/a", "/a", None, b"\xc3\xa9", None, False)),
        ('{"path": "/a", "body": ""}', ("POST", "/a", "/a", None, b"", None, False)),
        (
            '{"path": "/a", "json": {"n": [1, 2.5, null, "é"]}, "method": "PUT"}',
            (
                *("PUT", "/a", "/a", None),
                *('{"n":[1,2.5,null,"é"]}'.encode(), "application/json", False),
            ),
        ),
        (
            '{"path": "/a", "json": null}',
            ("POST", "/a", "/a", None, b"null", "application/json", False),
        ),
        ('\t{"path": "/a"}\r\n', ("GET", "/a", "/a", None, None, None, False)),
    ],
)
def test_a_line_is_a_request(line, expected):
    assert parts(parsed(line)) == expected


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("GET /", "not JSON: Expecting value at character 1"),
        ('{"path": "/"', "not JSON: Expecting ',' delimiter at character 13"),
        ('["/"]', "expected a JSON object, got a list"),
        ("null", "expected a JSON object, got a NoneType"),
        (b'{"path": "/\xff"}', "not UTF-8 at byte 12"),
        ("[" * 200_000, "not JSON that can be read: too deep, or a number too long"),
        ('{"path": "/", "n": ' + "1" * 5000 + "}", "not JSON that can be read: too deep"),
        ('{"url": "/"}', "unknown key 'url'; there are method, path, headers, body, json,"),
        ('{"method": "GET"}', "there is no path"),
        ('{"path": 1}', "path must be a string"),
        ('{"path": "a"}', "expected a path that begins with a slash, got 'a'"),
        ('{"path": "/a b"}', "expected a path that begins with a slash, got '/a b'"),
        ('{"path": "http://elsewhere/"}', "expected a path that begins with a slash"),
        ('{"path": "/", "method": "FETCH"}', "expected one of GET, HEAD, POST, PUT, PATCH,"),
        ('{"path": "/", "method": null}', "method must be a string"),
        ('{"path": "/", "headers": ["a"]}', "headers must be an object of names and values"),
        ('{"path": "/", "headers": {"a b": "1"}}', "'a b' is no header name"),
        ('{"path": "/", "headers": {"a": "secret\\n"}}', "the value of the header 'a' must be"),
        ('{"path": "/", "headers": {"a": 1}}', "the value of the header 'a' must be"),
        ('{"path": "/", "headers": {"a": "1", "A": "2"}}', "the header a is there twice"),
        ('{"path": "/", "headers": {"Content-Length": "1"}}', "the header content-length is made"),
        ('{"path": "/", "body": "", "json": 1}', "body and json contradict each other"),
        ('{"path": "/", "body": {}}', "body must be a string"),
        ('{"path": "/", "body": "\\ud800"}', "body has half of a surrogate pair"),
        ('{"path": "/", "json": NaN}', "the json argument cannot be encoded"),
        ('{"path": "/", "body_file": "none"}', "there is no file none"),
        ('{"path": "/", "name": ""}', "name must be 1 to 200 printable characters"),
        ('{"path": "/", "name": "a\\nb"}', "name must be 1 to 200 printable characters"),
        ('{"path": "/' + "a" * 200 + '"}', "name must be 1 to 200 printable characters"),
        ('{"path": "/", "stream": 1}', "stream must be true or false"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_without_its_secrets(line, told):
    with pytest.raises(UsageError) as refused:
        parsed(line)
    assert str(refused.value).startswith(told)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x2FFF, exclude_categories=["C", "Z"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Lone halves of surrogate pairs have no UTF-8.
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=6,
)
LINES = st.fixed_dictionaries(
    {"path": st.text(VISIBLE, max_size=20).map(lambda text: f"/{text}")},
    optional={
        "method": st.sampled_from(METHODS),
        "headers": st.dictionaries(
            st.text(string.ascii_lowercase, min_size=1, max_size=8),
            st.text(string.ascii_letters + string.digits + ":;,=", min_size=1, max_size=8),
            max_size=3,
        ),
        "json": JSON,
        "name": st.text(VISIBLE, min_size=1, max_size=20),
        "stream": st.booleans(),
    },
)


@given(st.lists(LINES, max_size=5), st.booleans())
def test_what_is_written_is_read(lines, ascii_only):
    text = "".join(json.dumps(line, ensure_ascii=ascii_only) + "\n" for line in lines)
    found = parse_requests(text.encode().splitlines(), no_file)
    assert (found.bad, found.renamed) == ((), 0)
    assert len(found.requests) == len(lines)
    for line, request in zip(lines, found.requests, strict=True):
        has_body = "json" in line
        assert request.path == line["path"]
        assert request.method == line.get("method", "POST" if has_body else "GET")
        assert request.name == line.get("name", line["path"].split("?")[0])
        assert request.headers == (line.get("headers") or None)
        assert request.stream is line.get("stream", False)
        assert (request.body is not NO_BODY) is has_body
        if has_body:
            assert json.loads(request.body.content) == line["json"]


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_a_bad_line(content):
    found = parse_requests(content.splitlines(), no_file)
    lines = [n for n, line in enumerate(content.splitlines(), 1) if line.strip()]
    assert len(found.requests) + len(found.bad) <= len(lines)
    assert {bad.number for bad in found.bad} <= set(lines)


def test_blank_lines_and_a_byte_order_mark_are_passed_over():
    found = parse_requests([b'\xef\xbb\xbf{"path": "/a"}', b"", b" \t", b'{"path": "/b"}'], no_file)
    assert [request.path for request in found.requests] == ["/a", "/b"]
    assert found.bad == ()


def test_bad_lines_are_told_by_number_beside_good_ones():
    found = parse_requests([b'{"path": "/"}', b"", b"x", b"{}"], no_file)
    assert [(bad.number, bad.what) for bad in found.bad] == [
        (3, "not JSON: Expecting value at character 1"),
        (4, "there is no path"),
    ]
    assert len(found.requests) == 1


def test_names_are_bounded():
    lines = [b'{"path": "/%d"}' % n for n in range(MOST_NAMES + 2)]
    found = parse_requests([*lines, b'{"path": "/0"}', b'{"path": "/1", "name": "x"}'], no_file)
    names = [request.name for request in found.requests]
    assert names[:MOST_NAMES] == [f"/{n}" for n in range(MOST_NAMES)]
    assert names[MOST_NAMES:] == [OTHER_NAME, OTHER_NAME, "/0", OTHER_NAME]
    assert found.renamed == 3
    assert found.requests[MOST_NAMES].path == f"/{MOST_NAMES}"


def test_lines_are_bounded():
    assert parse_requests(repeat(b"", 1_000_000), no_file).requests == ()
    with pytest.raises(UsageError, match="may have 1,000,000 lines"):
        parse_requests(repeat(b"", 1_000_001), no_file)


def test_equal_headers_are_kept_once():
    line = b'{"path": "/", "headers": {"a": "1"}}'
    first, second = parse_requests([line, line], no_file).requests
    assert first.headers is second.headers


def test_a_request_shows_neither_headers_nor_body():
    request = parsed('{"path": "/a", "headers": {"a": "secret"}, "body": "secret"}')
    assert "secret" not in repr(request)
    assert "/a" in repr(request)


# Files.


def test_a_file_is_read_with_the_bodies_beside_it(tmp_path):
    (tmp_path / "body.json").write_bytes(b"{}")
    (tmp_path / "raw").write_bytes(b"\0\1")
    file = tmp_path / "requests.jsonl"
    file.write_text(
        '{"path": "/a", "body_file": "body.json"}\n'
        '{"path": "/b", "body_file": "raw", "method": "PUT"}\n'
        f'{{"path": "/c", "body_file": "{tmp_path}/raw"}}'
    )
    a, b, c = read_request_file(file).requests
    assert (a.method, a.body) == ("POST", Body(b"{}", content_type="application/json"))
    assert (b.method, b.body) == ("PUT", Body(b"\0\1"))
    assert c.body == b.body


def test_a_body_file_is_read_once(tmp_path):
    (tmp_path / "raw").write_bytes(b"x" * 1000)
    file = tmp_path / "requests.jsonl"
    file.write_text('{"path": "/a", "body_file": "raw"}\n' * 3)
    first, *others = read_request_file(file).requests
    assert all(other.body is first.body for other in others)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "has no request"),
        (b"\n\n", "has no request"),
        (b'{"path": "/"}\nx\n', "line 2: not JSON: Expecting value at character 1"),
        (b'{"path": "/", "body_file": "none.txt"}', "line 1: there is no file "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_its_name(tmp_path, content, told):
    file = tmp_path / "requests.jsonl"
    file.write_bytes(content)
    with pytest.raises(UsageError) as refused:
        read_request_file(file)
    assert str(refused.value).startswith(str(file))
    assert told in str(refused.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"there is no file .*missing"):
        read_request_file(tmp_path / "missing")
    with pytest.raises(UsageError, match="is no file"):
        read_body_file(tmp_path)


def test_a_body_file_that_is_too_large_is_refused(tmp_path):
    file = tmp_path / "body"
    file.write_bytes(b"x" * 11)
    assert read_body_file(file, most_bytes=11).content == b"x" * 11
    with pytest.raises(UsageError, match="has more than the 10 bytes"):
        read_body_file(file, most_bytes=10)


def test_many_bad_lines_are_all_told_the_later_ones_by_number_alone(tmp_path):
    file = tmp_path / "requests.jsonl"
    good, bad = '{"path": "/"}\n', "x\n"
    file.write_text(bad * 100 + good + bad + good + bad * 3 + good + bad)
    with pytest.raises(UsageError) as refused:
        read_request_file(file)
    lines = str(refused.value).splitlines()
    assert lines[:100] == [
        f"{file}, line {n}: not JSON: Expecting value at character 1" for n in range(1, 101)
    ]
    assert lines[100:] == [f"{file}, also bad: line 102, 104-106, 108"]
