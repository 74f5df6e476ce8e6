"""A server on Modal is watched without being woken: only its containers are asked, each by itself.

Modal's control plane is a stand-in here, which fails the test if it is asked for a flash URL.
"""

from dashboard.answers import SdGroup
from dashboard.config import configuration
from dashboard.discovery import container_targets, fixed_targets, platform_of
from dashboard.service_discovery import sd_groups
from flash.control_plane import ModalServer, Registered
from flash.modal_platform import ModalPlatform

CONFIG = configuration(["--modal-app", "app", "--modal-cls", "Server"], {})


class ControlPlane:
    """Knows containers, and must not be asked for URLs."""

    def __init__(self, *containers: Registered) -> None:
        self._containers = list(containers)

    def urls(self) -> list[str]:
        raise AssertionError("a request to a flash URL would wake the server")

    def containers(self) -> list[Registered]:
        return self._containers


def told(*containers: Registered) -> list[SdGroup]:
    """What Prometheus is told to scrape."""
    platform = ModalPlatform(
        ModalServer("app", cls="Server"), connect=lambda name: ControlPlane(*containers)
    )
    found = platform.containers()
    assert found is not None
    return sd_groups([*fixed_targets(CONFIG), *container_targets(found)])


def test_each_container_is_scraped_at_its_own_tunnel() -> None:
    generator, first, second = told(
        Registered("ta-1", "r1.modal.host", 443), Registered("ta-2", "r2.modal.host", 8443)
    )
    assert generator.labels["job"] == "loadgen"
    assert first.targets == ["r1.modal.host:443"]
    assert first.labels == {
        "job": "target_app",
        "__scheme__": "https",
        "__metrics_path__": "/metrics",
        "container": "ta-1",
    }
    assert second.targets == ["r2.modal.host:8443"]
    assert second.labels["container"] == "ta-2"


def test_a_server_at_zero_is_sent_nothing() -> None:
    (generator,) = told()
    assert generator.targets == ["127.0.0.1:9646"]


def test_the_options_name_the_server_that_is_looked_up() -> None:
    platform = platform_of(CONFIG)
    assert isinstance(platform, ModalPlatform)
    assert platform.describe() == "class Server of Modal app app"
