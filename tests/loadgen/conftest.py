"""Servers for the HTTP client's tests: scripted ones in this process, and real ones beside it."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gevent
import pytest
from gevent import ssl
from gevent.server import StreamServer

SERVERS = Path(__file__).parent / "servers"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch) -> None:
    """Whatever proxy the environment of the tests has, they do without."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


class Peer:
    """The server's end of one connection to a scripted server."""

    def __init__(self, sock) -> None:
        self.sock = sock
        self._buffer = b""

    def request(self) -> bytes:
        """The next request, head and body (by content-length or chunks); empty at the end."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return b""
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        head += b"\r\n\r\n"
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            while b"0\r\n\r\n" not in self._buffer:
                self._more()
            body, end, self._buffer = self._buffer.partition(b"0\r\n\r\n")
            return head + body + end
        if b"content-length:" in lower:
            length = int(lower.partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(self._buffer) < length:
                self._more()
            body, self._buffer = self._buffer[:length], self._buffer[length:]
            return head + body
        return head

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_bytewise(self, data: bytes) -> None:
        """Every byte by itself, each read by the client before the next is sent."""
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(len(data)):
            self.sock.sendall(data[at : at + 1])
            gevent.idle()

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close with a TCP reset."""
        linger = b"\x01\0\0\0\0\0\0\0"
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.sock.close()

    def wait_closed(self) -> None:
        """Until the client closes."""
        while self._more():
            pass

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except ConnectionError:
            data = b""
        self._buffer += data
        return bool(data)


class ScriptedServer:
    """Runs ``script(peer, n)`` for the ``n``-th connection, from 0, and then closes it."""

    def __init__(self, script: Callable[[Peer, int], None], listener=("127.0.0.1", 0), **tls):
        self._script = script
        self.connections = self.open = 0
        self.server = StreamServer(listener, self._serve, **tls)
        self.server.start()
        self.port = self.server.server_port
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"

    def _serve(self, sock, _address) -> None:
        n = self.connections
        self.connections += 1
        self.open += 1
        try:
            self._script(Peer(sock), n)
        except ConnectionError:
            pass  # the client was quicker to close; what it says of that is what is tested
        finally:
            self.open -= 1
            sock.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """Start a scripted server; all of them end with the test."""
    started = []

    def start(script, *args, **options) -> ScriptedServer:
        server = ScriptedServer(script, *args, **options)
        started.append(server)
        return server

    yield start
    for server in started:
        server.server.stop(timeout=1)


def program(name: str) -> str:
    """The path of an installed program; without it the test is skipped, but fails in CI."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin")
    if path is None:
        message = f"{name} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


class Listening:
    """A listening socket on a free port, for a child process to inherit."""

    def __init__(self) -> None:
        # It queues connections from the start, so nobody has to wait for the child.
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.fd = self.sock.fileno()
        self.port = self.sock.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"


@pytest.fixture(scope="session")
def start_server() -> Iterator[Callable[..., None]]:
    """Start a command that inherits listening sockets; it is stopped at the end."""
    children = []

    def start(command: list[str], *listening: Listening, env=None, cwd=None) -> None:
        child = subprocess.Popen(
            command,
            pass_fds=[one.fd for one in listening],
            env={**os.environ, **(env or {})},
            cwd=cwd or SERVERS,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        children.append(child)
        for one in listening:
            one.sock.close()

    yield start
    for child in children:
        child.terminate()
    for child in children:
        child.wait(10)


@pytest.fixture(
    scope="session",
    params=["uvicorn-httptools", "uvicorn-h11", "hypercorn", "aiohttp", "node"],
)
def real_server(request, start_server) -> str:
    """The URL of a server that none of us wrote; see ``servers/`` for what it answers."""
    python = [sys.executable, "-m"]
    listening = Listening()
    fd = str(listening.fd)
    match request.param.partition("-"):
        case "uvicorn", _, parser:
            options = ["--http", parser, "--fd", fd, "--log-level", "critical"]
            command = [*python, "uvicorn", "asgi_app:app", *options]
        case "hypercorn", _, _:
            command = [*python, "hypercorn", "asgi_app:app", "--bind", f"fd://{fd}"]
        case "aiohttp", _, _:
            command = [sys.executable, "aiohttp_app.py", fd]
        case _:
            command = [program("node"), "node_server.js", fd]
    start_server(command, listening)
    return listening.url


@pytest.fixture(scope="session")
def node(start_server) -> str:
    """The URL of Node's server by itself."""
    listening = Listening()
    start_server([program("node"), "node_server.js", str(listening.fd)], listening)
    return listening.url


@pytest.fixture(scope="session")
def authority(tmp_path_factory) -> Path:
    """A directory with a private authority (``ca.pem``) and its ``server.pem`` and ``.key``."""
    import trustme

    folder = tmp_path_factory.mktemp("authority")
    ca = trustme.CA()
    certificate = ca.issue_cert("127.0.0.1", "localhost", "server.test")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "server.pem")
    certificate.private_key_pem.write_to_path(folder / "server.key")
    return folder


@pytest.fixture(scope="session")
def tls(authority) -> dict[str, object]:
    """Options that make a scripted server speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem", authority / "server.key")
    return {"ssl_context": context}


class Nginx:
    """A running nginx; ``files`` is its document root."""

    def __init__(self, plain: Listening, tls: Listening, prefix: Path) -> None:
        self.url = plain.url
        self.tls_url = tls.url.replace("http:", "https:")
        self.files = prefix / "files"


@pytest.fixture(scope="session")
def nginx(tmp_path_factory, authority, start_server) -> Nginx:
    path = program("nginx")
    prefix = tmp_path_factory.mktemp("nginx")
    (prefix / "files").mkdir()
    for name in ("server.pem", "server.key"):
        shutil.copy(authority / name, prefix / name)
    plain, tls = Listening(), Listening()
    config = (SERVERS / "nginx.conf").read_text()
    # Workers of a root's nginx would else become another user, who may not read the files.
    config = config.replace("@USER@", "user root;" if os.geteuid() == 0 else "")
    config = config.replace("@PORT@", str(plain.port)).replace("@TLS_PORT@", str(tls.port))
    (prefix / "nginx.conf").write_text(config)
    # nginx takes over listening sockets by this variable, as when its binary is upgraded.
    inherited = {"NGINX": f"{plain.fd};{tls.fd};"}
    command = [path, "-p", str(prefix), "-c", str(prefix / "nginx.conf")]
    start_server(command, plain, tls, env=inherited, cwd=prefix)
    return Nginx(plain, tls, prefix)
