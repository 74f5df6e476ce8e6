"""The same plain task for each kind of user that is compared; a locustfile."""

from locust import FastHttpUser, HttpUser, events, task

from loadgen import FlashUser


class Requests(HttpUser):
    """Locust's HttpUser, on requests."""

    @task
    def one(self) -> None:
        self.client.get("/")


class Fast(FastHttpUser):
    """Locust's FastHttpUser, on geventhttpclient."""

    @task
    def one(self) -> None:
        self.client.get("/")


class Flash(FlashUser):
    """Ours, with its session header, retry policy and all recording."""

    routing = "sticky"

    @task
    def one(self) -> None:
        self.client.get("/")


class FlashListened(Flash):
    """Ours while somebody else listens to Locust's request event."""

    def on_start(self) -> None:
        if _listener not in events.request._handlers:
            self.environment.events.request.add_listener(_listener)


def _listener(**_: object) -> None:
    pass
