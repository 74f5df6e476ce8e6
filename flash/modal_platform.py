"""The platform as Modal's control plane tells it, for both forms of an HTTP server."""

from collections.abc import Callable
from typing import Final

from flash.control_plane import ControlPlane, ModalServer, control_plane
from flash.platform import Container, ContainerState, PlatformUnreachableError, TargetError
from flash.regions import region_of_url

__all__ = ["ModalPlatform"]


class ModalPlatform:
    """A deployed server on Modal, looked up with the credentials that ``modal`` is set up with."""

    told_states: Final = (ContainerState.LIVE,)  # only live ones are registered

    def __init__(
        self, name: ModalServer, *, connect: Callable[[ModalServer], ControlPlane] = control_plane
    ) -> None:
        if (name.cls is None) == (name.server is None):
            raise TargetError(
                f"Modal app {name.app}: pass either --modal-cls (the class form) or --modal-server"
            )
        self.name = name
        self._control_plane = connect(name)

    def flash_urls(self) -> dict[str, str]:
        by_region: dict[str, str] = {}
        for url in self._control_plane.urls():
            region = region_of_url(url)
            if region in by_region:
                raise PlatformUnreachableError(
                    f"{self.describe()} has two URLs in region {region!r}; "
                    "pass them by hand with --flash-url REGION=URL"
                )
            by_region[region] = url.rstrip("/")
        if not by_region:
            raise PlatformUnreachableError(
                f"{self.describe()} has no flash URL; is it deployed, and is it an HTTP server?"
            )
        return by_region

    def containers(self) -> list[Container] | None:
        found = self._control_plane.containers()
        if found is None:
            return None
        return [
            Container(
                task_id=task_id,
                # A container is reached through a tunnel, which speaks TLS on every port.
                url=f"https://{host}" if port == 443 else f"https://{host}:{port}",
                state=ContainerState.LIVE,
            )
            for task_id, host, port in found
        ]

    def describe(self) -> str:
        return self.name.describe()

    def __repr__(self) -> str:
        return f"ModalPlatform({self.name!r})"
