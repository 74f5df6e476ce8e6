"""A tab of Locust's own page with the cold starts of every region, and a link to the dashboard.

Locust's page polls its statistics and shows tables that come with them; a worker's page does not
exist, and a master's recorder has everything that its workers reported.
"""

import json
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Response, request
from locust.env import Environment
from locust.web import WebUI
from markupsafe import Markup

from flash.number_text import milliseconds, percent, seconds_text
from loadgen.recorder import Recorder
from loadgen.summary import SummaryRow, summary_rows

__all__ = ["TAB_KEY", "add_tab"]

TAB_KEY: Final = "cold-starts"
"""The tab's key, in Locust's page and in what its ``/stats/requests`` answers."""

_COLUMNS: Final = (
    ("region", "Region"),
    ("routing", "Routing"),
    ("requests", "# Requests"),
    ("p50", "Request p50 (ms)"),
    ("p95", "Request p95 (ms)"),
    ("p99", "Request p99 (ms)"),
    ("response", "Response time p99 (ms)"),
    ("unavailable", "# 503s"),
    ("affected", "# Requests affected"),
    ("waited", "Cold-start wait p50 (s)"),
    ("longest", "Cold-start wait max (s)"),
    ("giveups", "# Give-ups"),
    ("affinity", "Same container (%)"),
    ("throttled", "# 429s"),
)

_LINK: Final = Markup(
    '<a href="{url}" target="_blank" rel="noopener" style="position:fixed;left:16px;bottom:8px;'
    "padding:6px 14px;border-radius:4px;background:#15803d;color:#fff;text-decoration:none;"
    'font:500 14px Roboto,Helvetica,Arial,sans-serif;z-index:1000">'
    "Flash dashboard: {url}</a>"
)

# The target has been found before there is a page; Locust would ask for a host that is not needed.
_ASKS_FOR_HOST: Final = '"missing_host_warning": true'
_ASKS_FOR_NO_HOST: Final = '"missing_host_warning": false'


def add_tab(
    environment: Environment,
    web_ui: WebUI,
    recorded: Callable[[], Recorder],
    dashboard_url: str,
) -> None:
    """Add the tab "Cold starts" to ``web_ui``, and a link to ``dashboard_url`` to every tab.

    The figures are of what ``recorded`` gives, each time that the page asks. An address that is not
    an http or https URL is not linked.
    """
    arguments = web_ui.template_args
    tab = {"title": "Cold starts", "key": TAB_KEY}
    structure = [{"key": key, "title": title} for key, title in _COLUMNS]
    table = {"key": TAB_KEY, "structure": structure}
    # Others may have extended the page too.
    web_ui.template_args = {
        **arguments,
        "extended_tabs": [*(arguments.get("extended_tabs") or []), tab],
        "extended_tables": [*(arguments.get("extended_tables") or []), table],
    }
    link = str(_LINK.format(url=dashboard_url)) if _is_http(dashboard_url) else ""

    def extend(response: Response) -> Response:
        if response.status_code != 200 or request.method != "GET":
            return response
        if request.endpoint == "locust.request_stats" and response.is_json:
            rows = [_shown(row) for row in summary_rows(recorded(), seconds=None)]
            _add_rows(response, rows)
        elif request.endpoint == "locust.index":
            page = response.get_data(as_text=True).replace(_ASKS_FOR_HOST, _ASKS_FOR_NO_HOST)
            if link not in page:
                page = page.replace("</body>", f"{link}</body>", 1)
            response.set_data(page)
        return response

    assert web_ui.app is not None  # a class attribute says it may be; no object is without
    web_ui.app.after_request(extend)


def _add_rows(response: Response, rows: list[dict[str, str | float]]) -> None:
    report: dict[str, Any] = response.get_json()
    # Locust may hand out the same response again for a while, with the rows of last time.
    others = [part for part in report.get("extended_stats") or [] if part.get("key") != TAB_KEY]
    report["extended_stats"] = [*others, {"key": TAB_KEY, "data": rows}]
    response.set_data(json.dumps(report))


def _shown(row: SummaryRow) -> dict[str, str | float]:
    return {
        "region": row.way,
        "routing": row.routing,
        "requests": row.requests,
        "p50": _sortable(milliseconds(row.p50_s)),
        "p95": _sortable(milliseconds(row.p95_s)),
        "p99": _sortable(milliseconds(row.p99_s)),
        "response": _sortable(milliseconds(row.response_time_p99_s)),
        "unavailable": row.responses_503,
        "affected": row.affected,
        "waited": _sortable(seconds_text(row.wait_p50_s)),
        "longest": _sortable(seconds_text(row.wait_max_s)),
        "giveups": row.giveups,
        "affinity": _sortable(percent(row.affinity).removesuffix("%")),
        "throttled": row.responses_429,
    }


def _sortable(text: str) -> str | float:
    """A number where the text is one: the page sorts texts by their letters."""
    try:
        return float(text)
    except ValueError:
        return text


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)
