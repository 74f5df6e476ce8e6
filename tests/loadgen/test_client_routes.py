"""Redirects, other origins, cookies and proxies."""

import gevent
import pytest
from gevent import socket

from loadgen.client import HttpClient
from loadgen.client_config import ClientConfig, Timeouts
from loadgen.errors import ConnectTimeout, NameLookupError, ProxyError, TooManyRedirects, UsageError

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BARE = ClientConfig(headers={})


def recording(seen, answer):
    """A script that notes every request and sends ``answer(request)``."""

    def script(peer, _n):
        while request := peer.request():
            seen.append(request)
            peer.send(answer(request))

    return script


def redirect(status, location):
    return b"HTTP/1.1 %d Moved\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % (
        status,
        location.encode(),
    )


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "GET", "GET /b "),
        (301, "POST", "GET /b "),
        (302, "POST", "GET /b "),
        (303, "PUT", "GET /b "),
        (303, "HEAD", "HEAD /b "),
        (307, "POST", "POST /b "),
        (308, "PUT", "PUT /b "),
        (302, "PUT", "PUT /b "),
    ],
)
def test_redirects_keep_or_change_the_method_as_the_standard_says(scripted, status, method, then):
    seen = []

    def answer(request):
        if b" /a " in request:
            return redirect(status, "b")
        return OK.partition(b"ok")[0] if request.startswith(b"HEAD") else OK

    server = scripted(recording(seen, answer))
    data = None if method in ("GET", "HEAD") else b"body"
    with HttpClient(server.url, config=BARE) as client:
        response = client.send(
            method, "/a", data=data, allow_redirects=True, headers={"authorization": "mine"}
        )
        assert response.status_code == 200
        assert response.url == server.url + "/b"
        assert [one.status_code for one in response.history] == [status]
        assert client.connects == 1
    assert seen[1].startswith(then.encode())
    assert seen[1].endswith(b"body") == (data is not None and not then.startswith("GET"))
    assert b"authorization: mine\r\n" in seen[1]


def test_redirects_are_not_followed_unless_asked(scripted):
    server = scripted(recording([], lambda _: redirect(302, "/b")))
    with HttpClient(server.url) as client:
        assert client.send("GET", "/a").status_code == 302
    config = ClientConfig(allow_redirects=True, max_redirects=3)
    with HttpClient(server.url, config=config) as client:
        assert client.send("GET", "/a", allow_redirects=False).status_code == 302
        with pytest.raises(TooManyRedirects, match="more than 3"):
            client.send("GET", "/a")


@pytest.mark.parametrize("location", ["", "mailto:a@b", "http://[", "http://a:b/"])
def test_a_redirect_to_nowhere_is_the_answer(scripted, location):
    server = scripted(recording([], lambda _: redirect(302, location)))
    with HttpClient(server.url) as client:
        assert client.send("GET", "/a", allow_redirects=True).status_code == 302


def test_another_origin_is_not_told_secrets(scripted):
    seen = []
    other = scripted(recording(seen, lambda _: OK))
    first = scripted(recording([], lambda _: redirect(307, other.url + "/there?x")))
    config = ClientConfig(headers={"modal-key": "wk-1", "x-kept": "1"})
    secrets = {"Authorization": "mine", "Cookie": "a=b", "Modal-Secret": "ws-1", "x-own": "2"}
    with HttpClient(first.url, config=config) as client:
        response = client.send("POST", "/", data=b"1", headers=secrets, allow_redirects=True)
        assert (response.url, response.text) == (other.url + "/there?x", "ok")
        client.send("POST", "/", data=b"1", headers=secrets, allow_redirects=True)
    assert other.connections == 1
    host = b"host: 127.0.0.1:%d\r\n" % other.port
    assert seen[0] == (
        b"POST /there?x HTTP/1.1\r\n" + host + b"x-kept: 1\r\nx-own: 2\r\n"
        b"content-length: 1\r\n\r\n1"
    )


def test_pieces_that_are_used_up_cannot_follow_a_redirect(scripted):
    server = scripted(recording([], lambda _: redirect(307, "/b")))
    with HttpClient(server.url) as client, pytest.raises(UsageError, match="used up"):
        client.send("POST", "/a", data=iter([b"1"]), allow_redirects=True)


def test_a_whole_url_may_be_of_another_origin(scripted):
    one, two = scripted(recording([], lambda _: OK)), scripted(recording([], lambda _: OK))
    with HttpClient(one.url) as client:
        assert client.send("GET", two.url + "/x").url == two.url + "/x"
        assert client.send("GET", one.url + "/x").url == one.url + "/x"
        assert client.send("GET", two.url).from_reused_connection
        with pytest.raises(UsageError, match="is not of"):
            client.prepare("GET", two.url + "/x")
    assert (one.connections, two.connections) == (1, 1)


def test_cookies_are_kept_only_if_wanted(scripted):
    seen = []

    def answer(_request):
        return OK.replace(b"\r\n\r\n", b"\r\nset-cookie: a=1; Path=/in\r\nset-cookie: b=2\r\n\r\n")

    server = scripted(recording(seen, answer))
    for cookies in (False, True):
        config = ClientConfig(headers={}, cookies=cookies)
        with HttpClient(server.url, config=config) as client:
            client.send("GET", "/in/x")
            client.send("GET", "/in/y")
            client.send("GET", "/out")
            client.send("GET", "/in", stream=True).close()
    sent = [[line for line in s.split(b"\r\n") if line.startswith(b"cookie")] for s in seen]
    assert sent[:4] == [[], [], [], []]
    assert sent[4] == []
    assert sorted(sent[5][0][8:].split(b"; ")) == [b"a=1", b"b=2"]
    assert sent[6] == []
    assert sent[7] == [b"cookie: a=1; b=2; b=2"]  # of /in and of /, as browsers do


def test_a_request_s_own_cookie_header_goes_before_what_is_kept(scripted):
    seen = []
    server = scripted(
        recording(seen, lambda _: OK.replace(b"\r\n\r\n", b"\r\nset-cookie: a=1\r\n\r\n"))
    )
    with HttpClient(server.url, config=ClientConfig(headers={}, cookies=True)) as client:
        for headers in (None, {"Cookie": "b=2"}, None):
            client.send("GET", "/", headers=headers)
    sent = [[line for line in s.split(b"\r\n") if line.startswith(b"cookie")] for s in seen]
    assert sent == [[], [b"cookie: b=2"], [b"cookie: a=1"]]


def test_two_users_do_not_share_cookies(scripted):
    seen = []
    server = scripted(
        recording(seen, lambda _: OK.replace(b"\r\n\r\n", b"\r\nset-cookie: a=1; Path=/\r\n\r\n"))
    )
    config = ClientConfig(cookies=True)
    HttpClient(server.url, config=config).send("GET", "/")
    HttpClient(server.url, config=config).send("GET", "/")
    assert not any(b"cookie" in request for request in seen)


# Proxies. The names do not exist: nobody but the proxy may look them up.


def test_a_proxy_is_given_the_whole_url(scripted, monkeypatch):
    seen = []
    proxy = scripted(recording(seen, lambda _: OK))
    monkeypatch.setenv("http_proxy", f"http://us%40er:pass@127.0.0.1:{proxy.port}")
    with HttpClient("http://server.test:8000/api", config=BARE) as client:
        assert [client.send("GET", "/x?y").text for _ in range(2)] == ["ok", "ok"]
        assert client.connects == 1
        assert "pass" not in repr(client) + repr(client._dialer)
    assert seen[0] == (
        b"GET http://server.test:8000/api/x?y HTTP/1.1\r\nhost: server.test:8000\r\n"
        b"proxy-authorization: Basic dXNAZXI6cGFzcw==\r\n\r\n"
    )
    assert seen[1] == seen[0]


def test_the_environment_can_be_ignored(scripted, monkeypatch):
    proxy = scripted(recording([], lambda _: OK))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    config = ClientConfig(trust_env=False)
    with pytest.raises(NameLookupError):
        HttpClient("http://server.invalid", config=config).send("GET", "/")
    assert proxy.connections == 0


def tunnel_to(port, seen):
    """A proxy that leads every tunnel to ``port`` of this machine."""

    def script(peer, _n):
        seen.append(peer.request())
        upstream = socket.create_connection(("127.0.0.1", port))
        peer.send(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n")

        def copy(source, target):
            try:
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        back = gevent.spawn(copy, upstream, peer.sock)
        copy(peer.sock, upstream)
        back.join()
        upstream.close()

    return script


def test_https_goes_through_a_tunnel_and_is_verified_to_its_end(
    scripted, authority, tls, monkeypatch
):
    seen = []
    server = scripted(recording([], lambda _: OK), **tls)
    proxy = scripted(tunnel_to(server.port, seen))
    monkeypatch.setenv("https_proxy", f"http://a:b@127.0.0.1:{proxy.port}")
    config = ClientConfig(verify=str(authority / "ca.pem"))
    with HttpClient("https://server.test", config=config) as client:
        assert [client.send("GET", "/").text for _ in range(2)] == ["ok", "ok"]
        assert client.connects == 1
    assert seen == [
        b"CONNECT server.test:443 HTTP/1.1\r\nhost: server.test:443\r\n"
        b"proxy-authorization: Basic YTpi\r\n\r\n"
    ]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "answered 407 Proxy"),
        (b"nonsense\r\n\r\n", "did not open a tunnel"),
        (b"", "did not open a tunnel"),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", "before the tunnel was used"),
    ],
)
def test_a_tunnel_that_is_not_opened_is_a_clear_error(scripted, monkeypatch, answer, says):
    proxy = scripted(lambda peer, _n: peer.request() and peer.send(answer))
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
    with pytest.raises(ProxyError, match=says) as caught:
        HttpClient("https://server.test").send("GET", "/")
    assert caught.value.elapsed_s > 0


def test_a_proxy_that_hangs_is_a_connect_time_out(scripted, monkeypatch):
    proxy = scripted(lambda peer, _n: peer.request() and peer.wait_closed())
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
    config = ClientConfig(timeouts=Timeouts(connect_s=0.05))
    with pytest.raises(ConnectTimeout, match=r"server\.test:443 via the proxy 127\.0\.0\.1"):
        HttpClient("https://server.test", config=config).send("GET", "/")
