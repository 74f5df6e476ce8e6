"""TLS: who is trusted, what is resumed, and how it fails."""

import ssl

import pytest
from gevent import ssl as gevent_ssl
from gevent.event import Event

from loadgen.client import HttpClient
from loadgen.client_config import ClientConfig, Timeouts
from loadgen.errors import ConnectionLost, ConnectTimeout, TlsError, UsageError
from loadgen.tls import tls_context

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
def trusting(authority):
    return ClientConfig(verify=str(authority / "ca.pem"))


def answer_all(peer, _n):
    while peer.request():
        peer.send(OK)


def test_requests_over_tls_share_a_connection(scripted, tls, trusting):
    with HttpClient(scripted(answer_all, **tls).url, config=trusting) as client:
        first = client.send("GET", "/")
        assert [client.send("GET", "/").text for _ in range(20)] == ["ok"] * 20
        assert client.connects == 1
        assert (first.bytes_received, first.url[:5]) == (len(OK), "https")


def test_a_server_nobody_vouches_for_is_refused(scripted, tls):
    client = HttpClient(scripted(answer_all, **tls).url)
    with pytest.raises(TlsError, match=r"127\.0\.0\.1 is not trusted.*pass its PEM file") as caught:
        client.send("GET", "/")
    assert caught.value.kind == "connection_error"
    assert caught.value.elapsed_s > 0


def test_a_certificate_for_another_name_is_refused(scripted, tls, trusting):
    try:
        server = scripted(answer_all, ("127.0.0.2", 0), **tls)
    except OSError:
        pytest.skip("this machine has only one loopback address")
    client = HttpClient(f"https://127.0.0.2:{server.port}", config=trusting)
    with pytest.raises(TlsError, match=r"not valid for '127\.0\.0\.2'|IP address mismatch"):
        client.send("GET", "/")


def test_verification_can_be_given_up_explicitly(scripted, tls):
    config = ClientConfig(verify=False)
    assert HttpClient(scripted(answer_all, **tls).url, config=config).send("GET", "/").ok


def test_a_path_without_certificates_is_refused(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for path in (str(empty), str(tmp_path / "missing.pem")):
        with pytest.raises(UsageError, match="holds no PEM certificates"):
            HttpClient("https://localhost", config=ClientConfig(verify=path))


def test_contexts_are_shared_and_verify_by_default(authority):
    assert tls_context(True) is tls_context(True)
    assert tls_context(True).verify_mode is ssl.CERT_REQUIRED
    assert tls_context(True).check_hostname
    assert tls_context(str(authority)) is not tls_context(True)


def test_a_peer_that_speaks_no_tls_is_a_clear_error(scripted, trusting):
    server = scripted(lambda peer, _n: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    with pytest.raises(TlsError, match=r"handshake with 127\.0\.0\.1 failed"):
        HttpClient(server.url.replace("http", "https"), config=trusting).send("GET", "/")


def test_a_handshake_that_hangs_is_a_connect_time_out(scripted):
    closed = Event()

    def script(peer, _n):
        peer.wait_closed()
        closed.set()

    config = ClientConfig(timeouts=Timeouts(connect_s=0.05))
    client = HttpClient(scripted(script).url.replace("http", "https"), config=config)
    with pytest.raises(ConnectTimeout, match=r"within 0\.05 s") as caught:
        client.send("GET", "/")
    assert 0.05 <= caught.value.elapsed_s < 2
    assert caught.value.kind == "timeout"
    assert closed.wait(5)


def test_large_bodies_pass_in_both_directions(scripted, tls, trusting):
    body = bytes(range(256)) * (4 << 12)

    def script(peer, _n):
        while request := peer.request():
            sent = request.partition(b"\r\n\r\n")[2]
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(sent) + sent)

    with HttpClient(scripted(script, **tls).url, config=trusting) as client:
        assert client.send("POST", "/", data=body).content == body
        with client.send("POST", "/", data=body, stream=True) as response:
            assert b"".join(response.iter_content()) == body
        assert client.connects == 1


def test_a_response_split_into_records_is_put_together(scripted, tls, trusting):
    def script(peer, _n):
        peer.request()
        peer.send_bytewise(OK)
        peer.request()
        peer.send(OK)

    with HttpClient(scripted(script, **tls).url, config=trusting) as client:
        assert [client.send("GET", "/").text for _ in range(2)] == ["ok", "ok"]
        assert client.connects == 1


@pytest.mark.parametrize("proper", [True, False])
def test_a_body_ended_by_closing_must_be_ended_properly(scripted, tls, trusting, proper):
    def script(peer, _n):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nsome")
        if proper:
            peer.sock.unwrap()
        peer.close()

    client = HttpClient(scripted(script, **tls).url, config=trusting)
    if proper:
        assert client.send("GET", "/").text == "some"
    else:
        with pytest.raises(ConnectionLost, match="without a TLS close"):
            client.send("GET", "/")


def test_an_idle_connection_that_the_peer_closes_is_replaced(scripted, tls, trusting):
    def script(peer, _n):
        peer.request()
        peer.send(OK)

    with HttpClient(scripted(script, **tls).url, config=trusting) as client:
        assert [client.send("GET", "/").text for _ in range(3)] == ["ok"] * 3
        assert client.connects == 3


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_server_sees_sessions_resumed(scripted, authority, trusting, version):
    resumed = []

    def script(peer, _n):
        resumed.append(peer.sock.session_reused)
        peer.request()
        peer.send(OK)
        peer.wait_closed()

    # A context of its own: a server takes tickets only of the context that gave them.
    context = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    context.minimum_version = context.maximum_version = version
    server = scripted(script, ssl_context=context)
    with HttpClient(server.url, config=trusting) as client:
        for _ in range(3):
            assert client.send("GET", "/").text == "ok"
            client.close()
    assert resumed == [False, True, True]
    with HttpClient(server.url, config=trusting) as another:  # another user, another session
        assert another.send("GET", "/").text == "ok"
    assert resumed[3:] == [False]
