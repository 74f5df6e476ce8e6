"""Chat completions of an OpenAI-style server, streamed: first token, and the time between tokens.

export LOADGEN_HEADERS="Authorization: Bearer ..."  # if the server wants a key
locust -f docs/chat_completions.py --flash-url us-east=https://...
"""

import json

from locust import between, task

from loadgen import FlashUser

QUESTION = {
    "model": "default",
    "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    "max_tokens": 64,
    "stream": True,
}


def has_text(data: str) -> bool:
    """Whether an event carries text: the first one has a role only, the last one the usage."""
    return any(choice["delta"].get("content") for choice in json.loads(data).get("choices", []))


class ChatUser(FlashUser):
    routing = "sticky"  # a container that has seen a conversation has its prefix cached
    wait_time = between(1, 3)

    @task
    def ask(self):
        with self.client.post(
            "/v1/chat/completions",
            json=QUESTION,
            stream=True,
            catch_response=True,
            name="chat",
        ) as answer:
            done = False
            for event in answer.iter_events():
                if event.data == "[DONE]":
                    done = True
                elif has_text(event.data):
                    answer.record_token()
            if answer.ok and not done:
                answer.failure("the stream ended without [DONE]")
