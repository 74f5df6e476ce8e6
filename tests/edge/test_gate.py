"""Who may speak to the admin interface."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from flash.edge.gate import Gate, is_own_name


@pytest.fixture
def client(app_client):
    async def answer(request) -> PlainTextResponse:
        return PlainTextResponse("done")

    app = Starlette(routes=[Route("/", answer, methods=["GET", "POST", "PATCH"])])
    return app_client(Gate(app, hosts=["Edge.Example"]))


@pytest.mark.parametrize(
    "name",
    ["", "localhost", "edge", "127.0.0.1", "10.1.2.3", "::1", "fe80::1", "a.localhost"],
)
def test_no_other_site_can_be_behind_these_names(name: str) -> None:
    assert is_own_name(name)


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3.4.5"]
)
def test_another_site_can_be_behind_these_names(name: str) -> None:
    assert not is_own_name(name)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:7400", "localhost:7400", "edge:7400", "[::1]:7400", "edge.example:7400"]
)
def test_requests_to_this_machine_pass(client, host) -> None:
    assert client.get("/", headers={"Host": host}).text == "done"
    assert client.post("/", headers={"Host": host, "Origin": f"http://{host}"}).text == "done"


def test_a_foreign_name_is_refused_and_named(client) -> None:
    answer = client.get("/", headers={"Host": "evil.example:7400"})
    assert answer.status_code == 421
    assert answer.json() == {
        "error": {
            "code": "unknown_host",
            "message": "this edge is not known as 'evil.example'; name it with --allowed-host",
            "where": "Host",
        }
    }


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1234"])
def test_a_page_of_another_site_changes_nothing(client, method, origin) -> None:
    answer = client.request(method, "/", headers={"Host": "127.0.0.1:7400", "Origin": origin})
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "foreign_origin"
    assert answer.json()["error"]["where"] == "Origin"


def test_reading_needs_no_origin_of_ours(client) -> None:
    # What it answers stays unreadable for the other page: nothing here allows it.
    answer = client.get("/", headers={"Host": "127.0.0.1", "Origin": "http://evil.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers
