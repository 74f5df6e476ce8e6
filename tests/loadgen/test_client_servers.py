"""The client against servers that none of us wrote."""

import gzip
import hashlib
import json
import subprocess
import sys

import pytest

from loadgen.client import HttpClient
from loadgen.client_config import ClientConfig

PATTERN = bytes(range(256))


@pytest.fixture
def client(real_server):
    with HttpClient(real_server) as client:
        yield client


def test_a_body_of_known_length_arrives_whole(client):
    response = client.send("GET", "/bytes/1024")
    assert (response.status_code, response.content) == (200, PATTERN * 4)
    assert response.headers["content-length"] == "1024"
    assert response.bytes_received == len(response.head.raw) + 1024


def test_a_connection_serves_many_requests(client):
    first = client.send("GET", "/bytes/256")
    others = [client.send("GET", "/bytes/256") for _ in range(20)]
    assert client.connects == 1
    assert first.connect_s is not None
    assert not first.from_reused_connection
    assert all(other.from_reused_connection and other.connect_s is None for other in others)
    assert {other.content for other in others} == {PATTERN}


def test_a_large_body_is_not_damaged(client):
    response = client.send("GET", f"/bytes/{5 << 20}")
    expected = hashlib.sha256(PATTERN * (5 << 12)).digest()
    assert hashlib.sha256(response.content).digest() == expected
    assert client.send("GET", "/bytes/256").content == PATTERN


def test_a_chunked_body_arrives_whole(client):
    response = client.send("GET", "/chunks/30")
    assert response.header("transfer-encoding") == "chunked"
    assert response.text == "".join(f"chunk {i}\n" for i in range(30))
    assert client.send("GET", "/chunks/2").content == b"chunk 0\nchunk 1\n"
    assert client.connects == 1


def test_a_streamed_body_can_be_read_line_by_line(client):
    with client.send("GET", "/chunks/30", stream=True) as response:
        assert response.total_s is None
        assert list(response.iter_lines()) == [f"chunk {i}" for i in range(30)]
    assert response.total_s >= response.ttfb_s > 0
    assert response.event_times == sorted(response.event_times)
    assert client.send("GET", "/bytes/256").from_reused_connection


def test_head_has_headers_and_no_body(client):
    response = client.send("HEAD", "/bytes/1024")
    assert (response.status_code, response.content) == (200, b"")
    assert client.send("GET", "/bytes/256").content == PATTERN
    assert client.connects == 1


@pytest.mark.parametrize("status", [200, 204, 304, 404, 503])
def test_statuses_with_and_without_body_keep_the_connection(client, status):
    for _ in range(3):
        response = client.send("GET", f"/status/{status}")
        assert (response.status_code, response.content.strip()[3:]) in {
            (status, b""),
            (status, b": " + response.reason.encode()),  # aiohttp's default body
        }
    assert client.connects == 1


def test_a_gzipped_body_is_decoded(client):
    response = client.send("GET", "/gzip")
    assert response.text == "squeezed " * 100
    assert response.bytes_received < 500
    with client.send("GET", "/gzip", stream=True) as streamed:
        assert b"".join(streamed.iter_content()) == b"squeezed " * 100


def test_a_closed_connection_is_replaced(client):
    for _ in range(3):
        assert client.send("GET", "/close").content == b"bye"
    assert client.connects == 3


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bytes_are_sent_with_their_length(client, method):
    response = client.send(method, "/echo", data=b"\x00\xffbody")
    assert response.content == b"\x00\xffbody"
    assert (response.header("x-method"), response.header("x-coding")) == (method, "-")


def test_json_and_forms_are_sent_with_their_type(client):
    response = client.send("POST", "/echo", json={"a": ["é", 1]})
    assert json.loads(response.content) == response.json() == {"a": ["é", 1]}
    assert response.header("x-type") == "application/json"
    response = client.send("POST", "/echo", data={"a": "1 & 2", "b": ["x", "y"]})
    assert response.text == "a=1+%26+2&b=x&b=y"
    assert response.header("x-type") == "application/x-www-form-urlencoded"


def test_an_iterator_is_sent_by_chunks(client):
    response = client.send("POST", "/echo", data=(b"piece%d," % i for i in range(5)))
    assert response.content == b"piece0,piece1,piece2,piece3,piece4,"
    assert response.header("x-coding") == "chunked"
    assert client.send("POST", "/echo", data=iter([])).content == b""
    assert client.connects == 1


def test_a_body_larger_than_all_buffers_is_sent_whole(client):
    body = PATTERN * (8 << 12)
    for _ in range(2):  # over a new connection, and over a kept one
        response = client.send("POST", "/echo", data=body)
        assert hashlib.sha256(response.content).digest() == hashlib.sha256(body).digest()
        assert response.bytes_sent == len(response.request.wire)


def test_parameters_go_into_the_query(client):
    response = client.send("GET", "/echo?a=1", params={"b": "x y", "c": "ü"})
    assert response.header("x-query") == "a=1&b=x+y&c=%C3%BC"


# Node, for what the others do not do of themselves


@pytest.mark.parametrize("stream", [False, True])
def test_interim_responses_are_passed_over(node, stream):
    with HttpClient(node) as client:
        for _ in range(3):
            with client.send("GET", "/hints", stream=stream) as response:
                assert (response.status_code, response.text) == (200, "after hints")
            assert response.header("link") is None
            assert response.bytes_received > len(response.head.raw) + len("after hints")
        assert client.connects == 1


@pytest.mark.parametrize("stream", [False, True])
def test_trailers_are_read(node, stream):
    with HttpClient(node) as client:
        for _ in range(3):
            with client.send("GET", "/trailers", stream=stream) as response:
                assert (response.text, response.trailers["X-Sum"]) == ("summed", "6")
        assert client.send("GET", "/bytes/256").trailers == {}
        assert client.connects == 1


# nginx


@pytest.fixture
def web(nginx):
    with HttpClient(nginx.url) as client:
        yield client


def test_nginx_serves_files_and_says_when_they_did_not_change(nginx, web):
    (nginx.files / "a.txt").write_bytes(PATTERN)
    first = web.send("GET", "/a.txt")
    assert first.content == PATTERN
    again = web.send("GET", "/a.txt", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert web.send("HEAD", "/a.txt").header("content-length") == "256"
    assert web.send("GET", "/missing").status_code == 404
    assert web.connects == 1


def test_nginx_compresses_by_chunks(nginx, web):
    text = "hello nginx\n" * 500
    (nginx.files / "b.txt").write_text(text)
    response = web.send("GET", "/gzip/b.txt")
    assert response.headers["transfer-encoding"] == "chunked"
    assert response.headers["content-encoding"] == "gzip"
    assert response.text == text
    assert response.bytes_received < len(text)
    plain = web.send("GET", "/gzip/b.txt", headers={"accept-encoding": None})
    assert plain.headers.get("content-encoding") is None
    assert plain.text == text


def test_nginx_closing_after_some_requests_is_no_error(nginx, web):
    (nginx.files / "c.txt").write_text("c")
    assert {web.send("GET", "/few/c.txt").text for _ in range(7)} == {"c"}
    assert web.connects == 4


def test_nginx_redirects_are_followed_only_when_asked(web):
    assert web.send("GET", "/old").status_code == 302
    response = web.send("GET", "/old", allow_redirects=True)
    assert (response.text, [r.status_code for r in response.history]) == ("hello", [302])


def test_nginx_refusing_a_body_early_is_its_answer(web):
    response = web.send("POST", "/hello", data=b"x" * (8 << 20))
    assert response.status_code == 413
    assert web.send("GET", "/hello").text == "hello"


def test_nginx_takes_a_204_for_what_it_is(web):
    assert [web.send("GET", "/empty").status_code for _ in range(3)] == [204] * 3
    assert web.connects == 1


PATCHED = """
from gevent import monkey

monkey.patch_all()
import gevent
import sys
from loadgen.client import HttpClient
from loadgen.client_config import ClientConfig

def user(url):
    with HttpClient(url, config=config) as client:
        assert [client.send("GET", "/hello").text for _ in range(20)] == ["hello"] * 20
        assert client.connects == 1

config = ClientConfig(verify=sys.argv[1])
users = [gevent.spawn(user, url) for url in sys.argv[2:] for _ in range(10)]
gevent.joinall(users, raise_error=True)
print("done")
"""


def test_it_works_the_same_where_gevent_has_patched_the_standard_library(nginx, authority):
    by_name = nginx.url.replace("127.0.0.1", "localhost")
    urls = [nginx.url, by_name, nginx.tls_url]
    command = [sys.executable, "-W", "error", "-c", PATCHED, str(authority / "ca.pem"), *urls]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("done\n", "", 0)


def test_nginx_over_tls_is_verified_and_resumes_sessions(nginx, authority):
    config = ClientConfig(verify=str(authority / "ca.pem"))
    with HttpClient(nginx.tls_url, config=config) as client:
        seen = [client.send("GET", "/few").header("x-resumed") for _ in range(3)]
        assert seen == [".", "r", "r"]
        assert client.connects == 3
        big = gzip.compress(PATTERN) * 20000
        (nginx.files / "big").write_bytes(big)
        assert client.send("GET", "/big").content == big
        assert [client.send("GET", "/hello").text for _ in range(5)] == ["hello"] * 5
        assert client.connects == 4
