"""The target is the first that is given: options, then environment, then what is found."""

import pytest

from flash.control_plane import ModalServer
from flash.local_edge import LocalEdgePlatform
from flash.platform import TargetError
from flash.target import TargetOptions, modal_server_named, resolve_target


class AnsweringEdge(LocalEdgePlatform):
    def healthy(self) -> bool:
        return True


class SilentEdge(LocalEdgePlatform):
    def healthy(self) -> bool:
        return False


EVERYTHING = {
    "FLASH_URLS": "us-east=http://env-list",
    "FLASH_MODAL_APP": "env-app",
    "FLASH_MODAL_CLS": "EnvCls",
    "FLASH_EDGE": "http://env-edge",
    "LOCUST_HOST": "http://env-host",
}


def described(options: TargetOptions, environ: dict[str, str]) -> str:
    return resolve_target(options, environ, local_edge=AnsweringEdge).describe()


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (
            TargetOptions(flash_urls=("eu-west=http://option",), host="http://option-host"),
            "eu-west at http://option",
        ),
        (
            TargetOptions(modal_app="app", modal_cls="Cls", flash_edge="http://option-edge"),
            "class Cls of Modal app app",
        ),
        (
            TargetOptions(flash_edge="http://option-edge", host="http://option-host"),
            "the local edge at http://option-edge",
        ),
        (TargetOptions(host="http://option-host"), "default at http://option-host"),
        (TargetOptions(), "us-east at http://env-list"),
    ],
)
def test_an_option_of_any_kind_comes_before_the_environment(options, chosen) -> None:
    assert described(options, EVERYTHING) == chosen


@pytest.mark.parametrize(
    ("without", "chosen"),
    [
        (["FLASH_URLS"], "class EnvCls of Modal app env-app"),
        (["FLASH_URLS", "FLASH_MODAL_APP", "FLASH_MODAL_CLS"], "the local edge at http://env-edge"),
        (
            ["FLASH_URLS", "FLASH_MODAL_APP", "FLASH_MODAL_CLS", "FLASH_EDGE"],
            "default at http://env-host",
        ),
        (list(EVERYTHING), "the local edge at http://127.0.0.1:7400"),
    ],
)
def test_the_environment_has_the_same_order_and_a_found_edge_comes_last(without, chosen) -> None:
    environ = {name: value for name, value in EVERYTHING.items() if name not in without}
    assert described(TargetOptions(), environ) == chosen


def test_with_nothing_given_and_nothing_found_the_message_says_what_to_pass() -> None:
    with pytest.raises(TargetError) as caught:
        resolve_target(TargetOptions(), {}, local_edge=SilentEdge)
    for word in ("--flash-url", "FLASH_URLS", "--modal-app", "--flash-edge", "--host", "7400"):
        assert word in str(caught.value)


def test_a_host_is_in_the_region_that_its_name_tells() -> None:
    options = TargetOptions(host="https://w--a-c.eu-west.modal.direct/")
    platform = resolve_target(options, {}, local_edge=SilentEdge)
    assert platform.flash_urls() == {"eu-west": "https://w--a-c.eu-west.modal.direct"}


@pytest.mark.parametrize(
    ("names", "server"),
    [
        ({"app": "a", "cls": "C", "server": None}, ModalServer("a", "C", None)),
        ({"app": "a", "cls": None, "server": "s"}, ModalServer("a", None, "s")),
        ({"app": None, "cls": None, "server": "a/s"}, ModalServer("a", None, "s")),
        ({"app": "a", "cls": None, "server": "a/s"}, ModalServer("a", None, "s")),
        ({"app": None, "cls": None, "server": None}, None),
    ],
)
def test_a_modal_server_is_named_by_app_and_class_or_server(names, server) -> None:
    assert modal_server_named(**names, where="here") == server


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"app": "a", "cls": "C", "server": "s"}, "not both"),
        ({"app": "b", "cls": None, "server": "a/s"}, "pass the app once"),
        ({"app": None, "cls": "C", "server": None}, "--modal-app"),
        ({"app": "a", "cls": None, "server": None}, "--modal-cls CLS or --modal-server"),
    ],
)
def test_names_that_make_no_one_server_are_refused(names, message) -> None:
    with pytest.raises(TargetError, match=message):
        modal_server_named(**names, where="here")
