"""The proxy token that Modal Servers require of their clients, and its headers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flash.platform import TargetError

__all__ = ["ProxyToken"]

_ID, _SECRET = "MODAL_PROXY_TOKEN_ID", "MODAL_PROXY_TOKEN_SECRET"


@dataclass(frozen=True, slots=True)
class ProxyToken:
    """A proxy token: ``wk-...`` and ``ws-...``. Its repr hides the secret."""

    token_id: str
    secret: str = field(repr=False)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "ProxyToken | None":
        """The token of the environment, or ``None`` when it holds none.

        Raises:
            TargetError: only one half is given, or a half cannot stand in a header.
        """
        token_id, secret = environ.get(_ID, ""), environ.get(_SECRET, "")
        if not token_id and not secret:
            return None
        if not token_id or not secret:
            given, missing = (_ID, _SECRET) if token_id else (_SECRET, _ID)
            raise TargetError(f"{given} is set but {missing} is not; a proxy token needs both")
        for name, value in ((_ID, token_id), (_SECRET, secret)):
            if not value.isascii() or any(c.isspace() or not c.isprintable() for c in value):
                raise TargetError(f"{name} holds characters that cannot stand in a header")
        return cls(token_id, secret)

    def headers(self) -> dict[str, str]:
        """The request headers that carry the token."""
        return {"Modal-Key": self.token_id, "Modal-Secret": self.secret}

    def environment(self) -> dict[str, str]:
        """The variables that :meth:`from_env` reads it from, for another process."""
        return {_ID: self.token_id, _SECRET: self.secret}
