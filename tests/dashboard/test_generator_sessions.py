import asyncio
import json

import pytest

from dashboard.errors import ScrapeError
from dashboard.generator_sessions import GeneratorSessions, event_of
from dashboard.scraper import RefusedError


def told(sequence: int, **more: object) -> dict[str, object]:
    return {
        "sequence": sequence,
        "at": 100.5,
        "region": "us-east",
        "session": f"session-{sequence}",
        "container": None,
        "refused": 14,
        "beside": 12,
        "seconds": 19.42,
        "others_answered": 4120,
        "others_refused": 3,
        "answered": False,
        **more,
    }


def test_a_session_reads_as_what_it_met_and_what_others_did() -> None:
    event = event_of(told(1, container="ta-1"))
    assert (event.at, event.kind) == (100.5, "session_refused")
    assert event.text == (
        "Session session-1 of us-east met 14 503s in 19.4 s, while others were answered 4,120 times"
    )
    assert event.labels == {
        "region": "us-east",
        "session": "session-1",
        "refused": "14",
        "beside": "12",
        "seconds": "19.42",
        "others_answered": "4120",
        "others_refused": "3",
        "answered": "0",
        "refused_by": "ta-1",
    }
    assert "refused_by" not in event_of(told(1)).labels


def test_only_what_is_new_is_asked_for_and_less_often_of_who_does_not_tell() -> None:
    asked: list[str] = []
    away = False

    async def fetch(url: str) -> bytes:
        asked.append(url)
        if away:
            raise RefusedError("nobody")
        return json.dumps([told(7), told(8)]).encode()

    async def run() -> None:
        nonlocal away
        sessions = GeneratorSessions("http://generator:9646/metrics")
        assert len(await sessions.look(fetch)) == 2
        await sessions.look(fetch)  # as nobody stored them
        sessions.stored()
        await sessions.look(fetch)
        away = True
        with pytest.raises(ScrapeError):
            await sessions.look(fetch)
        away = False
        # As the heart beat does; who came back begins to count anew.
        for _ in range(6):
            await sessions.look(fetch)
            sessions.stored()
        await sessions.look(fetch)

    asyncio.run(run())
    page = "http://generator:9646/refused_sessions?since="
    assert asked == [f"{page}{n}" for n in (0, 0, 8, 8, 0, 8)]


@pytest.mark.parametrize("body", [b"", b"# HELP x\nx 1\n", b"[1]", b'[{"session": "a"}]', b"{}}"])
def test_what_is_no_list_of_sessions_is_an_error(body: bytes) -> None:
    async def fetch(url: str) -> bytes:
        return body

    with pytest.raises(ScrapeError, match="not a list of sessions"):
        asyncio.run(GeneratorSessions("http://generator/metrics").look(fetch))
