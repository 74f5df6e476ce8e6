"""The token stream, and the prefix cache that makes sticky routing pay off."""

import json
import re

import pytest

FAST = {"tokens": 3, "tokens_per_s": 100_000}


def events(text: str) -> tuple[list[dict[str, int]], dict[str, object]]:
    """The tokens' events and the usage event of a stream."""
    *tokens, usage, rest = text.split("\n\n")
    assert rest == ""
    name, data = usage.split("\n")
    assert name == "event: usage"
    return [json.loads(token.removeprefix("data: ")) for token in tokens], json.loads(
        data.removeprefix("data: ")
    )


def first_token_ms(response) -> float:
    return float(re.fullmatch(r"app;dur=(.+)", response.headers["server-timing"])[1])


def test_a_stream_has_an_event_per_token_and_its_usage_at_last(server) -> None:
    response = server.ask("POST", "/generate", json={**FAST, "prompt_tokens": 7})
    assert response.headers["content-type"] == "text/event-stream"
    tokens, usage = events(response.text)
    assert tokens == [{"token": 0}, {"token": 1}, {"token": 2}]
    assert usage == {
        "tokens": 3,
        "prompt_tokens": 7,
        "cached_tokens": 0,
        "container": "ta-test1",
    }


def test_parameters_come_in_the_query_as_well(server) -> None:
    tokens, usage = events(server.ask("POST", "/generate?tokens=2&prompt_tokens=0").text)
    assert len(tokens) == usage["tokens"] == 2


def test_parameters_in_both_places_are_refused(server) -> None:
    response = server.ask("POST", "/generate?tokens=2", json={"tokens": 2})
    assert response.status_code == 422
    assert response.json()["error"]["where"] == "body"


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"{", "body"),
        (b"[]", "body"),
        (b'{"tokens": 0}', "tokens"),
        (b'{"tokens_per_s": "fast"}', "tokens_per_s"),
        (b'{"temperature": 1}', "temperature"),
        (b" " * (1 << 20) + b"{}", "body"),
    ],
)
def test_a_bad_body_is_refused_with_its_reason(server, content, where) -> None:
    response = server.ask("POST", "/generate", content=content)
    assert response.status_code == 422
    assert response.json()["error"]["where"] == where
    assert server.value("target_session_cache_total", result="miss") == 0


def test_a_session_that_comes_back_skips_the_prefill_it_has_had(server) -> None:
    def ask(session: str, prompt: int):
        content = {**FAST, "prompt_tokens": prompt, "prefill_tokens_per_s": 10_000}
        return server.ask("POST", "/generate", json=content, headers={"Modal-Session-ID": session})

    first = ask("a", 1000)
    again = ask("a", 1000)
    longer = ask("a", 1500)
    assert [events(answer.text)[1]["cached_tokens"] for answer in (first, again, longer)] == [
        0,
        1000,
        1000,
    ]
    assert first_token_ms(first) >= 100
    assert first_token_ms(again) < 50 <= first_token_ms(longer)
    assert server.value("target_session_cache_total", result="miss") == 1
    assert server.value("target_session_cache_total", result="hit") == 2


def test_sessions_beyond_the_caches_size_push_the_oldest_out(server) -> None:
    for session in "abca":
        content = {**FAST, "prompt_tokens": 1}
        server.ask("POST", "/generate", json=content, headers={"Modal-Session-ID": session})
    assert server.value("target_session_cache_total", result="hit") == 0
    assert server.value("target_session_cache_total", result="miss") == 4


def test_a_request_without_a_session_neither_uses_nor_counts_the_cache(server) -> None:
    for _ in range(2):
        usage = events(server.ask("POST", "/generate", json={**FAST, "prompt_tokens": 5}).text)[1]
        assert usage["cached_tokens"] == 0
    assert server.value("target_session_cache_total", result="hit") == 0
    assert server.value("target_session_cache_total", result="miss") == 0
    assert len(server.app.cache) == 0


def test_the_server_time_of_a_stream_ends_at_its_first_token(server) -> None:
    response = server.ask("POST", "/generate?tokens=11&tokens_per_s=100&prompt_tokens=0")
    total_s = server.value("target_request_duration_seconds_sum", route="/generate")
    assert total_s >= 0.100
    assert first_token_ms(response) < 1e3 * total_s - 90
