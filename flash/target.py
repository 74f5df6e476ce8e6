"""Where the target is: options, then environment, then a local edge that answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from flash.control_plane import ModalServer
from flash.local_edge import DEFAULT_ADMIN_URL, LocalEdgePlatform
from flash.modal_platform import ModalPlatform
from flash.platform import Platform, TargetError
from flash.static_list import StaticPlatform, parse_flash_urls

__all__ = ["TargetOptions", "modal_server_named", "resolve_target"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetOptions:
    """The target as one source (the command line, or the environment) names it.

    ``flash_urls`` are ``REGION=URL`` items; everything else is ``None`` where not given.
    """

    flash_urls: tuple[str, ...] = ()
    modal_app: str | None = None
    modal_cls: str | None = None
    modal_server: str | None = None
    flash_edge: str | None = None
    host: str | None = None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "TargetOptions":
        """What ``FLASH_URLS``, ``FLASH_MODAL_APP``, ``FLASH_MODAL_CLS``, ``FLASH_MODAL_SERVER``,
        ``FLASH_EDGE`` and ``LOCUST_HOST`` say; empty ones count as not given."""
        return cls(
            flash_urls=tuple(
                item for item in environ.get("FLASH_URLS", "").split(",") if item.strip()
            ),
            modal_app=environ.get("FLASH_MODAL_APP") or None,
            modal_cls=environ.get("FLASH_MODAL_CLS") or None,
            modal_server=environ.get("FLASH_MODAL_SERVER") or None,
            flash_edge=environ.get("FLASH_EDGE") or None,
            host=environ.get("LOCUST_HOST") or None,
        )


def resolve_target(
    options: TargetOptions,
    environ: Mapping[str, str],
    *,
    local_edge: Callable[[], LocalEdgePlatform] = LocalEdgePlatform,
) -> Platform:
    """The platform to use: the first that is given, options before environment.

    Within each the order is flash URLs, Modal, local edge, host. With nothing given it is the
    local edge at its default address, if that answers. Nothing else is asked or checked here.

    Raises:
        TargetError: nothing was given and no local edge answers, or what was given is unusable.
    """
    given = _named(options, option_names=True) or _named(
        TargetOptions.from_env(environ), option_names=False
    )
    if given is not None:
        return given
    edge = local_edge()
    if edge.healthy():
        return edge
    raise TargetError(
        "no target: pass --flash-url REGION=URL (or FLASH_URLS), "
        "--modal-app APP with --modal-cls CLS or --modal-server NAME, --flash-edge URL, "
        "or --host URL; or start a local edge with 'python -m flash.edge' "
        f"(none answers at {DEFAULT_ADMIN_URL})"
    )


def modal_server_named(
    *, app: str | None, cls: str | None, server: str | None, where: str
) -> ModalServer | None:
    """The server on Modal that the three names tell, ``None`` when none is given.

    ``server`` may be ``APP/NAME``, which needs no ``app``. ``where`` is for messages.

    Raises:
        TargetError: the names do not make one server.
    """
    if app is None and cls is None and server is None:
        return None
    if cls is not None and server is not None:
        raise TargetError(
            f"{where} gives both a class ({cls}) and a server ({server}); "
            "pass --modal-cls or --modal-server, not both"
        )
    if server is not None and "/" in server:
        named_app, _, server = server.partition("/")
        if app not in (None, named_app):
            raise TargetError(
                f"{where} gives app {app} and server {named_app}/{server}; pass the app once"
            )
        app = named_app
    if not app:
        raise TargetError(
            f"{where} names {cls or server} but no app; add --modal-app APP (or FLASH_MODAL_APP)"
        )
    if not cls and not server:
        raise TargetError(
            f"{where} names app {app} only; add --modal-cls CLS or --modal-server NAME "
            "(or FLASH_MODAL_CLS, FLASH_MODAL_SERVER)"
        )
    return ModalServer(app, cls, server)


def _named(options: TargetOptions, *, option_names: bool) -> Platform | None:
    where = "the command line" if option_names else "the environment"
    if options.flash_urls:
        return StaticPlatform(
            parse_flash_urls(
                options.flash_urls, where="--flash-url" if option_names else "FLASH_URLS"
            )
        )
    modal = modal_server_named(
        app=options.modal_app, cls=options.modal_cls, server=options.modal_server, where=where
    )
    if modal is not None:
        return ModalPlatform(modal)
    if options.flash_edge is not None:
        return LocalEdgePlatform(options.flash_edge)
    if options.host is not None:
        return StaticPlatform.from_host(options.host)
    return None
