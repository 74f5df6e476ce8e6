import asyncio
import json

import pytest

from dashboard.edge_events import EdgeEvents, event_of
from dashboard.errors import ScrapeError
from dashboard.scraper import RefusedError

NO_TIME = b'[{"sequence": 1, "kind": "live", "time": NaN, "task_id": "a"}]'


def told(sequence: int, kind: str, task_id: str | None, detail: str = "") -> dict[str, object]:
    return {
        "sequence": sequence, "time": 100.5, "kind": kind, "task_id": task_id, "detail": detail
    }  # fmt: skip


def test_events_read_as_what_happened_to_whom() -> None:
    live = event_of(told(1, "live", "ta-1", "port_open"))
    assert (live.at, live.kind, live.text) == (
        100.5,
        "container_live",
        "Container ta-1 live (port_open)",
    )
    assert live.labels == {"container": "ta-1"}
    changed = event_of(told(2, "autoscaler_updated", None, "max_containers=2"))
    assert (changed.kind, changed.text) == (
        "autoscaler_updated",
        "Autoscaler updated: max_containers=2",
    )
    assert event_of(told(3, "out_of_routing", "ta-1")).kind == "container_out_of_routing"


def test_only_what_is_new_is_asked_for_and_all_after_the_edge_was_away() -> None:
    asked: list[str] = []
    away = False

    async def fetch(url: str) -> bytes:
        asked.append(url.rpartition("=")[2])
        if away:
            raise RefusedError("nobody")
        return json.dumps([told(7, "live", "ta-1"), told(8, "draining", "ta-1")]).encode()

    async def run() -> None:
        nonlocal away
        edge = EdgeEvents("http://edge")
        assert len(await edge.look(fetch)) == 2
        # They could not be stored, and are told again.
        assert len(await edge.look(fetch)) == 2
        edge.stored()
        await edge.look(fetch)
        edge.stored()
        away = True
        with pytest.raises(ScrapeError):
            await edge.look(fetch)
        away = False
        await edge.look(fetch)

    asyncio.run(run())
    assert asked == ["0", "0", "8", "8", "0"]


@pytest.mark.parametrize("body", [b"", b"{}}", b"[1]", b'[{"kind": "live"}]', b'{"a": 1}', NO_TIME])
def test_what_is_no_list_of_events_is_an_error(body: bytes) -> None:
    async def fetch(url: str) -> bytes:
        return body

    with pytest.raises(ScrapeError, match="not a list of events"):
        asyncio.run(EdgeEvents("http://edge").look(fetch))
