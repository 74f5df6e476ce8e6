"""Modal's control plane, through the ``modal`` client.

The client runs an event loop in a thread of its own. Where gevent has replaced threads by
greenlets that loop would never run, so there ``python -m flash`` asks, in a process of its own.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from flash.platform import PlatformUnreachableError

__all__ = [
    "ClientControlPlane",
    "ControlPlane",
    "ModalServer",
    "ProcessControlPlane",
    "Registered",
    "control_plane",
]

_ANSWER_WITHIN_S: Final = 60.0

_T = TypeVar("_T")


class ModalServer(NamedTuple):
    """The name of a deployed server: a class with ``http_server``, or a ``modal.Server``.

    Exactly one of ``cls`` and ``server`` is given.
    """

    app: str
    cls: str | None = None
    server: str | None = None

    def describe(self) -> str:
        kind = f"class {self.cls}" if self.cls is not None else f"server {self.server}"
        return f"{kind} of Modal app {self.app}"


class Registered(NamedTuple):
    """A container that Modal's proxies route to, and its tunnel's address."""

    task_id: str
    host: str
    port: int


class ControlPlane(Protocol):
    """The two questions put to Modal.

    Both raise :class:`PlatformUnreachableError` when Modal does not answer or knows no such server.
    """

    def urls(self) -> list[str]: ...

    def containers(self) -> list[Registered] | None:
        """``None`` where the installed client cannot list this kind of server's containers."""


def control_plane(name: ModalServer) -> ControlPlane:
    """The control plane as this process can ask it."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return ProcessControlPlane(name)
    return ClientControlPlane(name)


class ClientControlPlane:
    """Asks with the ``modal`` client in this process."""

    def __init__(self, name: ModalServer) -> None:
        self._name = name

    def urls(self) -> list[str]:
        return self._asked(self._urls)

    def containers(self) -> list[Registered] | None:
        return self._asked(self._containers)

    def _urls(self) -> list[str]:
        import modal

        app, cls, server = self._name
        if cls is not None:
            # Typed loosely: both calls are outside the client's published interface.
            deployed: Any = modal.Cls.from_name(app, cls)
            return list(deployed._experimental_get_flash_urls() or [])
        url = modal.Server.from_name(app, str(server)).get_url()
        return [] if url is None else [url]

    def _containers(self) -> list[Registered] | None:
        import modal
        from modal.experimental.flash import flash_get_containers

        app, cls, server = self._name
        if cls is not None:
            return [
                Registered(str(found.task_id), str(found.host), int(found.port))
                for found in flash_get_containers(app, cls)
            ]
        deployed: Any = modal.Server.from_name(app, str(server))
        # Experimental: a client without it costs the list of containers and no more.
        lister = getattr(deployed, "_experimental_list_containers", None)
        if lister is None:
            return None
        return [
            Registered(str(found.container_id), str(found.host), int(found.port))
            for found in lister()
        ]

    def _asked(self, question: Callable[[], _T]) -> _T:
        import modal

        try:
            return question()
        except (modal.exception.Error, OSError) as error:
            raise PlatformUnreachableError(
                f"{self._name.describe()}: {type(error).__name__}: {error}; "
                "check the names, and that 'modal token info' knows you"
            ) from error


class ProcessControlPlane:
    """Asks by running ``python -m flash``; for processes in which gevent replaced threads."""

    def __init__(
        self, name: ModalServer, *, command: tuple[str, ...] = (sys.executable, "-m", "flash")
    ) -> None:
        self._name = name
        self._command = command

    def urls(self) -> list[str]:
        answer = self._ask("urls")
        if not isinstance(answer, list):
            raise self._unusable(answer)
        return [str(url) for url in answer]

    def containers(self) -> list[Registered] | None:
        answer = self._ask("containers")
        if answer is None:
            return None
        if not isinstance(answer, list):
            raise self._unusable(answer)
        try:
            return [Registered(str(task), str(host), int(port)) for task, host, port in answer]
        except (TypeError, ValueError) as error:
            raise self._unusable(answer) from error

    def _ask(self, question: str) -> object:
        app, cls, server = self._name
        form = ("--modal-cls", cls) if cls is not None else ("--modal-server", str(server))
        try:
            done = subprocess.run(
                [*self._command, question, "--modal-app", app, *form],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_ANSWER_WITHIN_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise PlatformUnreachableError(
                f"{self._name.describe()}: no answer from Modal within {_ANSWER_WITHIN_S:.0f} s"
            ) from error
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-1:] or ["Modal's client failed"]
            raise PlatformUnreachableError(last[0])
        try:
            answer: object = json.loads(done.stdout)
        except ValueError as error:
            raise self._unusable(done.stdout) from error
        return answer

    def _unusable(self, answer: object) -> PlatformUnreachableError:
        return PlatformUnreachableError(
            f"{self._name.describe()}: unusable answer {str(answer)[:80]!r} from Modal's client"
        )
