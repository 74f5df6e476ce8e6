"""What Modal answers, through a stand-in for its control plane."""

import sys

import pytest

from flash.control_plane import ModalServer, ProcessControlPlane, Registered
from flash.modal_platform import ModalPlatform
from flash.platform import Container, ContainerState, PlatformUnreachableError, TargetError

CLS = ModalServer("app", cls="Server")


class ScriptedControlPlane:
    def __init__(self, urls: list[str], containers: list[Registered] | None = None) -> None:
        self._urls, self._containers = urls, containers

    def urls(self) -> list[str]:
        return self._urls

    def containers(self) -> list[Registered] | None:
        return self._containers


def platform(urls: list[str], containers: list[Registered] | None = None) -> ModalPlatform:
    return ModalPlatform(CLS, connect=lambda name: ScriptedControlPlane(urls, containers))


def test_urls_are_filed_under_the_regions_in_their_names() -> None:
    asked = platform(
        ["https://w--a-s.us-east.modal.direct/", "https://w--a-s.modal-eu-west.modal.direct"]
    )
    assert asked.flash_urls() == {
        "us-east": "https://w--a-s.us-east.modal.direct",
        "eu-west": "https://w--a-s.modal-eu-west.modal.direct",
    }


def test_no_url_and_two_urls_of_one_region_are_errors_that_say_what_to_do() -> None:
    with pytest.raises(PlatformUnreachableError, match="is it deployed"):
        platform([]).flash_urls()
    with pytest.raises(PlatformUnreachableError, match="--flash-url REGION=URL"):
        platform(["https://a.example", "https://b.example"]).flash_urls()


def test_containers_are_addressed_by_their_tunnels() -> None:
    asked = platform([], [Registered("ta-1", "r1.modal.host", 443), Registered("ta-2", "h", 8443)])
    assert asked.containers() == [
        Container(task_id="ta-1", url="https://r1.modal.host", state=ContainerState.LIVE),
        Container(task_id="ta-2", url="https://h:8443", state=ContainerState.LIVE),
    ]


def test_a_client_that_cannot_list_containers_is_not_an_empty_list() -> None:
    assert platform([], None).containers() is None


def test_a_name_is_a_class_or_a_server() -> None:
    with pytest.raises(TargetError, match="--modal-cls"):
        ModalPlatform(ModalServer("app"))


def printing(code: str) -> ProcessControlPlane:
    return ProcessControlPlane(CLS, command=(sys.executable, "-c", code))


def test_another_process_answers_in_json() -> None:
    asked = printing("import json, sys; print(json.dumps(sys.argv[1:]))")
    assert asked.urls() == ["urls", "--modal-app", "app", "--modal-cls", "Server"]
    assert printing('print(\'[["ta-1", "h", 443]]\')').containers() == [
        Registered("ta-1", "h", 443)
    ]
    assert printing("print('null')").containers() is None


@pytest.mark.parametrize("answer", ["oops", "{}", "[[1]]"])
def test_another_process_that_answers_nonsense_is_an_error(answer: str) -> None:
    with pytest.raises(PlatformUnreachableError, match="unusable answer"):
        printing(f"print({answer!r})").containers()


def test_the_last_line_of_a_failed_process_is_the_message() -> None:
    asked = printing(
        "import sys; print('noise\\nflash: unknown app', file=sys.stderr); sys.exit(2)"
    )
    with pytest.raises(PlatformUnreachableError, match=r"^flash: unknown app$"):
        asked.urls()
