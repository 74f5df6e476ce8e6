"""Who may do what: over real sockets and against the application itself."""

from __future__ import annotations

import asyncio
import hmac
import http.client
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.app import create_app
from dashboard.config import Config, configuration, is_loopback
from dashboard.errors import ConfigError
from dashboard.gate import Gate
from dashboard.routes import router

if TYPE_CHECKING:
    from conftest import Dashboard, Scraped

T = TypeVar("T")
TOKEN = "open-sesame"
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=64)


async def nothing_behind(
    scope: object, receive: object, send: Callable[..., Awaitable[None]]
) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def gated(ask: Callable[[httpx.AsyncClient], Awaitable[T]], token: str | None = TOKEN) -> T:
    """What an application answers that lets everything through that the gate does."""

    async def run() -> T:
        transport = httpx.ASGITransport(Gate(nothing_behind, token=token))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await ask(client)

    return asyncio.run(run())


def test_it_listens_on_loopback_unless_told_otherwise() -> None:
    assert Config().host == "127.0.0.1"
    assert is_loopback(configuration([], {}).host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "dash.example", "128.0.0.1", "1"])
def test_elsewhere_it_listens_only_with_a_token_and_says_why(host: str) -> None:
    with pytest.raises(ConfigError, match="let everybody on the network read and write"):
        configuration(["--host", host], {})
    for environ in ({"DASHBOARD_TOKEN": TOKEN}, {"DASHBOARD_TOKEN_FILE": "/x"}):
        assert configuration(["--host", host], environ).host == host


@pytest.mark.parametrize("token", ["", "short", "with space", "ümlauts-are-long"])
def test_a_token_that_anybody_could_guess_is_none(token: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configuration(["--host", "0.0.0.0"], {"DASHBOARD_TOKEN": token})
    assert not token or token not in str(refused.value)


def test_the_token_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for headers in ({"Authorization": "Bearer wrong"}, {"Cookie": "dashboard_token=wrong"}):
        assert gated(lambda c, h=headers: c.get("/", headers=h)).status_code == 401
    assert (b"wrong", TOKEN.encode()) in compared
    assert all(other == TOKEN.encode() for _, other in compared)


@settings(max_examples=150, deadline=None)
@given(token=TOKENS, others=st.lists(st.sampled_from(['{"a": 1}=x', "a[b]=c", "=", "a", "z=1"])))
def test_any_token_opens_by_address_by_cookie_and_by_header(token: str, others: list[str]) -> None:
    async def ask(client: httpx.AsyncClient) -> list[int]:
        opened = await client.get("/", params={"token": token, "range": "1h"})
        assert opened.status_code == 303
        assert token not in opened.headers["location"] or token in "/?range=1h"
        cookie, *attributes = (part.strip() for part in opened.headers["set-cookie"].split("; "))
        assert {part.lower() for part in attributes} >= {"httponly", "samesite=strict"}
        client.cookies.clear()
        # Cookies of other servers of this machine stand around it, whatever they look like.
        header = "; ".join([*others, cookie, *others])
        headers = ({"Cookie": header}, {"Authorization": f"Bearer {token}"}, {})
        return [(await client.get("/", headers=h)).status_code for h in headers]

    assert gated(ask, token) == [204, 204, 401]


def test_over_tls_the_cookie_stays_there() -> None:
    async def ask(client: httpx.AsyncClient) -> list[bool]:
        answers = [
            await client.get(f"{scheme}://127.0.0.1/?token={TOKEN}") for scheme in ("http", "https")
        ]
        return ["Secure" in answer.headers["set-cookie"] for answer in answers]

    assert gated(ask) == [False, True]


@given(st.text(max_size=30), st.sampled_from(["Authorization", "Cookie", "query"]))
def test_nothing_else_opens_and_nothing_breaks(given: str, where: str) -> None:
    async def ask(client: httpx.AsyncClient) -> int:
        if where == "query":
            return (await client.get("/", params={"token": given})).status_code
        raw = given.replace("\n", "").replace("\r", "").replace("\0", "").encode()
        return (await client.get("/", headers={where: raw})).status_code

    assert gated(ask) == 401


WRITES = [
    (route.path, method)
    for route in router.routes
    for method in sorted(route.methods or ())
    if method not in ("GET", "HEAD")
]


def test_what_changes_something_is_known() -> None:
    assert WRITES == [("/api/runs/{run}", "DELETE"), ("/api/events", "POST")]


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000", 204),
        ("127.0.0.1:8000", "", 204),  # no browser
        ("127.0.0.1:8000", "http://127.0.0.1:9000", 403),  # another server of this machine
        ("127.0.0.1:8000", "http://localhost:8000", 403),
        ("127.0.0.1:8000", "https://evil.example", 403),
        ("127.0.0.1:8000", "null", 403),  # a sandboxed frame
        ("127.0.0.1:8000", "http://127.0.0.1:8000.evil.example", 403),
        ("127.0.0.1:8000", "http://evil.example/127.0.0.1:8000", 403),
        ("evil.example:8000", "http://evil.example:8000", 421),  # DNS rebinding
        ("127.0.0.1.evil.example", "", 421),
        ("[::1]:8000", "http://[::1]:8000", 204),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pages_of_other_sites_change_nothing(
    method: str, host: str, origin: str, status: int
) -> None:
    headers = {"Host": host} | ({"Origin": origin} if origin else {})
    answer = gated(lambda c: c.request(method, "/api/events", headers=headers), token=None)
    assert answer.status_code == status
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_no_answer_can_be_taken_in_by_a_page_of_another_site(scraped: Scraped) -> None:
    async def run() -> None:
        source = scraped.source(1000.0)
        transport = httpx.ASGITransport(create_app(Config(), source))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for path in ("/", "/api/runs", "/api/nothing", "/metrics", "/openapi.json"):
                answer = await client.get(path, headers={"Origin": "https://evil.example"})
                assert answer.headers["cross-origin-resource-policy"] == "same-origin", path
                assert answer.headers["x-content-type-options"] == "nosniff", path
                assert "access-control-allow-origin" not in answer.headers, path
        source.close()

    asyncio.run(run())


def test_a_note_of_any_length_is_read_no_further_than_is_sensible(scraped: Scraped) -> None:
    read = 0

    async def run() -> httpx.Response:
        nonlocal read
        source = scraped.source(1000.0)
        transport = httpx.ASGITransport(create_app(Config(), source))

        async def endless() -> object:
            nonlocal read
            while True:
                read += 1
                yield b'{"text": "' + b"x" * 16_000

        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.post(
                "/api/events", content=endless(), headers={"Content-Type": "application/json"}
            )
        source.close()
        return answer

    answer = asyncio.run(run())
    assert answer.status_code == 413
    assert set(answer.json()["error"]) == {"code", "message", "where"}
    assert read < 10


def test_no_parameter_names_an_address_to_fetch() -> None:
    """Addresses come from the operator only: no visitor can send the server anywhere."""
    names = {
        parameter.name
        for route in router.routes
        for kind in ("path_params", "query_params", "body_params", "header_params")
        for parameter in getattr(route.dependant, kind, ())
    }
    assert names == {
        "id_", "start", "end", "step", "region", "routing", "run", "note", "merged", "panel",
        "since", "version", "name", "figures", "limit", "base", "tolerance", "min_containers",
        "max_containers", "buffer_containers", "target_concurrency", "scaleup_window",
        "scaledown_window",
    }  # fmt: skip


@pytest.mark.end_to_end
def test_the_process_listens_on_loopback_only_and_refuses_foreign_names(
    tmp_path: Path, start: Callable[..., Dashboard]
) -> None:
    dashboard = start(tmp_path / "s.sqlite", "--scrape", "http://127.0.0.1:9/metrics")
    port = int(dashboard.url.rpartition(":")[2])
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others:
        if not is_loopback(address):
            with socket.socket() as probe:
                probe.settimeout(2)
                assert probe.connect_ex((address, port)) != 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/api/runs", headers={"Host": "evil.example"})
    assert connection.getresponse().status == 421
    connection.close()
    assert dashboard.stop()[0] == 0


def test_only_what_says_that_it_lives_is_told_without_the_token(scraped: Scraped) -> None:
    async def run() -> dict[str, int]:
        source = scraped.source(1000.0)
        app = create_app(replace(Config(), token=TOKEN), source)
        statuses = {}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for path in sorted({route.path for route in router.routes} | {"/openapi.json"}):
                statuses[path] = (await client.get(path)).status_code
        source.close()
        return statuses

    statuses = asyncio.run(run())
    assert {path for path, status in statuses.items() if status != 401} == {"/healthz"}
