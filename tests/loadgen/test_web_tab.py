import os

# The tests of other rooms run in the same process, and want the standard library as it is.
os.environ.setdefault("LOCUST_SKIP_MONKEY_PATCH", "1")

from types import SimpleNamespace

import pytest
from flask import Blueprint, Flask, jsonify
from locust import User
from locust.env import Environment

from loadgen.recorder import Recorder
from loadgen.web_tab import TAB_KEY, add_tab


class Page:
    """Locust's page as far as it can be extended."""

    def __init__(self) -> None:
        self.template_args = {"extended_tabs": [{"title": "Mine", "key": "mine"}], "host": ""}
        self.app = Flask("page")
        self.extra = [{"key": "mine", "data": []}]
        routes = Blueprint("locust", "page")
        routes.add_url_rule("/", "index", lambda: "<html><body>page</body></html>")
        routes.add_url_rule(
            "/stats/requests",
            "request_stats",
            lambda: jsonify({"stats": [], "state": "running", "extended_stats": self.extra}),
        )
        routes.add_url_rule("/exceptions", "exceptions", lambda: jsonify({"exceptions": []}))
        self.app.register_blueprint(routes)

    def get(self, path: str):
        return self.app.test_client().get(path)


def _page(dashboard_url: str = "http://127.0.0.1:8000") -> tuple[Page, Recorder]:
    page, recorder = Page(), Recorder()
    add_tab(SimpleNamespace(), page, lambda: recorder, dashboard_url)
    return page, recorder


def test_the_tab_stands_beside_those_of_others():
    page, _ = _page()
    assert [tab["key"] for tab in page.template_args["extended_tabs"]] == ["mine", TAB_KEY]
    (table,) = page.template_args["extended_tables"]
    assert table["key"] == TAB_KEY
    assert page.template_args["host"] == ""


def test_the_statistics_carry_a_row_for_each_channel_with_every_column():
    page, recorder = _page()
    channel = recorder.channel("us-east", "sticky")
    channel.requests, channel.affected = 3, 2
    channel.outcomes["cold_start"] = 4
    channel.same, channel.moved = 1, 1
    channel.request_duration.record(0.0125)
    report = page.get("/stats/requests").get_json()
    assert report["state"] == "running"
    mine, ours = report["extended_stats"]
    assert (mine["key"], ours["key"]) == ("mine", TAB_KEY)
    (row,) = ours["data"]
    columns = {one["key"] for one in page.template_args["extended_tables"][0]["structure"]}
    assert row.keys() == columns
    assert (row["requests"], row["affected"], row["unavailable"]) == (3, 2, 4)
    assert row["affinity"] == 50.0
    assert row["p50"] == pytest.approx(12.5, rel=0.045)
    assert (row["waited"], row["response"]) == ("-", "-")


def test_the_page_links_the_dashboard_once():
    page, _ = _page()
    shown = page.get("/").get_data(as_text=True)
    assert shown.count('<a href="http://127.0.0.1:8000"') == 1


@pytest.mark.parametrize("url", ["", "javascript:alert(1)", "http://", "127.0.0.1:8000"])
def test_what_is_no_web_address_is_not_linked(url):
    page, _ = _page(url)
    assert "<a" not in page.get("/").get_data(as_text=True)


def test_an_address_cannot_break_out_of_its_link():
    page, _ = _page('http://h/"><script>')
    assert "<script>" not in page.get("/").get_data(as_text=True)


def test_other_answers_are_left_alone():
    page, _ = _page()
    assert page.get("/exceptions").get_json() == {"exceptions": []}
    assert page.get("/nothing").status_code == 404


def test_the_page_does_not_ask_for_a_host_that_is_not_needed(monkeypatch):
    monkeypatch.setattr("sys.argv", ["locust"])  # which Locust reads for its form
    environment = Environment(user_classes=[User])
    environment.create_local_runner()
    web_ui = environment.create_web_ui("127.0.0.1", 0, delayed_start=True)
    add_tab(environment, web_ui, Recorder, "http://127.0.0.1:8000")
    page = web_ui.app.test_client().get("/").get_data(as_text=True)
    assert '"missing_host_warning": false' in page
    assert "Flash dashboard: http://127.0.0.1:8000" in page
