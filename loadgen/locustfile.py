"""What ``locust -f loadgen`` runs: sticky and non-sticky users over every region of the target."""

import random

from locust import task

from loadgen.flash_client import AnyResponse
from loadgen.flash_response import FlashResponse
from loadgen.generator import generator_of
from loadgen.plugin import install
from loadgen.users import FlashUser

install()

_PROMPT = {"tokens": 16, "tokens_per_s": 200, "prompt_tokens": 512}


class _Visitor(FlashUser):
    """Requests what the options say, by default ``--path``, and for a share of ``--generate`` has
    tokens generated instead."""

    abstract = True

    def wait_time(self) -> float:
        """Seconds until the next request: at random around ``--think-time``, by half of it."""
        mean_s = generator_of(self.environment).options.think_time_s
        return random.uniform(0.5, 1.5) * mean_s

    @task
    def visit(self) -> None:
        generator = generator_of(self.environment)
        options = generator.options
        if options.generate and random.random() < options.generate:
            _read_events(self.client.post("/generate", json=_PROMPT, stream=True), token="message")
        elif generator.traffic is None:
            self.client.get(options.path)
        else:
            request = generator.traffic.next()
            response = self.client.send(request)
            if request.stream:
                _read_events(response)


def _read_events(response: AnyResponse, *, token: str | None = None) -> None:
    """Read a streamed answer to its end; events of the type ``token`` are tokens."""
    # One that failed, or had no body, has been reported already.
    if isinstance(response, FlashResponse):
        with response:
            for event in response.iter_events():
                if event.event == token:
                    response.record_token()


class StickyUser(_Visitor):
    """Sends its own session id, so that one container serves it."""

    routing = "sticky"


class NonStickyUser(_Visitor):
    """Sends no session id: each request goes to any container."""

    routing = "non_sticky"
